"""Which points of a curve are worth sending: few, at the joints, and finite."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schedsearch.schedule import Schedule
from schedsearch.store import MeasurementRow

MOST_POINTS = 200
MOST_LR_POINTS = 60
LR_TOLERANCE = 2e-3
LONGEST = 5000


@dataclass(frozen=True)
class Point:
    """A metric's value after update number `step`."""

    key: str
    step: int
    value: float


def thin(steps: NDArray[np.int64], values: NDArray[np.float64], most: int, tolerance: float = 0.0) -> NDArray[np.int64]:
    """Indices of at most `most` points whose connecting lines stay close to the curve, both ends included.

    Starts with the ends and adds the point that is farthest from the lines so far, until none is farther than
    `tolerance` times the curve's height (Douglas and Peucker 1973, with a bound on the number of points). A curve that
    fits is kept whole when the tolerance is 0.
    """
    if tolerance == 0.0 and len(steps) <= most:
        return np.arange(len(steps))
    pool = np.unique(np.linspace(0, len(steps) - 1, min(len(steps), LONGEST)).round().astype(np.int64))
    x, y = steps[pool].astype(np.float64), values[pool]
    enough = max(tolerance * float(np.ptp(y)), 1e-15)
    kept = [0, len(pool) - 1]
    while len(kept) < min(most, len(pool)):
        distance = np.abs(np.interp(x, x[kept], y[kept]) - y)
        farthest = int(distance.argmax())
        if distance[farthest] <= enough:
            break
        kept = sorted({*kept, farthest})
    return pool[np.unique(kept)]


def lr_points(schedule: Schedule, total_updates: int, updates_per_epoch: int, updates_done: int) -> list[Point]:
    """The learning rate that the run really had, as far as it came, with every joint of the schedule."""
    lrs = schedule.lrs(total_updates, updates_per_epoch)[:updates_done]
    if not len(lrs):
        return []
    steps = np.arange(len(lrs))
    return [Point("lr", int(one), float(lrs[one])) for one in thin(steps, lrs, MOST_LR_POINTS, LR_TOLERANCE)]


def measured_points(rows: Sequence[MeasurementRow]) -> list[Point]:
    """Training and validation curves. Losses that are not finite are left out: they would ruin MLflow's charts."""
    series: dict[str, list[tuple[int, float]]] = {}
    for row in rows:
        for key, value in _named(row):
            if value is not None and math.isfinite(value):
                series.setdefault(key, []).append((row.update, value))
    return [point for key, pairs in series.items() for point in _thinned(key, pairs)]


def _named(row: MeasurementRow) -> Iterator[tuple[str, float | None]]:
    yield "train/loss", row.train_loss
    yield "val/loss", row.val_loss
    for name, value in row.metrics.items():
        yield f"val/{name}", value


def _thinned(key: str, pairs: Sequence[tuple[int, float]]) -> list[Point]:
    steps = np.array([step for step, _ in pairs], dtype=np.int64)
    values = np.array([value for _, value in pairs], dtype=np.float64)
    return [Point(key, int(steps[one]), float(values[one])) for one in thin(steps, values, MOST_POINTS)]
