"""Loops in the manner of timm: `step_update(num_updates)` after every update, `step(epoch)` after every epoch."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler

    from schedsearch.script.run import Run

__all__ = ["UpdateScheduler", "update_scheduler"]


class UpdateScheduler:
    """A schedule's scheduler, moved by the number of updates done that the loop hands in."""

    def __init__(self, scheduler: LRScheduler) -> None:
        self._scheduler = scheduler

    def step_update(self, num_updates: int, metric: float | None = None) -> None:
        """So many updates are done: set the LR of the next one, also far ahead, where a training goes on."""
        if num_updates == self._scheduler.last_epoch + 1:
            self._scheduler.step()
        else:
            self._scheduler.load_state_dict({**self._scheduler.state_dict(), "last_epoch": num_updates})

    def step(self, epoch: int, metric: float | None = None) -> None:
        """An epoch is done: nothing is left to do."""

    def get_last_lr(self) -> list[float]:
        """The LR of every parameter group."""
        return [float(lr) for lr in self._scheduler.get_last_lr()]

    def state_dict(self) -> dict[str, Any]:
        """What is needed to go on."""
        return self._scheduler.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on where the state was taken."""
        self._scheduler.load_state_dict(state_dict)


def update_scheduler(
    run: Run,
    optimizer: Optimizer,
    *,
    total_updates: int,
    updates_per_epoch: int = 1,
    default: Callable[[Optimizer], Any] | None = None,
) -> Any:
    """The scheduler of such a loop.

    total_updates: optimizer updates of the whole training. default: makes the script's own scheduler, one with `step`
    and `step_update`, which it gets when it was started alone; left out, the LR is constant.
    """
    if default is not None and not run.is_attached:
        return default(optimizer)
    return UpdateScheduler(run.scheduler(optimizer, total_updates=total_updates, updates_per_epoch=updates_per_epoch))
