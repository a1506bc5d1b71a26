"""`Schedule`: the three answers (startup, decay, trajectory), the base LR and the stepping frequency, as one value."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from schedsearch.errors import InvalidSchedule
from schedsearch.schedule import checks
from schedsearch.schedule.decay import Array, Decay
from schedsearch.schedule.parts import Restarts, Warmup
from schedsearch.schedule.serial import schedule_arguments

if TYPE_CHECKING:
    from schedsearch.schedule.torch_adapter import Optimizer, ScheduleLR


@dataclass(frozen=True)
class Schedule:
    """lr(t) = base_lr * factor(t) for the updates t = 0 .. T-1; the horizon T is handed in, never stored.

    With step_every = n the factor is held for n updates: t' = floor(t / n), T' = ceil(T / n). Then, for W warm-up steps
    and D = T' - W decay steps:

        t' <  W:  warm-up at progress t' / W, from start_factor towards 1, which is reached at t' = W
        t' >= W:  x = (t' - W) / D in [0, 1); single: decay(x); restarts: peak_decay ** c * decay(progress in cycle c)

    base_lr: above 0. step_every: a number of updates of at least 1, or "epoch", which `updates_per_epoch` resolves.
    The total T includes the warm-up, and no update is spent at LR 0 by the warm-up. Every parameter group keeps its own
    base LR and shares the factor; momentum and betas are never touched. An impossible schedule raises InvalidSchedule;
    nothing is repaired.

    >>> from schedsearch.schedule import Linear, Schedule, Warmup
    >>> Schedule(base_lr=0.1, decay=Linear(), warmup=Warmup("linear", 0.4, 0.5)).lrs(5).round(3).tolist()
    [0.05, 0.075, 0.1, 0.067, 0.033]
    """

    base_lr: float
    decay: Decay
    warmup: Warmup | None = None
    restarts: Restarts | None = None
    step_every: int | Literal["epoch"] = 1

    def __post_init__(self) -> None:
        checks.raise_if_any(
            checks.positive("base_lr", self.base_lr)
            + checks.instance("decay", self.decay, Decay)
            + checks.instance("warmup", self.warmup, Warmup, None)
            + checks.instance("restarts", self.restarts, Restarts, None)
            + checks.step_every(self.step_every)
        )
        checks.settle(self)

    # ---- evaluation

    def factors(self, total_updates: int, updates_per_epoch: int | None = None) -> Array:
        """factor(t) for t = 0 .. T-1: float64 of shape (total_updates,), each in [0, 1].

        Raises InvalidSchedule when the horizon is below 2 updates or 2 steps, leaves no step to the decay or to a
        cycle, or when `step_every` is "epoch" and `updates_per_epoch` is not given.
        """
        checks.raise_if_any(checks.at_least("total_updates", total_updates, 2))
        every = self._updates_per_step(updates_per_epoch)
        steps = -(-total_updates // every)
        if steps < 2:
            raise InvalidSchedule(
                f"`step_every` must be below the horizon of {total_updates} updates, but is {every} updates instead."
            )
        by_step = self._factors_by_step(steps)
        return np.repeat(by_step, every)[:total_updates] if every > 1 else by_step

    def lrs(self, total_updates: int, updates_per_epoch: int | None = None) -> Array:
        """The learning rate of every update: float64 of shape (total_updates,). Raises like `factors`."""
        return self.base_lr * self.factors(total_updates, updates_per_epoch)

    def lr(self, t: int, total_updates: int, updates_per_epoch: int | None = None) -> float:
        """The learning rate of update t, equal to `lrs(...)[t]`. Raises InvalidSchedule outside 0 .. T-1."""
        lrs = _recent_lrs(self, total_updates, updates_per_epoch)
        if not (checks.is_integer(t) and 0 <= t < total_updates):
            raise InvalidSchedule(f"`t` must be an integer in [0, {total_updates}), but is {checks.shown(t)} instead.")
        return float(lrs[t])

    def warmup_steps(self, steps: int) -> int:
        """W = round(fraction * steps), halves to even, at least 1 where there is a warm-up, and below `steps`."""
        if self.warmup is None:
            return 0
        warm = max(1, round(self.warmup.fraction * steps))
        if warm >= steps:
            raise InvalidSchedule(
                f"`warmup.fraction` must leave at least one step to the decay, but {self.warmup.fraction:g} of "
                f"{steps} steps is {warm} instead."
            )
        return warm

    def scheduler(self, optimizer: Optimizer, total_updates: int, updates_per_epoch: int | None = None) -> ScheduleLR:
        """A torch scheduler that follows this schedule; see `schedsearch.schedule.torch_adapter`."""
        from schedsearch.schedule.torch_adapter import ScheduleLR  # torch costs seconds to import

        return ScheduleLR(optimizer, self, total_updates, updates_per_epoch)

    def _updates_per_step(self, updates_per_epoch: int | None) -> int:
        if self.step_every != "epoch":
            return self.step_every
        if updates_per_epoch is None:
            raise InvalidSchedule('`updates_per_epoch` must be given, because `step_every` is "epoch".')
        checks.raise_if_any(checks.at_least("updates_per_epoch", updates_per_epoch, 1))
        return int(updates_per_epoch)

    def _factors_by_step(self, steps: int) -> Array:
        warm = self.warmup_steps(steps)
        decayed = self._decay_factors(steps - warm)
        if self.warmup is None:
            return decayed
        return np.concatenate([self.warmup.value(np.arange(warm) / warm), decayed])

    def _decay_factors(self, steps: int) -> Array:
        if self.restarts is None:
            return self.decay.value(np.arange(steps) / steps)
        cycles = enumerate(self.restarts.lengths(steps))
        peak = self.restarts.peak_decay
        return np.concatenate([peak**cycle * self.decay.value(np.arange(n) / n) for cycle, n in cycles])

    # ---- change, words, serialized form

    def with_base_lr(self, base_lr: float) -> Schedule:
        """The same shape at another base LR."""
        return replace(self, base_lr=base_lr)

    def describe(self) -> str:
        """One line that a person would say, e.g. `linear warm-up 5 %, cosine to 0, 3 cycles; base LR 0.1`."""
        parts = [part.describe() for part in (self.warmup, self.decay, self.restarts) if part is not None]
        if self.step_every != 1:
            parts.append(f"stepped every {'epoch' if self.step_every == 'epoch' else f'{self.step_every} updates'}")
        return f"{', '.join(parts)}; base LR {self.base_lr:.3g}"

    def to_dict(self) -> dict[str, Any]:
        """The serialized form (stable; stored in SQL, MLflow and exported files); `from_dict` gives this value back."""
        return {
            "base_lr": self.base_lr,
            "warmup": None if self.warmup is None else asdict(self.warmup),
            "decay": self.decay.to_dict(),
            "restarts": None if self.restarts is None else asdict(self.restarts),
            "step_every": self.step_every,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Schedule:
        """The schedule of a serialized form. Raises InvalidSchedule with every unknown, missing and bad value."""
        return cls(**schedule_arguments(values))

    def key(self) -> str:
        """16 hexadecimal digits that name this schedule: the same for equal schedules, on every machine."""
        canonical = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]


@lru_cache(maxsize=4)
def _recent_lrs(schedule: Schedule, total_updates: int, updates_per_epoch: int | None) -> Array:
    """The curves asked for last, so that a loop that asks update by update costs O(T) in all; never handed out."""
    return schedule.lrs(total_updates, updates_per_epoch)
