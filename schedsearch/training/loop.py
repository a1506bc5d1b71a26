"""One run from its first update to its outcome."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from schedsearch.errors import RunInterrupted
from schedsearch.task import Task
from schedsearch.task.randomness import generator_states, restore_generators, seeded
from schedsearch.training.checkpoints import Checkpoints
from schedsearch.training.course import Course, Record, evaluation_updates
from schedsearch.training.devices import find_device
from schedsearch.training.divergence import Divergence
from schedsearch.training.spec import Outcome, RunSpec
from schedsearch.training.trainer import Trainer

UPDATES_BETWEEN_LOOKS = {"cpu": 1}
UPDATES_BETWEEN_LOOKS_ELSEWHERE = 16


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
        course = Course(task, lrs, record)
        run = _Run(Trainer(task, spec.seed, device), lrs, course, checkpoints)
        divergence = run.train(should_stop)
        test = run.trainer.test() if spec.with_test and divergence is None else None
    if checkpoints is not None:
        checkpoints.clear()
    duration_s = run.spent_before_s + time.monotonic() - started
    return course.outcome(divergence, test, run.trainer.updates_done, duration_s)


def updates_between_looks(device: torch.device) -> int:
    """How many losses are read at once: every one on a CPU, 16 elsewhere, for reading one waits for the device."""
    return UPDATES_BETWEEN_LOOKS.get(device.type, UPDATES_BETWEEN_LOOKS_ELSEWHERE)


class _Run:
    """The state of one run. Losses stay on the device; they are read every update on a CPU, every 16 elsewhere."""

    def __init__(self, trainer: Trainer, lrs: Sequence[float], course: Course, checkpoints: Checkpoints | None) -> None:
        self.trainer = trainer
        self.spent_before_s = 0.0
        self._started = time.monotonic()
        self._lrs = lrs
        self._course = course
        self._checkpoints = checkpoints
        self._marks = frozenset(evaluation_updates(len(lrs)))
        self._every = updates_between_looks(trainer.device)
        self._unread: list[Tensor] = []

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
                self._course.measure(self.trainer.evaluate())
        return self._course.at_the_end(self.trainer.updates_done)

    def _look(self) -> Divergence | None:
        losses = torch.stack(self._unread).tolist() if len(self._unread) > 1 else [float(self._unread[0])]
        self._unread = []
        return self._course.read(losses)

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
            **self._course.state(),
            "spent_s": self.spent_before_s + time.monotonic() - self._started,
        }

    def _go_on(self) -> None:
        """From the newest checkpoint, where there is one."""
        state = None if self._checkpoints is None else self._checkpoints.newest()
        if state is not None:
            self._load(state)

    def _load(self, state: Mapping[str, Any]) -> None:
        self.trainer.load(state["trainer"])
        self.spent_before_s = state["spent_s"]
        self._course.load(state, self.trainer.updates_done)
        restore_generators(state["generators"], device=self.trainer.device)  # last: loading may draw
