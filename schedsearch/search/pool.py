"""Candidates that a study could try: shapes drawn from its search space, described once, free to move in base LR.

Every feature of a curve shifts by log10 of the base LR, so a shape is described at base LR 1 and costs nothing to try
at any other. Curves are described on at most DESCRIBED_UPDATES updates, so a pool costs the same at any horizon.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import log10
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schedsearch.errors import InvalidInput
from schedsearch.schedule import FEATURE_NAMES, Linear, Schedule, convex_bound, describe_curves
from schedsearch.space import Arm, SearchSpace, arm_of

Array = NDArray[np.float64]
Params = Mapping[str, Any]

DESCRIBED_UPDATES = 512
SAME_LOG = 1e-12
LOG_SUM = FEATURE_NAMES.index("log_sum")


@dataclass(frozen=True, eq=False)
class Shape:
    """A schedule without its base LR. features (F,) at base LR 1; log_scale: log10 of g*, the base LR that convex
    theory gives this shape relative to linear-to-0."""

    params: Params
    arm: Arm
    features: Array
    log_scale: float


@dataclass(frozen=True)
class Describer:
    """Turns parameters of a space into shapes, for one horizon."""

    space: SearchSpace
    total_updates: int
    updates_per_epoch: int | None = None

    @cached_property
    def described_updates(self) -> int:
        return min(self.total_updates, DESCRIBED_UPDATES)

    @cached_property
    def log_range(self) -> tuple[float, float]:
        """log10 of the base LR's range. Raises InvalidInput where the space leaves it open."""
        if self.space.base_lr is None:
            raise InvalidInput(
                f"`base_lr` of the space {self.space.name!r} must have a range, but is open; "
                "fix one with `space.with_base_lr(low, high)`."
            )
        low, high = self.space.base_lr
        return log10(low), log10(high)

    def shape(self, params: Params) -> Shape:
        """The shape of these parameters. Raises KeyError where one is missing, InvalidInput for an impossible one."""
        return self._described([self._drawn(params)])[0]

    def curve(self, params: Params) -> Array:
        """The learning rate of every update of these parameters, (total_updates,)."""
        return self.space.schedule(params).lrs(self.total_updates, self.updates_per_epoch)

    def params(self, shape: Shape, log_lr: float) -> dict[str, Any]:
        """The parameters of this shape at this base LR; its own base LR stays exactly what it was."""
        own = shape.params["base_lr"]
        return {**shape.params, "base_lr": own if abs(log10(own) - log_lr) < SAME_LOG else self.base_lr(log_lr)}

    def base_lr(self, log_lr: float) -> float:
        """The base LR of this log10, never outside the range by rounding."""
        low, high = self.space.base_lr or (0.0, float("inf"))
        return float(min(high, max(low, 10**log_lr)))

    def shapes(self, many: Iterable[Params]) -> list[Shape]:
        """The shapes of those parameters that make a possible schedule at this horizon."""
        found = []
        for params in many:
            try:
                found.append(self._drawn(params))
            except InvalidInput:
                continue
        return self._described(found)

    def _described(self, many: Sequence[tuple[Params, Arm, Array]]) -> list[Shape]:
        """The shapes of parameters with their arm and their factors at the described updates."""
        features = describe_curves([factors for _, _, factors in many])
        features[:, LOG_SUM] += log10(self.total_updates / self.described_updates)
        bounds = [convex_bound(factors).best_scale for _, _, factors in many]
        return [
            Shape(params, arm, row, log10(bound / self._linear_scale))
            for (params, arm, _), row, bound in zip(many, features, bounds, strict=True)
        ]

    @cached_property
    def _linear_scale(self) -> float:
        return convex_bound(Schedule(1.0, Linear()).factors(self.described_updates)).best_scale

    def _drawn(self, params: Params) -> tuple[Params, Arm, Array]:
        schedule = self.space.schedule(params)
        short, per_epoch = self._shortened(schedule)
        return params, arm_of(schedule), short.factors(self.described_updates, per_epoch)

    def _shortened(self, schedule: Schedule) -> tuple[Schedule, int | None]:
        """The same schedule for the described updates: a stepping frequency counts updates, so it shrinks too."""
        ratio = self.described_updates / self.total_updates
        if schedule.step_every == "epoch":
            every = self.updates_per_epoch
            return schedule, None if every is None else max(1, round(every * ratio))
        return replace(schedule, step_every=max(1, round(schedule.step_every * ratio))), None


@dataclass(frozen=True, eq=False)
class Pool:
    """Candidates: shape number `shape[i]` at base LR 10 ** log_lr[i]; features (m, F)."""

    shapes: Sequence[Shape]
    shape: NDArray[np.intp]
    log_lr: Array

    @classmethod
    def of(cls, shapes: Sequence[Shape], log_lrs: Array) -> Pool:
        """Every shape at each of its own base LRs, log_lrs (len(shapes), copies)."""
        copies = log_lrs.shape[1]
        return cls(shapes, np.repeat(np.arange(len(shapes)), copies), log_lrs.ravel())

    def and_also(self, other: Pool) -> Pool:
        """The candidates of both."""
        return Pool(
            [*self.shapes, *other.shapes],
            np.concatenate([self.shape, other.shape + len(self.shapes)]),
            np.concatenate([self.log_lr, other.log_lr]),
        )

    @cached_property
    def features(self) -> Array:
        at_one = np.stack([shape.features for shape in self.shapes])
        return np.asarray(at_one[self.shape] + self.log_lr[:, None], dtype=np.float64)

    @cached_property
    def arms(self) -> list[Arm]:
        """The arm of every candidate, (m,)."""
        return [self.shapes[index].arm for index in self.shape]

    def at(self, index: int) -> tuple[Shape, float]:
        """Candidate `index`: its shape and the log10 of its base LR."""
        return self.shapes[self.shape[index]], float(self.log_lr[index])


@dataclass(frozen=True)
class Centre:
    """Where good base LRs lie once the shape is taken out: log10 (base LR / g*), its mean and spread in decades."""

    log_lr: float
    spread: float


def centred_log_lrs(
    shapes: Sequence[Shape],
    copies: int,
    bounds: tuple[float, float],
    centre: Centre | None,
    near: float,
    rng: np.random.Generator,
) -> Array:
    """Base LRs to try each shape at, log10, (len(shapes), copies), inside `bounds`.

    A share `near` of them is normal around the centre, moved by the shape's own g*; the others are uniform.
    """
    low, high = bounds
    size = (len(shapes), copies)
    uniform = rng.uniform(low, high, size)
    if centre is None:
        return np.asarray(uniform, dtype=np.float64)
    scales = np.array([shape.log_scale for shape in shapes])[:, None]
    normal = centre.log_lr + scales + centre.spread * rng.standard_normal(size)
    return np.where(rng.random(size) < near, reflected(normal, bounds), uniform)


def reflected(values: Array, bounds: tuple[float, float]) -> Array:
    """Values mirrored at the bounds until they lie inside."""
    low, high = bounds
    width = high - low
    if width <= 0:
        return np.full_like(values, low)
    place = np.abs(values - low) % (2 * width)
    return np.asarray(low + np.where(place > width, 2 * width - place, place), dtype=np.float64)
