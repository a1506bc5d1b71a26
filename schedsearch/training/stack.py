"""K models of one task as one batched model, each with its own LR: an update of all of them, a look at all of them."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, stack_module_state, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.optim import SGD, Adadelta, Adagrad, Adam, Adamax, AdamW, NAdam, Optimizer, RAdam, RMSprop

from schedsearch.errors import InvalidTask, NotBatchable
from schedsearch.task import Task
from schedsearch.task.randomness import generator_states, kept, seeded
from schedsearch.task.splits import Batch, Tensors
from schedsearch.task.tensors import evaluation_batches, examples_in, in_memory
from schedsearch.training.trainer import Trainer, numbers

State = dict[str, Tensor]

LINEAR_IN_LR: tuple[type[Optimizer], ...] = (
    SGD, Adadelta, Adagrad, Adam, Adamax, AdamW, NAdam, RAdam, RMSprop,
)  # fmt: skip
"""Elementwise, and given their state their update is the LR times something that does not depend on the LR."""
PER_ELEMENT = ("sum",)
"""What of them is there before the first step, with the shape of the parameter: Adagrad's accumulator."""
EXAMPLES_AT_ONCE = {"cpu": 1024}
EXAMPLES_AT_ONCE_ELSEWHERE = 65_536
FEWEST_ROWS_AT_ONCE = 4
"""Of a batched look, all its rows together: beyond that many examples a CPU is quicker when it looks row by row."""


