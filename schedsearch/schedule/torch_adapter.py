"""A schedule as a real torch learning-rate scheduler: the one place of this room that imports torch."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from schedsearch.errors import InvalidInput
from schedsearch.schedule.model import Schedule

__all__ = ["Optimizer", "ScheduleLR"]


class ScheduleLR(LRScheduler):
    """Multiplies every parameter group's own base LR by `factor(t)`; call `step()` once after every update.

    The schedule's base LR is that of the optimizer's first group; the others keep their ratio to it, also groups that
    are added later (their LR is then read as the LRs were before the scheduler came). So group g trains at
    `schedule.base_lr * (lr_g / lr_0) * factor(t)`; an LR held in a tensor stays in that tensor. Past the last update
    the last value is held; momentum and betas are never touched.

    The state is the number of updates done and the groups' base LRs: to resume is to evaluate at the next t. Loading
    it sets every group's LR, in whatever order optimizer and scheduler are restored.

    Raises InvalidSchedule like `Schedule.factors`, InvalidInput when the first group's LR is not above 0.
    """

    def __init__(
        self, optimizer: Optimizer, schedule: Schedule, total_updates: int, updates_per_epoch: int | None = None
    ) -> None:
        self._factors = schedule.factors(total_updates, updates_per_epoch)
        self._base_lr = schedule.base_lr
        self._first_lr = _first_lr(optimizer)
        for group in optimizer.param_groups:
            group.pop("initial_lr", None)
        self._adopt(optimizer)
        super().__init__(optimizer)

    def step(self, epoch: int | None = None) -> None:
        """One update is done: set every group's LR for the next one. `epoch` is torch's deprecated argument."""
        self._adopt(self.optimizer)
        super().step(epoch)
        self.base_lrs = self._initial_lrs()

    def get_lr(self) -> list[float | Tensor]:
        """The LR of every group at the present update."""
        factor = self._factor()
        return [initial_lr * factor for initial_lr in self._initial_lrs()]

    def state_dict(self) -> dict[str, Any]:
        """The number of updates done and each group's base LR: plain numbers."""
        return {"last_epoch": self.last_epoch, "base_lrs": self._initial_lrs()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on where the state was taken. Raises InvalidInput when the number of parameter groups differs."""
        groups, base_lrs = self.optimizer.param_groups, [float(one) for one in state_dict["base_lrs"]]
        if len(groups) != len(base_lrs):
            raise InvalidInput(
                f"The scheduler's state must have {len(groups)} `base_lrs`, one for each parameter group of the "
                f"optimizer, but has {len(base_lrs)} instead."
            )
        self.last_epoch = int(state_dict["last_epoch"])
        for group, base_lr in zip(groups, base_lrs, strict=True):
            group["initial_lr"] = base_lr
            _set_lr(group, base_lr * self._factor())
        self.base_lrs = self._initial_lrs()
        self._last_lr = [_copy(group["lr"]) for group in groups]

    def _adopt(self, optimizer: Optimizer) -> None:
        """Give a base LR to the groups that have none yet."""
        for group in optimizer.param_groups:
            if "initial_lr" not in group:
                group["initial_lr"] = self._base_lr * (float(group["lr"]) / self._first_lr)

    def _initial_lrs(self) -> list[float | Tensor]:
        return [float(group["initial_lr"]) for group in self.optimizer.param_groups]

    def _factor(self) -> float:
        return float(self._factors[min(self.last_epoch, len(self._factors) - 1)])


def _first_lr(optimizer: Optimizer) -> float:
    first = float(optimizer.param_groups[0]["lr"])
    if first > 0:
        return first
    raise InvalidInput(
        f"The LR of the optimizer's first parameter group must be greater than 0, but is {first} instead."
    )


def _copy(lr: Any) -> Any:
    return lr.detach().clone() if isinstance(lr, Tensor) else lr


def _set_lr(group: dict[str, Any], lr: float) -> None:
    if isinstance(group["lr"], Tensor):
        group["lr"].fill_(lr)
    else:
        group["lr"] = lr
