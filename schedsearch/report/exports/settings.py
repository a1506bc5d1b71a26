"""Which settings of a framework give a schedule: decided by comparing the learning rates of every update."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schedsearch.schedule import Decay, MultiStep, Schedule, Step

Array = NDArray[np.float64]
LINE_WIDTH = 100
TINY = 1e-290  # nearer to 0 float64 has fewer digits
RELATIVE = 1e-12
ROUNDING = 4 * float(np.finfo(np.float64).eps)  # of the base LR: 1 + cos(x) cancels near its zero


class Name(str):
    """An argument that is a name in the exported file, not a text."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


@dataclass(frozen=True)
class Curve:
    """A schedule at one horizon, in updates: what the settings of frameworks are compared with.

    Raises InvalidSchedule like `Schedule.factors`.
    """

    schedule: Schedule
    total_updates: int
    updates_per_epoch: int | None

    def __post_init__(self) -> None:
        _ = self.lrs  # refuses an impossible horizon

    @cached_property
    def lrs(self) -> Array:
        """The learning rate of every update, shape (total_updates,)."""
        return self.schedule.lrs(self.total_updates, self.updates_per_epoch)

    @property
    def base_lr(self) -> float:
        """The schedule's base LR, a Python float."""
        return float(self.schedule.base_lr)

    @property
    def every(self) -> int:
        """For how many updates the learning rate is held."""
        every = self.updates_per_epoch if self.schedule.step_every == "epoch" else self.schedule.step_every
        return int(every or 1)

    @cached_property
    def warm(self) -> int:
        """Updates of the warm-up, 0 without one."""
        return self.schedule.warmup_steps(self._steps) * self.every

    @cached_property
    def cycles(self) -> tuple[int, ...]:
        """Updates of each cycle of the decay; one where there are no restarts."""
        restarts, steps = self.schedule.restarts, self._steps - self.warm // self.every
        lengths = [steps] if restarts is None else restarts.lengths(steps).tolist()
        ends = [min(self.warm + self.every * int(end), self.total_updates) for end in np.cumsum(lengths)]
        return tuple(end - start for start, end in pairwise([self.warm, *ends]))

    @property
    def decay_updates(self) -> int:
        """Updates after the warm-up."""
        return self.total_updates - self.warm

    @property
    def peak_decay(self) -> float:
        """Each cycle's peak as a ratio of that of the one before."""
        return 1.0 if self.schedule.restarts is None else float(self.schedule.restarts.peak_decay)

    @property
    def start_factor(self) -> float:
        """Where the warm-up starts, as a ratio of the base LR; 1 without one."""
        return 1.0 if self.schedule.warmup is None else float(self.schedule.warmup.start_factor)

    @property
    def is_warmed_linearly(self) -> bool:
        """Whether the warm-up is a straight line, or there is none."""
        return self.schedule.warmup is None or self.schedule.warmup.kind == "linear"

    @property
    def end_factor(self) -> float:
        """The decay's `final_factor`, else the last update's factor (of the base LR)."""
        last = self.lrs[-1] / self.base_lr
        return float(getattr(self.schedule.decay, "final_factor", last))

    @property
    def _steps(self) -> int:
        return -(-self.total_updates // self.every)


@dataclass(frozen=True)
class Setting:
    """A class (or a named kind) of a framework, its arguments, and the learning rate that it gives at every update."""

    name: str
    arguments: Mapping[str, Any]
    lrs: Array

    def call(self, *given: str, indent: int | None = None) -> str:
        """The Python text that makes it; `given` goes before its arguments. With an indent, one line an argument where
        one line for all would be long."""
        arguments = [*given, *(f"{key}={value!r}".replace("'", '"') for key, value in self.arguments.items())]
        line = f"{self.name}({', '.join(arguments)})"
        if indent is None or len(line) <= LINE_WIDTH:
            return line
        space = "\n" + " " * indent
        return f"{self.name}({''.join(f'{space}    {one},' for one in arguments)}{space})"


@dataclass(frozen=True)
class Difference:
    """How far learning rates are from a schedule's.

    relative: the largest difference as a ratio of the schedule's LR of that update (infinite where that is 0).
    of_base: the largest as a ratio of the base LR. mean: the mean over all updates, as a ratio of the base LR.
    is_rounding: nowhere more than RELATIVE of the schedule's LR plus ROUNDING of the base LR.
    """

    relative: float
    relative_update: int
    of_base: float
    of_base_update: int
    mean: float
    is_rounding: bool

    @property
    def text(self) -> str:
        """One sentence without its full stop."""
        return (
            f"the largest relative difference to the schedule is {100 * self.relative:.3g} %, at update "
            f"{self.relative_update}; the largest difference is {100 * self.of_base:.3g} % of the base LR, at update "
            f"{self.of_base_update}"
        )


def difference(lrs: Array, curve: Curve) -> Difference:
    """How far these learning rates, shape (total_updates,), are from the curve's."""
    apart = np.abs(lrs - curve.lrs)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        relative = np.where(apart == 0, 0.0, apart / curve.lrs)
    worst, largest = int(np.argmax(relative)), int(np.argmax(apart))
    is_rounding = bool(np.all(apart <= RELATIVE * curve.lrs + ROUNDING * curve.base_lr))
    of_base = apart / curve.base_lr
    return Difference(
        float(relative[worst]), worst, float(of_base[largest]), largest, float(of_base.mean()), is_rounding
    )


def nearest(settings: Iterable[Setting], curve: Curve) -> tuple[Setting, Difference]:
    """The first setting that is the schedule up to rounding, else that of the smallest mean difference."""
    best: tuple[Setting, Difference] | None = None
    for setting in settings:
        found = difference(setting.lrs, curve)
        if found.is_rounding:
            return setting, found
        if best is None or found.mean < best[1].mean:
            best = setting, found
    if best is None:
        raise ValueError("`settings` must not be empty.")
    return best


def drops(factors: Array, decay: Decay) -> list[int] | None:
    """The updates at which a (multi-)step decay drops, one entry a drop; None for another decay, where it reaches 0 and
    where it rises again.

    factors: the decay's of one cycle, relative to its peak.
    """
    if not isinstance(decay, (Step, MultiStep)) or factors.min() <= 0 or np.any(np.diff(factors) > 0):
        return None
    passed = np.rint(np.log(factors) / np.log(decay.gamma)).astype(int)
    return [int(t) for t in np.repeat(np.arange(len(factors)), np.diff(passed, prepend=0))]


def whole(number: float) -> float | int:
    """A number that is an integer up to rounding as that integer."""
    return round(number) if abs(number - round(number)) < 1e-9 * abs(number) else number


def comment(text: str, indent: int = 0) -> str:
    """The text as comment lines."""
    mark = " " * indent + "# "
    return textwrap.fill(text, LINE_WIDTH, initial_indent=mark, subsequent_indent=mark, break_on_hyphens=False)


def fractions(curve: Curve) -> str:
    """Comment lines: how the counts of updates above follow from the horizon."""
    warmup, restarts = curve.schedule.warmup, curve.schedule.restarts
    held = "" if curve.every == 1 else f", in steps of {curve.every}"
    counts = [f"{curve.total_updates} updates in all{held}"]
    if warmup is not None:
        counts.append(f"{curve.warm} of warm-up = round({warmup.fraction:.6g} * all)")
    if restarts is not None:
        counts.append(f"{restarts.cycles} cycles of {', '.join(map(str, curve.cycles))}")
    elif warmup is not None:
        counts.append(f"{curve.decay_updates} of decay")
    return f"# Counts are those of this horizon: {'; '.join(counts)}.\n# Another horizon: keep the fractions."