class Stack:
    """One model a seed (a seed may be given several times), stacked; row k is the model of `seeds[k]`.

    Call within `randomness.seeded(seeds[0], device)`: rows of one seed draw what a run alone with this seed draws, so
    they share batches, dropout masks and whatever else is random. Rows of different seeds have their own initialisation
    and data order; then the data must be in memory and the model must draw nothing. `updates_done` counts the steps
    that the optimizer itself reports. Raises NotBatchable.
    """

    def __init__(self, task: Task, seeds: Sequence[int], device: torch.device) -> None:
        self.task = task
        self.device = device
        self.updates_done = 0
        self._seeds = list(seeds)
        self._generators: dict[int, dict[str, Any]] = {}
        self._trainers = self._made(seeds)
        self._shared = len(self._trainers) == 1
        self._template = self._trainers[seeds[0]]
        check_supported(self._template)
        if not (self._shared or in_memory(self._template.splits.train)):
            raise NotBatchable(
                "Runs of different seeds train together only on data in memory, but data() returns an iterable: "
                "train runs of one seed together."
            )
        self._holder = _Holder(self._template.model)
        parameters, self._buffers = stack_module_state([self._trainers[seed].model for seed in seeds])
        self.parameters: State = {name: one for name, one in parameters.items() if one.requires_grad}
        self._constants: State = {name: one for name, one in parameters.items() if not one.requires_grad}
        self._optimizer = self._stacked_optimizer()
        self._randomness = "same" if self._shared else "error"
        self._looks_apart = False
        self._gradients = vmap(
            grad_and_value(self._loss, has_aux=True),
            in_dims=(0, 0, 0, None if self._shared else 0),
            randomness=self._randomness,
        )

    def __len__(self) -> int:
        return len(self._seeds)

    @property
    def model(self) -> nn.Module:
        """The module whose layers the rows go through."""
        return self._template.model

    def update(self, lrs: Tensor) -> Tensor:
        """One optimizer update of every row, at LRs of shape (rows,); the rows' losses, detached, on the device."""
        losses = self.differentiate()
        self.step(lrs)
        return losses

    def differentiate(self) -> Tensor:
        """The rows' gradients for their next batches, in the parameters' `grad`; the rows' losses, detached."""
        with _attention_by_definition(self.device):
            gradients, (losses, buffers) = self._gradients(
                self.parameters, self._constants, self._buffers, self._next_batch()
            )
        self._buffers = buffers
        for name, parameter in self.parameters.items():
            parameter.grad = gradients[name].contiguous()  # fused optimizers are wrong otherwise
        detached: Tensor = losses.detach()
        return detached

    @torch.no_grad()
    def step(self, lrs: Tensor) -> None:
        """The optimizer's step at LR 1, each row's share of it scaled by the row's LR; shape of `lrs`: (rows,)."""
        if self.task.clip_grad_norm is not None:
            self._clip(self.task.clip_grad_norm)
        before = [one.clone() for one in self.parameters.values()]
        self._optimizer.step()
        for parameter, old in zip(self.parameters.values(), before, strict=True):
            rates = lrs.to(parameter.dtype).view(-1, *[1] * (parameter.dim() - 1))
            parameter.sub_(old).mul_(rates).add_(old)

    def evaluate(self, split: Tensors | Iterable[Batch] | None = None) -> list[dict[str, float]]:
        """For every row what `Trainer.evaluate` gives for its model alone."""
        chosen = self._template.splits.validation if split is None else split
        sums: defaultdict[str, Tensor | float] = defaultdict(float)
        examples = 0
        with self._looking():
            for batch in evaluation_batches(chosen, self.device):
                size = examples_in(batch)
                for name, values in self._numbers(batch, size).items():
                    sums[name] = sums[name] + size * values
                examples += size
        if examples == 0:
            raise InvalidTask("The data to evaluate on is empty.")
        columns = {name: (total / examples).tolist() for name, total in sums.items() if isinstance(total, Tensor)}
        return [{name: column[row] for name, column in columns.items()} for row in range(len(self))]

    def test(self) -> list[dict[str, float]] | None:
        """Loss and metrics of every row on the held-out split, None where the task has none."""
        split = self._template.splits.test
        return None if split is None else self.evaluate(split)

    def row(self, row: int) -> State:
        """Parameters and buffers of one row by their names in the model: views that change with the next update."""
        return {name: one[row].detach() for name, one in self._everything().items()}

    def run_state(self, row: int) -> dict[str, Any]:
        """What a single run at this point keeps of its trainer and its generators; valid until the next call."""
        seed = self._seeds[row]
        trainer = self._trainers[seed]
        state = self.row(row)
        with torch.no_grad():
            for name, one in (*trainer.model.named_parameters(), *trainer.model.named_buffers()):
                one.copy_(state[name])
        names = {id(one): name for name, one in trainer.model.named_parameters() if one.requires_grad}
        for one in (one for group in trainer.optimizer.param_groups for one in group["params"] if id(one) in names):
            trainer.optimizer.state[one] = self._remembered(self.parameters[names[id(one)]], row)
        trainer.updates_done = self.updates_done
        generators = self._generators.get(seed) or generator_states(self.device)
        return {"trainer": trainer.state(), "generators": generators}

    def _remembered(self, parameter: Tensor, row: int) -> dict[str, Any]:
        """What the optimizer remembers of one row of a parameter, on its own."""
        return {
            name: value[row].clone() if isinstance(value, Tensor) and value.shape == parameter.shape else value
            for name, value in self._optimizer.state[parameter].items()
        }

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these rows only."""
        chosen = torch.tensor(rows, device=self.device)
        for parameter in self.parameters.values():
            for name, value in self._optimizer.state[parameter].items():
                if isinstance(value, Tensor) and value.shape == parameter.shape:
                    self._optimizer.state[parameter][name] = value[chosen]
        for parameter in self.parameters.values():
            parameter.grad = None
            parameter.data = parameter.data[chosen]
        self._constants = {name: one[chosen] for name, one in self._constants.items()}
        self._buffers = {name: one[chosen] for name, one in self._buffers.items()}
        self._seeds = [self._seeds[row] for row in rows]

    def _made(self, seeds: Sequence[int]) -> dict[int, Trainer]:
        """A trainer for each seed; the generators are left as a run alone with the first seed has them."""
        others = {}
        for seed in dict.fromkeys(seeds):
            if seed != seeds[0]:
                with seeded(seed, self.device):
                    others[seed] = Trainer(self.task, seed, self.device)
                    self._generators[seed] = generator_states(self.device)
        return {seeds[0]: Trainer(self.task, seeds[0], self.device), **others}

    def _stacked_optimizer(self) -> Optimizer:
        """The template's optimizer over the stacked parameters, every group at its ratio to an LR of 1."""
        names = {id(one): name for name, one in self._template.model.named_parameters()}
        groups = [
            {**group, "params": [self.parameters[names[id(one)]] for one in group["params"] if one.requires_grad]}
            for group in self._template.optimizer.param_groups
        ]
        for group, ratio in zip(groups, self._template.lr_ratios, strict=True):
            group["lr"] = ratio
        make: Callable[[Any], Optimizer] = type(self._template.optimizer)  # every default stands in the groups
        optimizer = make(groups)
        for parameter, remembered in self._template.optimizer.state.items():
            if parameter.requires_grad:
                optimizer.state[self.parameters[names[id(parameter)]]] = {
                    name: self._for_all(one) if name in PER_ELEMENT else one for name, one in remembered.items()
                }
        optimizer.register_step_post_hook(self._count)
        return optimizer

    def _for_all(self, value: Tensor) -> Tensor:
        return torch.stack([value] * len(self))

    def _count(self, *_: Any) -> None:
        self.updates_done += 1

    def _next_batch(self) -> Batch:
        """The batch that all rows share, or one with the rows' own batches stacked."""
        batches = {seed: self._trainers[seed].next_batch() for seed in dict.fromkeys(self._seeds)}
        if self._shared:
            return batches[self._seeds[0]]
        return tuple(torch.stack(parts) for parts in zip(*(batches[seed] for seed in self._seeds), strict=True))

    def _everything(self) -> State:
        return {**self.parameters, **self._constants, **self._buffers}

    def _loss(self, parameters: State, constants: State, buffers: State, batch: Batch) -> tuple[Tensor, State]:
        """The loss of one row, and its buffers afterwards: also those that the model replaced by new tensors."""

        def of(model: nn.Module) -> tuple[Tensor, State]:
            loss = self.task.loss(self.task.forward(model, batch), batch)
            return loss, dict(model.named_buffers())

        found: tuple[Tensor, State] = self._holder.call({**parameters, **constants, **buffers}, of)
        return found

    def _clip(self, largest: float) -> None:
        """What `clip_grad_norm_` does, for every row by itself."""
        gradients = [one.grad for one in self.parameters.values() if one.grad is not None]
        norms = torch.stack([torch.linalg.vector_norm(one.reshape(len(one), -1), dim=1) for one in gradients])
        shrink = (largest / (torch.linalg.vector_norm(norms, dim=0) + 1e-6)).clamp(max=1.0)
        for one in gradients:
            one.mul_(shrink.to(one.dtype).view(-1, *[1] * (one.dim() - 1)))

    @contextmanager
    def _looking(self) -> Iterator[None]:
        """Evaluation mode, nothing differentiated, the generators afterwards as they were."""
        self._template.model.eval()
        try:
            with kept(self.device), torch.no_grad(), _attention_by_definition(self.device):
                yield
        finally:
            self._template.model.train()

    def _numbers(self, batch: Batch, size: int) -> dict[str, Tensor]:
        """Loss and metrics of one batch, float64, of shape (rows,)."""
        chunk = EXAMPLES_AT_ONCE.get(self.device.type, EXAMPLES_AT_ONCE_ELSEWHERE) // size
        if chunk >= FEWEST_ROWS_AT_ONCE and not self._looks_apart:
            try:
                look: Any = vmap(partial(self._numbers_of, batch=batch), randomness=self._randomness, chunk_size=chunk)
                return dict(look(self._everything()))
            except (RuntimeError, TypeError, ValueError):  # metrics that leave torch, for example by .item()
                self._looks_apart = True
        rows = [self._numbers_of(self.row(row), batch) for row in range(len(self))]
        return {name: torch.stack([one[name] for one in rows]) for name in rows[0]}

    def _numbers_of(self, state: State, batch: Batch) -> dict[str, Tensor]:
        found: Mapping[str, Tensor | float] = self._holder.call(
            state, lambda model: numbers(self.task, model, batch, self.device)
        )
        return {
            name: torch.as_tensor(value, dtype=torch.float64, device=self.device).reshape(())
            for name, value in found.items()
        }


