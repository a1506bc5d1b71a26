"""The two optional answers of a schedule: the startup (`Warmup`) and the trajectory (`Restarts`)."""

from __future__ import annotations

from dataclasses import dataclass
from math import log
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from schedsearch.errors import InvalidSchedule
from schedsearch.schedule import checks
from schedsearch.schedule.decay import Array


@dataclass(frozen=True)
class Warmup:
    """The startup: the factor climbs from `start_factor` at update 0 to 1 at update W = round(fraction * T).

    kind, with v = t / W and s = start_factor: linear s + (1 - s) v (torch LinearLR), cosine
    s + (1 - s)(1 - cos(pi v)) / 2, exponential s ** (1 - v).
    fraction: the share of all updates, in (0, 1); the horizon includes them.
    start_factor: in (0, 1), so that no update is spent at LR 0.
    """

    kind: str = "linear"
    fraction: float = 0.05
    start_factor: float = 0.01
    KINDS: ClassVar[tuple[str, ...]] = ("linear", "cosine", "exponential")

    def __post_init__(self) -> None:
        checks.raise_if_any(
            checks.one_of("warmup.kind", self.kind, self.KINDS)
            + checks.within("warmup.fraction", self.fraction, 0, 1)
            + checks.within("warmup.start_factor", self.start_factor, 0, 1)
        )
        checks.settle(self)

    def value(self, v: Array) -> Array:
        """The factor at warm-up progress `v`, an array of numbers in [0, 1]; same shape."""
        s = self.start_factor
        if self.kind == "exponential":
            return np.asarray(s ** (1 - v), dtype=np.float64)
        climb = v if self.kind == "linear" else (1 - np.cos(np.pi * v)) / 2
        return np.asarray(s + (1 - s) * climb, dtype=np.float64)

    def describe(self) -> str:
        """A few words that a person would say."""
        return f"{self.kind} warm-up {100 * self.fraction:.3g} %"


@dataclass(frozen=True)
class Restarts:
    """The trajectory: the decay updates are cut into `cycles` runs of lengths proportional to growth ** c, c = 0, 1, ..

    cycles: at least 2. growth: finite, at least 1. peak_decay, in (0, 1]: cycle c starts at peak_decay ** c.
    With cosine and growth m this is Loshchilov & Hutter 2016 (arXiv 1608.03983), torch CosineAnnealingWarmRestarts with
    T_0 (1 + m + m ** 2 ..) = the decay updates.
    """

    cycles: int = 2
    growth: float = 1.0
    peak_decay: float = 1.0

    def __post_init__(self) -> None:
        checks.raise_if_any(
            checks.at_least("restarts.cycles", self.cycles, 2)
            + self._growth_faults()
            + checks.within("restarts.peak_decay", self.peak_decay, 0, 1, "(]")
        )
        checks.settle(self)

    def _growth_faults(self) -> list[str]:
        if checks.is_number(self.growth) and self.growth >= 1:
            return []
        given = checks.shown(self.growth)
        return [f"`restarts.growth` must be a finite number of at least 1, but is {given} instead."]

    def lengths(self, steps: int) -> NDArray[np.int64]:
        """Steps of each cycle, shape (cycles,): the ends are rounded, so they sum to `steps` and the last ends there.

        Raises InvalidSchedule when a cycle would be empty.
        """
        # a last weight above 2 * steps leaves less than half a step to the first cycle, and could overflow
        if self.cycles > steps or (self.cycles - 1) * log(self.growth) > log(2 * steps):
            raise self._empty_cycle(steps)
        weights = self.growth ** np.arange(self.cycles, dtype=np.float64)
        reached = np.cumsum(weights)
        ends = np.rint(reached / reached[-1] * steps).astype(np.int64)
        lengths: NDArray[np.int64] = np.diff(ends, prepend=0)
        if lengths.min() < 1:
            raise self._empty_cycle(steps)
        return lengths

    def _empty_cycle(self, steps: int) -> InvalidSchedule:
        return InvalidSchedule(
            "`restarts.cycles` must leave at least one step to each cycle, but "
            f"{self.cycles} cycles of growth {self.growth:g} share {steps} steps."
        )

    def describe(self) -> str:
        """A few words that a person would say."""
        growth = "" if self.growth == 1 else f", each {self.growth:.3g} times longer"
        peaks = "" if self.peak_decay == 1 else f", peaks x {self.peak_decay:.3g}"
        return f"{self.cycles} cycles{growth}{peaks}"
