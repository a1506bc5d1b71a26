"""One model in training: take an update, look at a split. The loop decides when."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from schedsearch.errors import InvalidTask
from schedsearch.task import Task
from schedsearch.task.randomness import kept, order_generator
from schedsearch.task.splits import Batch, Tensors
from schedsearch.task.stream import BatchStream
from schedsearch.task.tensors import evaluation_batches, examples_in


class Trainer:
    """A new model of the task, its optimizer and its data, all on one device.

    Call within `randomness.seeded`: initialisation and whatever the model draws follow from its generators. The data
    order has a stream of its own. `updates_done` counts the steps that the optimizer itself reports.
    """

    def __init__(self, task: Task, seed: int, device: torch.device) -> None:
        self.task = task
        self.device = device
        self.model = task.model().to(device)
        self.optimizer = task.make_optimizer(self.model)
        self.updates_done = 0
        self.lr_ratios = _lr_ratios(self.optimizer)
        self.splits = task.splits_on(device)
        self._batches = BatchStream(self.splits.train, task.batch_size, order_generator(seed), device)
        self.optimizer.register_step_post_hook(self._count)
        self.model.train()

    def _count(self, *_: Any) -> None:
        self.updates_done += 1

    def update(self, lr: float) -> Tensor:
        """One optimizer update at this LR; the loss of its batch, a detached scalar on the device."""
        self.set_lr(lr)
        loss = self.differentiate(self.next_batch())
        self.step()
        return loss

    def set_lr(self, lr: float) -> None:
        """The LR of the first group; the others keep their ratio to it."""
        for group, ratio in zip(self.optimizer.param_groups, self.lr_ratios, strict=True):
            group["lr"] = lr * ratio

    def differentiate(self, batch: Batch) -> Tensor:
        """The gradient of a batch's loss, in the parameters' `grad`; the loss, detached."""
        self.optimizer.zero_grad(set_to_none=True)
        with self.task.autocast(self.device):
            loss = self.task.loss(self.task.forward(self.model, batch), batch)
        loss.backward()  # type: ignore[no-untyped-call]  # torch's own signature has no types
        return loss.detach()

    def step(self) -> None:
        """One optimizer step along the gradient in `grad`, clipped where the task wants that."""
        if self.task.clip_grad_norm is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.task.clip_grad_norm)
        self.optimizer.step()

    def next_batch(self) -> Batch:
        """The training batch of the next update."""
        return next(self._batches)

    def peek(self) -> Batch:
        """The batch of the next update, which still gets it."""
        return self._batches.peek()

    def state(self) -> dict[str, Any]:
        """Everything that the next update depends on, but for the general generators: plain values and tensors."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "updates_done": self.updates_done,
            "batches": self._batches.position(),
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on where another trainer of the same task and seed was."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.updates_done = state["updates_done"]
        self._batches.seek(state["batches"])

    def evaluate(self, split: Tensors | Iterable[Batch] | None = None) -> dict[str, float]:
        """Loss and metrics on a split (validation by default): means over its examples, in evaluation mode.

        Leaves the random generators as they were, so that training does not depend on when it is looked at.
        """
        chosen = self.splits.validation if split is None else split
        sums: defaultdict[str, float] = defaultdict(float)
        examples = 0
        self.model.eval()
        with kept(self.device), torch.no_grad():
            for batch in evaluation_batches(chosen, self.device):
                size = examples_in(batch)
                for name, value in numbers(self.task, self.model, batch, self.device).items():
                    sums[name] += size * float(value)
                examples += size
        self.model.train()
        if examples == 0:
            raise InvalidTask("The data to evaluate on is empty.")
        return {name: total / examples for name, total in sums.items()}

    def test(self) -> dict[str, float] | None:
        """Loss and metrics on the held-out split, None where the task has none."""
        return None if self.splits.test is None else self.evaluate(self.splits.test)


def numbers(task: Task, model: nn.Module, batch: Batch, device: torch.device) -> dict[str, Tensor | float]:
    """Loss and metrics of one batch."""
    with task.autocast(device):
        output = task.forward(model, batch)
        return {"loss": task.loss(output, batch), **task.metrics(output, batch)}


def _lr_ratios(optimizer: torch.optim.Optimizer) -> list[float]:
    """Every group's LR relative to the first group's. Raises InvalidTask where that is not above 0."""
    lrs = [float(group["lr"]) for group in optimizer.param_groups]
    if not lrs[0] > 0:
        raise InvalidTask(f"The LR of the optimizer's first group must be above 0, but is {lrs[0]:g} instead.")
    return [lr / lrs[0] for lr in lrs]
