"""Runs whose trouble is known, because they are simulated from its cause and not from its definition.

A run is a gap to the best loss that closes at a rate proportional to the LR, beside a floor that the LR itself holds up
(the noise of large steps) and follows it within a few updates. On top of that each trouble has a cause of its own: a
curvature that the first LRs do not stand, a saddle that is left by exponential growth, an LR that ends too early, a
floor that is most of the loss. Lengths, numbers of measurements, levels, shapes and noise vary.
"""

from collections.abc import Callable
from math import exp, inf, pi

import numpy as np
from numpy.typing import NDArray

from schedsearch.evidence.diagnosis import Curve, Kind

Array = NDArray[np.float64]
Shape = Callable[[Array], Array]


def cosine(x: Array) -> Array:
    return (1 + np.cos(pi * x)) / 2


def linear(x: Array) -> Array:
    return 1 - x


def constant(x: Array) -> Array:
    return np.ones_like(x)


def step(x: Array) -> Array:
    return np.where(x < 0.6, 1.0, np.where(x < 0.85, 0.1, 0.01))


def cooldown(x: Array) -> Array:
    return np.minimum(1.0, (1 - x) / 0.3)


GENTLE: tuple[Shape, ...] = (cosine, linear, cooldown)


def labelled_run(kind: Kind, rng: np.random.Generator) -> Curve:
    """A run of this kind; everything but its trouble is drawn."""
    total = int(rng.integers(80, 2000))
    top = float(10 ** rng.uniform(-3.5, 0))
    factors = {
        Kind.UNSTABLE_START: _any_shape,
        Kind.PLATEAU_ESCAPE: _steady_shape,
        Kind.FROZEN_EARLY: _short_shape,
        Kind.WANDERING: _late_drop,
        Kind.HEALTHY: _any_shape,
    }[kind](total, rng)
    losses = {
        Kind.UNSTABLE_START: _unstable,
        Kind.PLATEAU_ESCAPE: _saddle,
        Kind.FROZEN_EARLY: _slow,
        Kind.WANDERING: _noisy,
        Kind.HEALTHY: _smooth,
    }[kind](factors, rng)
    start, best = float(rng.uniform(0.5, 6.0)), float(rng.uniform(0.0, 0.4))
    return _measured(best + (start - best) * losses, top * factors, start, rng)


def _measured(losses: Array, lrs: Array, start: float, rng: np.random.Generator) -> Curve:
    total, count = len(losses), int(rng.integers(14, 26))
    bad = np.flatnonzero(~np.isfinite(losses))
    diverged_at = int(bad[0]) if bad.size else None
    noisy = losses * (1 + rng.normal(0, 0.04, total))
    marks = sorted({round(k * total / count) - 1 for k in range(1, count + 1)})
    if diverged_at is not None:
        marks = [*(mark for mark in marks if mark < diverged_at), diverged_at]
    edges = [-1, *marks]
    windows = [noisy[a + 1 : b + 1] for a, b in zip(edges, marks, strict=False)]
    train = [float(one.mean()) if np.isfinite(one).all() else None for one in windows]
    gap = float(rng.uniform(0.95, 1.15))
    validation = [_finite(float(losses[mark] * gap + 0.004 * start * rng.normal())) for mark in marks]
    first = float(noisy[0])
    return Curve(total, marks, [float(lrs[mark]) for mark in marks], train, validation, first, diverged_at)


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _with_warmup(factors: Array, rng: np.random.Generator, *, chance: float = 0.5) -> Array:
    if rng.random() > chance:
        return factors
    warm = max(1, round(float(rng.uniform(0.01, 0.15)) * len(factors)))
    return np.concatenate([np.linspace(0.02, 1.0, warm, endpoint=False), factors])[: len(factors)]


def _any_shape(total: int, rng: np.random.Generator) -> Array:
    shape = GENTLE[rng.integers(len(GENTLE))]
    return _with_warmup(shape(np.arange(total) / total), rng)


def _steady_shape(total: int, rng: np.random.Generator) -> Array:
    shape = (cooldown, constant)[rng.integers(2)]
    return _with_warmup(shape(np.arange(total) / total), rng, chance=0.3)


def _late_drop(total: int, rng: np.random.Generator) -> Array:
    shape = (cooldown, step)[rng.integers(2)]
    return _with_warmup(shape(np.arange(total) / total), rng, chance=0.3)


def _short_shape(total: int, rng: np.random.Generator) -> Array:
    """A descent that is over after a third to two thirds of the horizon."""
    share = float(rng.uniform(0.35, 0.65))
    shape = GENTLE[rng.integers(2)]
    return _with_warmup(np.maximum(1e-3, shape(np.minimum(1.0, np.arange(total) / total / share))), rng, chance=0.3)


def _descent(factors: Array, pace: float, hold: float) -> Array:
    """The gap closes by `pace` times the mean LR over the horizon; the floor follows `hold` times the LR."""
    total, gap, floor = len(factors), 1.0, 0.0
    losses = np.empty(total)
    for t, factor in enumerate(factors):
        losses[t] = gap + floor
        gap *= exp(-pace * factor / total)
        floor += (hold * factor - floor) / max(2.0, total / 60)
    return losses


def _smooth(factors: Array, rng: np.random.Generator) -> Array:
    return _descent(factors, float(rng.uniform(4, 12)), float(rng.uniform(0, 0.06)))


def _slow(factors: Array, rng: np.random.Generator) -> Array:
    return _descent(factors, float(rng.uniform(2.0, 4.0)), float(rng.uniform(0, 0.03)))


def _noisy(factors: Array, rng: np.random.Generator) -> Array:
    hold = float(rng.uniform(0.35, 0.6))
    losses = _descent(factors, float(rng.uniform(14, 30)), hold)
    wave = np.abs(rng.normal(0, 0.15 * hold, len(factors))) * factors
    return losses + wave


def _saddle(factors: Array, rng: np.random.Generator) -> Array:
    """exp growth away from a saddle: the loss stands until the distance is large enough, then falls."""
    total, left = len(factors), float(rng.uniform(0.3, 0.55))
    growth = 12 / (left * total)
    distance = exp(-12.0)
    losses = np.empty(total)
    for t, factor in enumerate(factors):
        losses[t] = 1 - distance
        distance += growth * factor * distance * (1 - distance)
    first = float(rng.uniform(0, 0.25))  # something is learned before the saddle
    return first * np.exp(-np.arange(total) / (0.03 * total)) + (1 - first) * losses


def _unstable(factors: Array, rng: np.random.Generator) -> Array:
    """The first LRs are above what the curvature stands; it gives way after a while, or it does not."""
    total, losses = len(factors), _smooth(factors, rng)
    early = factors[: total // 8 + 2]
    onset = int(np.flatnonzero(early >= 0.5 * early.max())[0]) + int(rng.integers(0, max(1, total // 25)))
    if rng.random() < 0.4:
        losses[onset + 1 :] = losses[onset] * np.exp(np.minimum(60.0, 0.4 * np.arange(total - onset - 1)))
        losses[onset + 30 :] = inf
        return losses
    height, width = float(rng.uniform(3, 40)), float(rng.uniform(0.01, 0.05)) * total
    since = np.maximum(0.0, np.arange(total) - onset) / width
    return losses + height * since * np.exp(1 - since)
