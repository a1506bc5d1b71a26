"""How many runs to train together: timed on the task at hand, never beyond memory, 1 where single runs are quicker."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice

import torch

from schedsearch.errors import NotBatchable
from schedsearch.task import Task
from schedsearch.task.randomness import kept, seeded
from schedsearch.task.splits import Batch
from schedsearch.task.tensors import evaluation_batches
from schedsearch.training import guard
from schedsearch.training.course import evaluation_updates
from schedsearch.training.memory import TensorMemory
from schedsearch.training.stack import Stack, loops_unmentioned
from schedsearch.training.trainer import Trainer

LADDER = (4, 8, 16, 32)
MOST_ROUNDS, FEWEST_ROUNDS = 12, 3
SECONDS_A_STEP = 1.0
"""Rounds of a step of the ladder: so many, fewer where they take longer."""
LEAST_GAIN = 1.15
"""Runs a second over those of single runs, below which a ladder's step is noise and single runs are kept."""
WORTH_GOING_ON = 0.9
"""Of the best gain so far: a step of the ladder below it has left the cache, and larger ones are not tried."""
PROBED_ROWS = 2
BEYOND_TENSORS = 1.25
"""What is taken over what the tensors of an update take: operations have workspaces, allocators round up."""
SHARE_OF_FREE_MEMORY = 0.5


@dataclass(frozen=True)
class Step:
    """One step of the ladder. gain: runs a second over those of single runs, guard and looks included; None where the
    predicted memory was too much, and it was not timed."""

    size: int
    memory_bytes: int
    gain: float | None


@dataclass(frozen=True)
class ArraySize:
    """size: runs to train together; 1: train them alone. reason: why arrays cannot be had at all."""

    size: int
    steps: tuple[Step, ...] = ()
    reason: str | None = None


def fastest_size(
    task: Task,
    seeds: Sequence[int],
    total_updates: int,
    device: torch.device,
    memory_bytes: int | None = None,
    ladder: Sequence[int] = LADDER,
) -> ArraySize:
    """The quickest size for runs of these seeds, which wait to be trained; only as many are trained together.

    Each step of the ladder is timed against a single run, in turn, the best round of each; the next one is tried while
    that pays. memory_bytes: what an array may take, predicted before it is made; None: half of what is free on the
    device. Leaves the random generators as they were. Raises what the task raises in a single run.
    """
    most = free_memory(device) * SHARE_OF_FREE_MEMORY if memory_bytes is None else memory_bytes
    steps: list[Step] = []
    with seeded(seeds[0], device), loops_unmentioned():
        single = _Single(task, seeds[0], device)
        try:
            a_row = bytes_a_row(task, seeds, device)
            for size in (one for one in ladder if one <= len(seeds)):
                gain = single.gain_of(seeds[:size], total_updates) if size * a_row <= most else None
                steps.append(Step(size, size * a_row, gain))
                if gain is None or gain < WORTH_GOING_ON * max(one.gain or 0.0 for one in steps):
                    break
        except NotBatchable as error:
            return ArraySize(1, tuple(steps), str(error))
    return ArraySize(quickest(steps), tuple(steps))


def quickest(steps: Sequence[Step]) -> int:
    """The size of the step with the largest gain, 1 where none is worth it."""
    worth = [one for one in steps if one.gain is not None and one.gain >= LEAST_GAIN]
    return max(worth, key=lambda one: one.gain or 0.0).size if worth else 1


def bytes_a_row(task: Task, seeds: Sequence[int], device: torch.device) -> int:
    """What one more row of an array takes, from two updates at LR 0 of an array of two. Call within
    `randomness.seeded(seeds[0], device)`. Raises NotBatchable."""
    rows = list(seeds[:PROBED_ROWS]) if len(seeds) >= PROBED_ROWS else [seeds[0]] * PROBED_ROWS
    with TensorMemory() as memory:
        stack = Stack(task, rows, device)
        still = torch.zeros(len(rows), dtype=torch.float64, device=device)
        with guard.refusing(stack.model):
            for _ in range(2):  # the second has the optimizer's state beside it
                stack.update(still)
    return int(BEYOND_TENSORS * memory.peak / len(rows))


def free_memory(device: torch.device) -> int:
    """Bytes free on an accelerator, or available to processes of this machine."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    import psutil

    return int(psutil.virtual_memory().available)


class _Single:
    """A single run that arrays are timed against."""

    def __init__(self, task: Task, seed: int, device: torch.device) -> None:
        self._task = task
        self._device = device
        self._trainer = Trainer(task, seed, device)
        with kept(device):
            self._look: list[Batch] = list(islice(evaluation_batches(self._trainer.splits.validation, device), 1))
        looks = [self._seconds(lambda: self._trainer.evaluate(self._look)) for _ in range(FEWEST_ROUNDS)]
        self._look_s = min(looks)
        self._evaluation_s = min(self._seconds(self._trainer.evaluate) for _ in range(FEWEST_ROUNDS))

    def gain_of(self, seeds: Sequence[int], total_updates: int) -> float:
        """How many times as many runs a second an array of these seeds trains."""
        stack = Stack(self._task, seeds, self._device)
        still = torch.zeros(len(seeds), dtype=torch.float64, device=self._device)
        alone, together, looking = [], [], []
        with guard.refusing(stack.model):
            stack.update(still)
            started = time.perf_counter()
            for done in range(MOST_ROUNDS):
                alone.append(self._seconds(lambda: self._trainer.update(0.0)))
                together.append(self._seconds(lambda: stack.update(still)))
                if done < FEWEST_ROUNDS:
                    looking.append(self._seconds(lambda: stack.evaluate(self._look)))
                elif time.perf_counter() - started > SECONDS_A_STEP:
                    break
        looks = len(evaluation_updates(total_updates)) * self._evaluation_s
        guarded = min(guard.UPDATES, total_updates)
        array = (total_updates + guarded) * min(together) + looks * min(looking) / self._look_s
        checks = 2 * guarded * min(alone)
        return len(seeds) * (total_updates * min(alone) + looks) / (array + checks)

    def _seconds(self, action: Callable[[], object]) -> float:
        """Of this process where it has one thread, so that others on the machine do not count; else by the wall."""
        one_thread = self._device.type == "cpu" and torch.get_num_threads() == 1
        clock = time.process_time if one_thread else time.perf_counter
        self._wait()
        started = clock()
        action()
        self._wait()
        return clock() - started

    def _wait(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
