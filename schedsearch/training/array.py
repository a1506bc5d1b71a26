"""Several runs of one task trained together as one batched model, each as if it were trained alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from schedsearch.errors import InvalidInput, NotBatchable, RunInterrupted
from schedsearch.task import Task
from schedsearch.task.randomness import seeded
from schedsearch.training.checkpoints import Checkpoints
from schedsearch.training.course import Course, evaluation_updates
from schedsearch.training.devices import find_device
from schedsearch.training.divergence import Divergence
from schedsearch.training.guard import check_array
from schedsearch.training.loop import updates_between_looks
from schedsearch.training.spec import Measurement, Outcome, RunSpec
from schedsearch.training.stack import Stack, loops_unmentioned

RecordOf = Callable[[int, list[Measurement]], None]


def train_array(
    task: Task,
    specs: Sequence[RunSpec],
    record: RecordOf,
    should_stop: Callable[[], bool],
    checkpoints: Sequence[Checkpoints] | None = None,
) -> list[Outcome]:
    """Train these runs of one horizon on one device together; the outcomes in the order of `specs`.

    `record` is handed the position of a run in `specs` and its measurements as soon as they are made. Every run has the
    initialisation, data order, updates, looks at validation and rules of divergence that `loop.train` gives it, and its
    numbers are the same but for rounding. A run that diverged has its outcome and leaves the others as they are.
    `duration_s` is a run's share of the time: the times of all runs add up to that of the array.

    With `checkpoints`, one for each run, they are written as `loop.train` writes them, and from its own each run goes
    on alone: an array begins at the beginning.

    Before anything is recorded the first 3 updates are compared with single runs (`guard.check_array`). Raises
    NotBatchable where that fails or is known to, or where a run has a checkpoint; then train the runs one by one.
    Raises InvalidInput for runs of different horizons or devices, and what `loop.train` raises.
    """
    _check_alike(specs)
    device = find_device(specs[0].device)
    lrs = [one.schedule.lrs(one.total_updates, task.updates_per_epoch).tolist() for one in specs]
    seeds = [one.seed for one in specs]
    started = time.monotonic()
    if checkpoints is not None and any(one.newest() is not None for one in checkpoints):
        raise NotBatchable("Some of these runs have a checkpoint to go on from: train run by run.")
    with loops_unmentioned():
        check_array(task, seeds, lrs, device)
        with seeded(seeds[0], device):
            array = _Array(task, specs, lrs, record, Stack(task, seeds, device), started, checkpoints or ())
            array.train(should_stop)
    for one in checkpoints or ():
        one.clear()
    return array.outcomes()


def _check_alike(specs: Sequence[RunSpec]) -> None:
    if not specs:
        raise InvalidInput("`specs` must be at least one run, but is empty instead.")
    for name in ("total_updates", "device"):
        values = {getattr(one, name) for one in specs}
        if len(values) > 1:
            raise InvalidInput(f"`{name}` must be the same for all runs of an array, but is {sorted(values)} instead.")


class _Array:
    """The state of an array. Row k of the stack is run `rows[k]`; a run that has its outcome is `ended`."""

    def __init__(
        self,
        task: Task,
        specs: Sequence[RunSpec],
        lrs: Sequence[Sequence[float]],
        record: RecordOf,
        stack: Stack,
        started: float,
        checkpoints: Sequence[Checkpoints],
    ) -> None:
        self._specs = specs
        self._checkpoints = checkpoints
        self._stack = stack
        self._rows = list(range(len(specs)))
        self._lrs = torch.tensor(lrs, dtype=torch.float64, device=stack.device)
        self._rates = self._lrs.T.contiguous()
        self._courses = [Course(task, one, partial(_recorded, record, run)) for run, one in enumerate(lrs)]
        self._ended: dict[int, Outcome] = {}
        self._spent_s = [0.0] * len(specs)
        self._charged_at = started
        self._marks = frozenset(evaluation_updates(self._lrs.shape[1]))
        self._every = updates_between_looks(stack.device)
        self._unread: list[Tensor] = []

    def train(self, should_stop: Callable[[], bool]) -> None:
        """All updates, until every run has its outcome."""
        for update in range(len(self._rates)):
            stops = should_stop()
            if stops or any(one.are_due for one in self._checkpoints):
                self._save()
                if not self._alive():
                    return
            if stops:
                raise RunInterrupted(f"The runs were asked to stop before update {update}.")
            self._unread.append(self._stack.update(self._rates[update]))
            marked = update in self._marks
            if not marked and len(self._unread) < self._every:
                continue
            self._look()
            if not self._alive():
                return
            if marked:
                self._measure()
        self._finish()

    def outcomes(self) -> list[Outcome]:
        """Of all runs, in their order."""
        return [self._ended[run] for run in range(len(self._specs))]

    def _alive(self) -> list[tuple[int, int]]:
        """(row, run) of those that are still trained."""
        return [(row, run) for row, run in enumerate(self._rows) if run not in self._ended]

    def _look(self) -> None:
        """Read the losses; whoever diverged has its outcome."""
        losses = torch.stack(self._unread, 1).tolist()
        self._unread = []
        for row, run in self._alive():
            divergence = self._courses[run].read(losses[row])
            if divergence is not None:
                self._end(run, divergence, None)
        self._drop_ended()

    def _save(self) -> None:
        """A checkpoint of every run that is still trained."""
        if not self._checkpoints or self._stack.updates_done == 0:
            return
        if self._unread:
            self._look()
        self._charge()
        for row, run in self._alive():
            state = {**self._stack.run_state(row), **self._courses[run].state(), "spent_s": self._spent_s[run]}
            self._checkpoints[run].save(state, self._stack.updates_done)

    def _measure(self) -> None:
        values = self._stack.evaluate()
        for row, run in self._alive():
            self._courses[run].measure(values[row])

    def _finish(self) -> None:
        """The outcome of all that came to the end."""
        done = self._stack.updates_done
        divergences = {run: self._courses[run].at_the_end(done) for _, run in self._alive()}
        tested = any(self._specs[run].with_test and found is None for run, found in divergences.items())
        test = self._stack.test() if tested else None
        for row, run in self._alive():
            has_test = test is not None and self._specs[run].with_test and divergences[run] is None
            self._end(run, divergences[run], test[row] if test is not None and has_test else None)

    def _end(self, run: int, divergence: Divergence | None, test: dict[str, float] | None) -> None:
        self._charge()
        self._ended[run] = self._courses[run].outcome(divergence, test, self._stack.updates_done, self._spent_s[run])

    def _charge(self) -> None:
        """The time since it was charged last, in equal shares to the runs that are trained."""
        now = time.monotonic()
        alive = self._alive()
        for _, run in alive:
            self._spent_s[run] += (now - self._charged_at) / len(alive)
        self._charged_at = now

    def _drop_ended(self) -> None:
        """Ended runs leave the stack once they are half of it; until then the others' numbers stay bit for bit."""
        alive = self._alive()
        if not 0 < 2 * len(alive) <= len(self._rows):
            return
        self._stack.keep([row for row, _ in alive])
        self._rows = [run for _, run in alive]
        self._rates = self._lrs[self._rows].T.contiguous()


def _recorded(record: RecordOf, run: int, measurements: Sequence[Measurement]) -> None:
    record(run, list(measurements))
