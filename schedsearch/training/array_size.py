"""How many runs to train together: timed on the task at hand, never beyond memory, 1 where single runs are quicker."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

import torch

from schedsearch.errors import NotBatchable
from schedsearch.task import Task
from schedsearch.task.facts import Together
from schedsearch.task.randomness import kept, seeded
from schedsearch.task.splits import Batch
from schedsearch.task.tensors import evaluation_batches
from schedsearch.training import guard
from schedsearch.training.course import evaluation_updates
from schedsearch.training.memory import TensorMemory
from schedsearch.training.stack import Stack, loops_unmentioned
from schedsearch.training.trainer import Trainer

LADDER = (4, 8, 16, 32, 64)
MOST_ROUNDS, FEWEST_ROUNDS = 12, 3
SECONDS_A_STEP = 0.5
"""Rounds of a step of the ladder: so many, fewer where they take longer."""
LEAST_GAIN = 1.15
"""Runs a second over those of single runs, below which a ladder's step is noise and single runs are kept."""
WORTH_GOING_ON = 0.9
"""Of the best gain so far: a step of the ladder below it has left the cache, and larger ones are not tried."""
PROMISING = 1.25
"""Over the step before: below LEAST_GAIN larger arrays are tried only while the gain grows by that much a step."""
SLOWEST_UPDATE_S = {"cpu": 0.05}
"""Of a single run: a slower one fills the device with arithmetic, of which an array saves nothing."""
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

    @property
    def fewest(self) -> int:
        """The smallest size that is worth it, 1 where none is."""
        return min((one.size for one in self.steps if _is_worth_it(one)), default=1)


def together(task: Task, total_updates: int, device: torch.device, memory_share: float = 1.0) -> Together:
    """How many runs of this task to train together on this device, of one seed and of several, where they then prove
    to be what single runs are. memory_share: of what is free there. Takes seconds at most; raises what the task raises
    in a single run."""
    memory = int(memory_share * SHARE_OF_FREE_MEMORY * free_memory(device))
    found = _trusted(task, [0] * LADDER[-1], total_updates, device, memory, LADDER)
    if found.size == 1:
        return Together(reason=found.reason)
    sizes = [one for one in LADDER if one <= found.size]
    mixed = _trusted(task, range(found.size), total_updates, device, memory, sizes)
    gain = next(one.gain or 1.0 for one in found.steps if one.size == found.size)
    return Together(found.fewest, found.size, mixed.fewest, mixed.size, gain)


def _trusted(
    task: Task, seeds: Sequence[int], total_updates: int, device: torch.device, memory: int, ladder: Sequence[int]
) -> ArraySize:
    """The quickest size, 1 where the smallest array that is worth it does not pass the guard."""
    found = fastest_size(task, seeds, total_updates, device, memory, ladder)
    if found.size == 1:
        return found
    low, high = task.lr_range()
    lrs = [[math.sqrt(low * high)] * guard.UPDATES] * found.fewest
    try:
        with loops_unmentioned():
            guard.check_array(task, seeds[: found.fewest], lrs, device)
    except NotBatchable as error:
        return ArraySize(1, (), str(error))
    return found


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
        if single.update_s > SLOWEST_UPDATE_S.get(device.type, math.inf):
            return ArraySize(1)
        try:
            a_row = bytes_a_row(task, seeds, device)
            for size in (one for one in ladder if one <= len(seeds)):
                gain = single.gain_of(seeds[:size], total_updates) if size * a_row <= most else None
                steps.append(Step(size, size * a_row, gain))
                if not _promises_more(steps):
                    break
        except NotBatchable as error:
            return ArraySize(1, tuple(steps), str(error))
    return ArraySize(quickest(steps), tuple(steps))


def quickest(steps: Sequence[Step]) -> int:
    """The size of the step with the largest gain, 1 where none is worth it."""
    worth = [one for one in steps if _is_worth_it(one)]
    return max(worth, key=lambda one: one.gain or 0.0).size if worth else 1


def _is_worth_it(step: Step) -> bool:
    return step.gain is not None and step.gain >= LEAST_GAIN


def _promises_more(steps: Sequence[Step]) -> bool:
    """Whether an array larger than these is worth a try."""
    gain = steps[-1].gain
    if gain is None or gain < WORTH_GOING_ON * max(one.gain or 0.0 for one in steps):
        return False
    return len(steps) == 1 or _is_worth_it(steps[-1]) or gain >= PROMISING * (steps[-2].gain or 0.0)


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
        self.update_s = self._least_seconds(lambda: self._trainer.update(0.0))

    @cached_property
    def _look(self) -> list[Batch]:
        with kept(self._device):
            return list(islice(evaluation_batches(self._trainer.splits.validation, self._device), 1))

    @cached_property
    def _look_s(self) -> float:
        return self._least_seconds(lambda: self._trainer.evaluate(self._look))

    @cached_property
    def _evaluation_s(self) -> float:
        return self._least_seconds(self._trainer.evaluate)

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

    def _least_seconds(self, action: Callable[[], object]) -> float:
        """Of a few times; once is enough of what takes long."""
        spent = [self._seconds(action)]
        while len(spent) < FEWEST_ROUNDS and spent[0] < SECONDS_A_STEP:
            spent.append(self._seconds(action))
        return min(spent)

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
