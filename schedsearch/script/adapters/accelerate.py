"""Accelerate: `prepare_scheduler` in the place of `accelerator.prepare(scheduler)`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from accelerate import Accelerator
from accelerate.scheduler import AcceleratedScheduler

if TYPE_CHECKING:
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler

    from schedsearch.script.run import Run

__all__ = ["prepare_scheduler"]


def prepare_scheduler(
    run: Run,
    accelerator: Accelerator,
    optimizer: Optimizer,
    *,
    total_updates: int,
    updates_per_epoch: int = 1,
    default: Callable[[Optimizer], LRScheduler] | None = None,
) -> AcceleratedScheduler:
    """The prepared scheduler of a prepared optimizer; call its `step()` wherever the loop does.

    total_updates: optimizer updates of the whole training, the same on every process. default: makes the script's own
    scheduler, which it gets when it was started alone. Accelerate steps a scheduler once for every process unless
    batches are split, which that default allows for as ever; the run's is stepped once an update, and not at all where
    gradients are accumulated or mixed precision skipped the update.
    """
    own = run.scheduler(
        getattr(optimizer, "optimizer", optimizer),
        total_updates=total_updates,
        updates_per_epoch=updates_per_epoch,
        default=default,
    )
    prepared = accelerator.prepare_scheduler(own)
    if run.is_attached or default is None:
        prepared.split_batches = True
    return prepared
