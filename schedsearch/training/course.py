"""What one run has shown so far: its losses, its measurements, its score, whether it diverged."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from schedsearch.errors import InvalidTask, SchedsearchError
from schedsearch.task import Task
from schedsearch.training.divergence import Divergence, DivergenceWatch
from schedsearch.training.spec import Measurement, Outcome

EVALUATIONS = 20

Record = Callable[[Sequence[Measurement]], None]


def evaluation_updates(total_updates: int) -> list[int]:
    """The updates after which validation is looked at: about 20, evenly spread, the last one always among them."""
    count = min(EVALUATIONS, total_updates)
    return sorted({round(k * total_updates / count) - 1 for k in range(1, count + 1)})


class Course:
    """The course of one run, the same whether it is trained alone or in an array. lrs: of every update."""

    def __init__(self, task: Task, lrs: Sequence[float], record: Record) -> None:
        self.score: float | None = None
        self.updates_read = 0
        self._task = task
        self._lrs = lrs
        self._record = record
        self._watch = DivergenceWatch(len(lrs))
        self._since_mark: list[float] = []
        self._measured: list[Measurement] = []

    def read(self, losses: Sequence[float]) -> Divergence | None:
        """The losses of the next updates; a divergence that they show, which is measured at once."""
        for loss in losses:
            self.updates_read += 1
            self._since_mark.append(loss)
            divergence = self._watch.see(loss)
            if divergence is not None:
                self.measure(None)
                return divergence
        return None

    def measure(self, values: Mapping[str, float] | None) -> None:
        """What validation shows after the last update read; None: it was not looked at."""
        finite = [loss for loss in self._since_mark if math.isfinite(loss)]
        values = values or {}
        self.score = scored(self._task, values) if values else None
        measurement = Measurement(
            update=self.updates_read - 1,
            lr=self._lrs[self.updates_read - 1],
            train_loss=sum(finite) / len(finite) if len(finite) == len(self._since_mark) else None,
            val_loss=_finite(values.get("loss")),
            metrics={key: one for key, one in values.items() if key != "loss" and math.isfinite(one)},
        )
        self._measured.append(measurement)
        self._record([measurement])
        self._since_mark = []

    def at_the_end(self, updates_done: int) -> Divergence | None:
        """What the last look shows. Raises SchedsearchError where the optimizer did not do one step an update."""
        if updates_done != len(self._lrs):
            raise SchedsearchError(
                f"The run must do {len(self._lrs)} updates, but its optimizer did {updates_done}; "
                "its score would belong to another schedule."
            )
        if self.score is not None:
            return None
        return Divergence(len(self._lrs) - 1, f"The validation {self._task.metric} was not finite at the end.")

    def outcome(
        self, divergence: Divergence | None, test: Mapping[str, float] | None, updates_done: int, duration_s: float
    ) -> Outcome:
        """How it ended. test: what the test split showed, None where it was not looked at."""
        return Outcome(
            status="completed" if divergence is None else "diverged",
            score=self.score if divergence is None else None,
            test_score=None if divergence is not None else scored(self._task, test),
            updates_done=updates_done,
            initial_loss=self._watch.initial_loss,
            diverged_at=None if divergence is None else divergence.update,
            reason=None if divergence is None else divergence.reason,
            duration_s=duration_s,
        )

    def state(self) -> dict[str, Any]:
        """What it remembers, as plain values."""
        return {
            "watch": self._watch.state(),
            "since_mark": list(self._since_mark),
            "measured": [asdict(one) for one in self._measured],
            "score": self.score,
        }

    def load(self, state: Mapping[str, Any], updates_read: int) -> None:
        """Go on where another course of the same run was; its measurements are handed over again."""
        self._watch.load(state["watch"])
        self.score = state["score"]
        self.updates_read = updates_read
        self._since_mark = list(state["since_mark"])
        self._measured = [Measurement(**one) for one in state["measured"]]
        self._record(self._measured)


def scored(task: Task, values: Mapping[str, float] | None) -> float | None:
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
