"""Try a task: everything that can be wrong with it becomes one sentence, before a study is written."""

from __future__ import annotations

import math
import time
from typing import Any

import torch
from torch import Tensor, nn

from schedsearch.errors import InvalidTask
from schedsearch.task import Task
from schedsearch.task.facts import TaskFacts, Together
from schedsearch.task.loading import blamed
from schedsearch.task.randomness import seeded
from schedsearch.training.array_size import together
from schedsearch.training.devices import default_devices, find_device
from schedsearch.training.trainer import Trainer

UPDATES = 2
SEED = 0


def examine(task: Task, reference: str, *, sizes: bool = False) -> TaskFacts:
    """Train the task for two updates at the lowest base LR; `reference` is how the user named it. sizes: measure, by
    more updates, how many runs to train together.

    Leaves the random generators as they were. Raises InvalidTask, one sentence a fault.
    """
    _check_declarations(task)
    devices = default_devices()
    device = find_device(devices[0])
    with seeded(SEED, device):
        with blamed(reference, "data()"):
            task.splits  # noqa: B018  # loads and checks them
        trainer = _trainer(task, reference, device)
        seconds_per_update = [_timed_update(task, reference, trainer) for _ in range(UPDATES)][-1]
        started = time.perf_counter()
        _check_evaluation(task, reference, trainer)
        seconds_per_evaluation = time.perf_counter() - started
    found = Together()
    if sizes:
        with blamed(reference, "an update"):
            found = together(task, task.total_updates, device)
    return TaskFacts(
        name=task.name,
        metric=task.metric,
        direction=task.direction,
        optimizer=_optimizer_name(task, trainer.optimizer),
        batch_size=task.batch_size,
        total_updates=task.total_updates,
        updates_per_epoch=task.updates_per_epoch,
        base_lr_range=task.lr_range(),
        fingerprint=task.fingerprint(),
        parameters=sum(one.numel() for one in trainer.model.parameters() if one.requires_grad),
        seconds_per_update=seconds_per_update,
        seconds_per_evaluation=seconds_per_evaluation,
        devices=tuple(devices),
        together=found,
    )


def _check_declarations(task: Task) -> None:
    faults = []
    if task.direction not in ("minimize", "maximize"):
        faults.append(f'`direction` must be "minimize" or "maximize", but is {task.direction!r} instead.')
    given: Any = task.lr_range()
    is_pair = isinstance(given, tuple | list) and len(given) == 2
    if not (is_pair and 0 < given[0] < given[1] < math.inf):
        faults.append(f"`base_lr_range` must be two numbers with 0 < low < high, but is {given!r} instead.")
    if faults:
        raise InvalidTask(faults)


def _trainer(task: Task, reference: str, device: torch.device) -> Trainer:
    """The trainer, made once every part of it has been tried by itself, so that a fault names the method."""
    with blamed(reference, "model()"):
        model = task.model()
    if not isinstance(model, nn.Module):
        raise InvalidTask(f"model() must return a torch.nn.Module, but returned {type(model).__name__} instead.")
    if not any(one.requires_grad for one in model.parameters()):
        raise InvalidTask("model() must return a module with at least one parameter to train, but it has none.")
    with blamed(reference, "make_optimizer()"):
        optimizer = task.make_optimizer(model)
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise InvalidTask(
            f"make_optimizer() must return a torch.optim.Optimizer, but returned {type(optimizer).__name__} instead."
        )
    with blamed(reference, "the data"):
        trainer = Trainer(task, SEED, device)
        task.updates_per_epoch  # noqa: B018  # raises where it cannot be told
    return trainer


def _timed_update(task: Task, reference: str, trainer: Trainer) -> float:
    """Seconds of one update; the first checks the loss before it is used."""
    if trainer.updates_done == 0:
        _check_loss(task, reference, trainer)
    started = time.perf_counter()
    done = trainer.updates_done
    with blamed(reference, "an update"):
        float(trainer.update(task.lr_range()[0]))
    if trainer.updates_done != done + 1:
        raise InvalidTask(f"The optimizer must do one step an update, but did {trainer.updates_done - done} instead.")
    return time.perf_counter() - started


def _check_loss(task: Task, reference: str, trainer: Trainer) -> None:
    with blamed(reference, "the data"):
        batch = trainer.peek()
    with blamed(reference, "forward()"):
        output = task.forward(trainer.model, batch)
    with blamed(reference, "loss()"):
        loss: Any = task.loss(output, batch)
    if not isinstance(loss, Tensor):
        raise InvalidTask(f"loss() must return a scalar tensor, but returned {type(loss).__name__} instead.")
    if loss.dim() != 0:
        raise InvalidTask(
            f"loss() must return a scalar tensor, but returned one of shape {tuple(loss.shape)} instead; take its mean."
        )
    if not loss.requires_grad:
        raise InvalidTask("loss() must depend on the model's parameters, but has no gradient.")
    start = loss.item()
    if not math.isfinite(start):
        raise InvalidTask(f"The loss must be finite at the start, but is {start} at the first update.")


def _check_evaluation(task: Task, reference: str, trainer: Trainer) -> None:
    with blamed(reference, "the evaluation"):
        values = trainer.evaluate()
    if task.metric not in values:
        raise InvalidTask(
            f"`metric` must be one of {', '.join(values)} (loss, or what metrics() returns), "
            f"but is {task.metric!r} instead."
        )
    if not math.isfinite(values[task.metric]):
        raise InvalidTask(
            f"The validation {task.metric} must be finite after two updates, but is {values[task.metric]} instead."
        )


def _optimizer_name(task: Task, optimizer: torch.optim.Optimizer) -> str:
    """The option's value, or the class of what a task's own `make_optimizer` returned."""
    own = type(task).make_optimizer is not Task.make_optimizer
    return type(optimizer).__name__ if own else task.optimizer
