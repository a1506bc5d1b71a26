"""Before an array is trusted: its first updates are compared with those of single runs, and thrown away."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice

import torch
from torch import Tensor, nn

from schedsearch.errors import NotBatchable
from schedsearch.task import Task
from schedsearch.task.loading import told
from schedsearch.task.randomness import generator_states, kept, restore_generators, seeded
from schedsearch.task.tensors import evaluation_batches, examples_in
from schedsearch.training.stack import Stack
from schedsearch.training.trainer import Trainer

UPDATES = 3
TOLERANCE = 1e-4
"""Relative, of losses, gradients, steps and buffers; float32 on a CPU shows 1e-7 to 1e-5 where all is well."""
SHARE_OF_ALL = 1e-5
"""Of the whole gradient's norm: below it a parameter's own gradient is rounding (a bias before a normalisation)."""
ROUNDING = 4
"""Units in the last place, by which a step may differ where it is small against the parameter."""


def check_array(task: Task, seeds: Sequence[int], lrs: Sequence[Sequence[float]], device: torch.device) -> None:
    """Train an array and, beside it, single runs of two of its rows (of two seeds if it has them); compare, forget all.

    At each of the first 3 updates the single run starts from its row's parameters and buffers. Equal within TOLERANCE
    must be: the start (exactly), the loss, the gradient of every parameter, the buffers, and, given the row's gradient,
    the step at the row's LR; after them loss and metrics of one validation batch. So a difference is found where it
    arises, and rounding is not enlarged on the way. lrs: of every row, at least 2 updates.

    Leaves the random generators as they were. Raises NotBatchable with what differs; what the task raises in a single
    run comes through.
    """
    twins = [_Twin(task, row, seeds[row], device) for row in _watched(seeds)]
    with seeded(seeds[0], device):
        with refusing(twins[0].trainer.model):
            stack = Stack(task, seeds, device)
        for twin in twins:
            twin.check_start(stack)
        for update in range(min(UPDATES, len(lrs[0]))):
            rates = torch.tensor([one[update] for one in lrs], dtype=torch.float64, device=device)
            losses = [twin.differentiate(stack) for twin in twins]
            with refusing(stack.model):
                found = stack.differentiate()
            for twin, loss in zip(twins, losses, strict=True):
                twin.check_gradient(stack, loss, found[twin.row], update)
            with refusing(stack.model):
                stack.step(rates)
            for twin in twins:
                twin.check_step(stack, lrs[twin.row][update], update)
        _check_evaluation(stack, twins)


def _watched(seeds: Sequence[int]) -> list[int]:
    """The first row, and the last one that has another seed if there is one."""
    others = [row for row, seed in enumerate(seeds) if seed != seeds[0]]
    return sorted({0, max(others, default=len(seeds) - 1)})


class _Twin:
    """A single run of one row, with random generators of its own."""

    def __init__(self, task: Task, row: int, seed: int, device: torch.device) -> None:
        self.row = row
        with seeded(seed, device):
            self.trainer = Trainer(task, seed, device)
            self._generators = generator_states(device)
        self._before: Mapping[str, Tensor] = {}

    def check_start(self, stack: Stack) -> None:
        for name, mine in _state(self.trainer.model).items():
            if not torch.equal(mine, stack.row(self.row)[name]):
                raise NotBatchable(f"Row {self.row} of the array starts with another `{name}` than a single run.")

    def differentiate(self, stack: Stack) -> Tensor:
        """The single run's loss and gradient where the row is now, for the run's own next batch."""
        self._before = {name: one.clone() for name, one in stack.row(self.row).items()}
        self.adopt(self._before)
        with self._own_generators():
            return self.trainer.differentiate(self.trainer.next_batch())

    def adopt(self, state: Mapping[str, Tensor]) -> None:
        with torch.no_grad():
            for name, mine in _state(self.trainer.model).items():
                mine.copy_(state[name])

    def check_gradient(self, stack: Stack, loss: Tensor, found: Tensor, update: int) -> None:
        """Loss, gradients, and buffers; then the row's gradient becomes the single run's."""
        _compare("loss", found, loss, TOLERANCE * _norm(loss), update)
        mine = {name: one for name, one in self.trainer.model.named_parameters() if one.grad is not None}
        whole = _norm(*(one.grad for one in mine.values() if one.grad is not None))
        for name, one in mine.items():
            row = _gradient(stack, name)[self.row]
            if one.grad is not None:
                most = TOLERANCE * _norm(one.grad) + SHARE_OF_ALL * whole
                _compare(f"gradient of `{name}`", row, one.grad, most, update)
                one.grad.copy_(row)
        for name, buffer in self.trainer.model.named_buffers():
            _compare(f"buffer `{name}`", stack.row(self.row)[name], buffer, _slack(buffer), update)

    def check_step(self, stack: Stack, lr: float, update: int) -> None:
        self.trainer.set_lr(lr)
        self.trainer.step()
        for name, mine in self.trainer.model.named_parameters():
            most = TOLERANCE * _norm(mine - self._before[name]) + ROUNDING * _last_place(mine)
            _compare(f"step of `{name}`", stack.row(self.row)[name], mine.detach(), most, update)

    @contextmanager
    def _own_generators(self) -> Iterator[None]:
        with kept(self.trainer.device):
            restore_generators(self._generators, device=self.trainer.device)
            yield
            self._generators = generator_states(self.trainer.device)


def _check_evaluation(stack: Stack, twins: Sequence[_Twin]) -> None:
    """On one batch. A metric may jump by 2 examples, where a rounding decides between two classes."""
    with kept(stack.device):
        batches = list(islice(evaluation_batches(twins[0].trainer.splits.validation, stack.device), 1))
    examples = sum(map(examples_in, batches))
    with refusing(stack.model):
        rows = stack.evaluate(batches)
    for twin in twins:
        twin.adopt(stack.row(twin.row))
        for name, value in twin.trainer.evaluate(batches).items():
            most = TOLERANCE * abs(value) + (0 if name == "loss" else 2 / examples)
            row = torch.tensor(rows[twin.row][name], dtype=torch.float64)
            _compare(f"validation {name}", row, torch.tensor(value, dtype=torch.float64), most, UPDATES)


def _compare(what: str, found: Tensor, single: Tensor, most: float, update: int) -> None:
    """Raises NotBatchable where the norm of the difference is above `most`; what is not finite must be so in both."""
    if not bool(torch.isfinite(single).all()):
        if bool(torch.isfinite(found).all()):
            raise NotBatchable(f"The {what} is finite in the array but not in a single run, at update {update}.")
        return
    difference = _norm(found.double() - single.double())
    if not difference <= most:
        raise NotBatchable(
            f"The {what} differs by {difference:.2g} between the array and a single run at update {update}, "
            f"but may by {most:.2g}: train run by run."
        )


@contextmanager
def refusing(model: nn.Module) -> Iterator[None]:
    """What torch cannot batch becomes NotBatchable, which names the layer where it was found. A single run passed."""
    try:
        yield
    except NotBatchable:
        raise
    except Exception as error:  # torch, or the task's own code under vmap
        layer = _layer_of(error, model)
        where = f"The layer `{layer[0]}` ({layer[1]})" if layer else "The task"
        raise NotBatchable(f"{where} cannot be batched over models: {told(error)} Train run by run.") from error


def _layer_of(error: BaseException, model: nn.Module) -> tuple[str, str] | None:
    """Name and class of the innermost of the model's layers that the error passed through."""
    names = {id(module): name for name, module in model.named_modules() if name}
    found = None
    trace = error.__traceback__
    while trace is not None:
        owner = trace.tb_frame.f_locals.get("self")
        if id(owner) in names:
            found = names[id(owner)], type(owner).__name__
        trace = trace.tb_next
    return found


def _state(model: nn.Module) -> dict[str, Tensor]:
    return {name: one.detach() for name, one in (*model.named_parameters(), *model.named_buffers())}


def _gradient(stack: Stack, name: str) -> Tensor:
    gradient = stack.parameters[name].grad
    return torch.zeros_like(stack.parameters[name]) if gradient is None else gradient


def _norm(*tensors: Tensor) -> float:
    """Euclidean, of all numbers in them."""
    return math.hypot(*(float(torch.linalg.vector_norm(one.detach().double())) for one in tensors))


def _last_place(one: Tensor) -> float:
    return torch.finfo(one.dtype).eps * _norm(one)


def _slack(buffer: Tensor) -> float:
    return TOLERANCE * _norm(buffer) if buffer.is_floating_point() else 0.0
