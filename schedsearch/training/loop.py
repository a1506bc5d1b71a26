"""One run from its first update to its outcome."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from schedsearch.errors import InvalidTask, RunInterrupted, SchedsearchError
from schedsearch.task import Task
from schedsearch.task.randomness import generator_states, restore_generators, seeded
from schedsearch.training.checkpoints import Checkpoints
from schedsearch.training.devices import find_device
from schedsearch.training.divergence import Divergence, DivergenceWatch
from schedsearch.training.spec import Measurement, Outcome, RunSpec
from schedsearch.training.trainer import Trainer

EVALUATIONS = 20
UPDATES_BETWEEN_LOOKS = {"cpu": 1}
UPDATES_BETWEEN_LOOKS_ELSEWHERE = 16

Record = Callable[[Sequence[Measurement]], None]


def train(
    task: Task,
    spec: RunSpec,
    record: Record,
    should_stop: Callable[[], bool],
    checkpoints: Checkpoints | None = None,
) -> Outcome:
    """Train one run of `spec.total_updates` updates; `record` is handed every measurement as soon as it is made.

    With `checkpoints` the run goes on from the newest of them, handing over the measurements up to there again; it
    writes one whenever they are due and when it is asked to stop, and ends like a run that was never stopped.

    The schedule is evaluated for the whole horizon up front. Validation is looked at about 20 times, at the same
    updates for every schedule, the last one included; the score is what it shows there. Same spec, same machine, same
    number of threads: the same result to the last bit on a CPU.

    Raises RunInterrupted within one update once `should_stop()` holds; InvalidSchedule, InvalidInput (no such device),
    InvalidTask; and whatever the task's own code raises. A divergence is an outcome, not an error.
    """
    device = find_device(spec.device)
    lrs = spec.schedule.lrs(spec.total_updates, task.updates_per_epoch).tolist()
    started = time.monotonic()
    with seeded(spec.seed, device):
        run = _Run(Trainer(task, spec.seed, device), lrs, record, checkpoints)
        divergence = run.train(should_stop)
        score = run.score if divergence is None else None
        test_score = _score(task, run.trainer.test()) if spec.with_test and score is not None else None
    if checkpoints is not None:
        checkpoints.clear()
    return Outcome(
        status="completed" if divergence is None else "diverged",
        score=score,
        test_score=test_score,
        updates_done=run.trainer.updates_done,
        initial_loss=run.watch.initial_loss,
        diverged_at=None if divergence is None else divergence.update,
        reason=None if divergence is None else divergence.reason,
        duration_s=run.spent_before_s + time.monotonic() - started,
    )


def evaluation_updates(total_updates: int) -> list[int]:
    """The updates after which validation is looked at: about 20, evenly spread, the last one always among them."""
    count = min(EVALUATIONS, total_updates)
    return sorted({round(k * total_updates / count) - 1 for k in range(1, count + 1)})


class _Run:
    """The state of one run. Losses stay on the device; they are read every update on a CPU, every 16 elsewhere."""

    def __init__(
        self, trainer: Trainer, lrs: Sequence[float], record: Record, checkpoints: Checkpoints | None
    ) -> None:
        self.trainer = trainer
        self.watch = DivergenceWatch(len(lrs))
        self.score: float | None = None
        self.spent_before_s = 0.0
        self._started = time.monotonic()
        self._lrs = lrs
        self._record = record
        self._checkpoints = checkpoints
        self._marks = frozenset(evaluation_updates(len(lrs)))
        self._every = UPDATES_BETWEEN_LOOKS.get(trainer.device.type, UPDATES_BETWEEN_LOOKS_ELSEWHERE)
        self._unread: list[Tensor] = []
        self._read = 0
        self._since_mark: list[float] = []
        self._measured: list[Measurement] = []

    def train(self, should_stop: Callable[[], bool]) -> Divergence | None:
        """All updates that are left; ends early at a divergence."""
        self._go_on()
        for update in range(self.trainer.updates_done, len(self._lrs)):
            stops = should_stop()
            if stops or self._is_due():
                divergence = self._save()
                if divergence is not None:
                    return divergence
            if stops:
                raise RunInterrupted(f"The run was asked to stop before update {update}.")
            self._unread.append(self.trainer.update(self._lrs[update]))
            marked = update in self._marks
            if not marked and len(self._unread) < self._every:
                continue
            divergence = self._look()
            if divergence is not None:
                return divergence
            if marked:
                self._measure(update, self.trainer.evaluate())
        self._check_updates()
        return self._final_divergence()

    def _look(self) -> Divergence | None:
        divergence = self._read_losses()
        if divergence is not None:
            self._measure(self._read - 1, None)
        return divergence

    def _is_due(self) -> bool:
        return self._checkpoints is not None and self._checkpoints.are_due

    def _save(self) -> Divergence | None:
        """A checkpoint of this moment, unless the losses up to it show that there is nothing to go on with."""
        if self._checkpoints is None or self.trainer.updates_done == 0:
            return None
        divergence = self._look() if self._unread else None
        if divergence is None:
            self._checkpoints.save(self._state(), self.trainer.updates_done)
        return divergence

    def _state(self) -> dict[str, Any]:
        return {
            "trainer": self.trainer.state(),
            "generators": generator_states(self.trainer.device),
            "watch": self.watch.state(),
            "since_mark": list(self._since_mark),
            "measured": [asdict(one) for one in self._measured],
            "score": self.score,
            "spent_s": self.spent_before_s + time.monotonic() - self._started,
        }

    def _go_on(self) -> None:
        """From the newest checkpoint, where there is one."""
        state = None if self._checkpoints is None else self._checkpoints.newest()
        if state is not None:
            self._load(state)

    def _load(self, state: Mapping[str, Any]) -> None:
        self.trainer.load(state["trainer"])
        self.watch.load(state["watch"])
        self.score = state["score"]
        self.spent_before_s = state["spent_s"]
        self._read = self.trainer.updates_done
        self._since_mark = list(state["since_mark"])
        self._measured = [Measurement(**one) for one in state["measured"]]
        self._record(self._measured)
        restore_generators(state["generators"], device=self.trainer.device)  # last: loading may draw

    def _read_losses(self) -> Divergence | None:
        losses = torch.stack(self._unread).tolist() if len(self._unread) > 1 else [float(self._unread[0])]
        self._unread = []
        for loss in losses:
            self._read += 1
            self._since_mark.append(loss)
            divergence = self.watch.see(loss)
            if divergence is not None:
                return divergence
        return None

    def _measure(self, update: int, values: dict[str, float] | None) -> None:
        finite = [loss for loss in self._since_mark if math.isfinite(loss)]
        values = values or {}
        self.score = _score(self.trainer.task, values) if values else None
        measurement = Measurement(
            update=update,
            lr=self._lrs[update],
            train_loss=sum(finite) / len(finite) if len(finite) == len(self._since_mark) else None,
            val_loss=_finite(values.get("loss")),
            metrics={key: one for key, one in values.items() if key != "loss" and math.isfinite(one)},
        )
        self._measured.append(measurement)
        self._record([measurement])
        self._since_mark = []

    def _check_updates(self) -> None:
        if self.trainer.updates_done != len(self._lrs):
            raise SchedsearchError(
                f"The run must do {len(self._lrs)} updates, but its optimizer did {self.trainer.updates_done}; "
                "its score would belong to another schedule."
            )

    def _final_divergence(self) -> Divergence | None:
        if self.score is not None:
            return None
        last = len(self._lrs) - 1
        return Divergence(last, f"The validation {self.trainer.task.metric} was not finite at the end.")


def _score(task: Task, values: dict[str, float] | None) -> float | None:
    """The task's metric among the values of a split, None where it is not finite. Raises InvalidTask if missing."""
    if values is None:
        return None
    if task.metric not in values:
        raise InvalidTask(
            f"`metric` must be one of {', '.join(values)} (what metrics() returns, or loss), "
            f"but is {task.metric!r} instead."
        )
    return _finite(values[task.metric])


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