class _Holder(nn.Module):
    """Lends a model with exchanged parameters and buffers to any function of it."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def call(self, state: State, function: Callable[[nn.Module], Any]) -> Any:
        return functional_call(self, {f"model.{name}": one for name, one in state.items()}, (function,))

    def forward(self, function: Callable[[nn.Module], Any]) -> Any:
        return function(self.model)


def check_supported(trainer: Trainer) -> None:
    """Raises NotBatchable for what is known to fail or to be wrong; the guard finds the rest."""
    if trainer.task.precision != "float32":
        raise NotBatchable(
            f"With `precision` = {trainer.task.precision} the rounding of one batched model is too far from that of "
            "single runs to tell it from a mistake: train run by run."
        )
    kind = type(trainer.optimizer)
    if kind not in LINEAR_IN_LR:
        names = ", ".join(one.__name__ for one in LINEAR_IN_LR)
        raise NotBatchable(
            f"An array scales one step by many LRs, which is exact for {names}, but the optimizer is {kind.__name__}: "
            "train run by run."
        )
    for name, module in trainer.model.named_modules():
        reason = _reason_against(module)
        if reason is not None:
            raise NotBatchable(f"The layer `{name}` ({type(module).__name__}) {reason}: train run by run.")


def _reason_against(module: nn.Module) -> str | None:
    if isinstance(module, nn.RNNBase | nn.RNNCellBase):
        return "is recurrent, which torch cannot batch over models"
    if isinstance(module, nn.Embedding | nn.EmbeddingBag) and module.sparse:
        return "has sparse gradients, which torch cannot batch over models (`sparse=False` would do)"
    if isinstance(module, nn.TransformerEncoderLayer | nn.TransformerDecoderLayer) and module.dropout.p > 0:
        return "draws other dropout masks when it is batched (`dropout=0` would do)"
    return None


def _attention_by_definition(device: torch.device) -> Any:
    """Under vmap torch's attention for CPUs is a loop over the rows; its definition in matrix products is batched."""
    return sdpa_kernel(SDPBackend.MATH) if device.type == "cpu" else nullcontext()


@contextmanager
def loops_unmentioned() -> Iterator[None]:
    """Without torch's warning for every operation that vmap carries out row by row: right, and seen in the timing."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="There is a performance drop because we have not yet implemented")
        yield
