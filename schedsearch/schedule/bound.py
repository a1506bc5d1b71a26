"""What convex theory expects of a shape: a prior that costs nothing, and never a verdict.

For factors e_1 .. e_T (Defazio et al. 2023, arXiv 2310.07831, theorem 10; Schaipp et al. 2025, arXiv 2501.18965):

    A = 1 / (2 sum e)
    B = sum e^2 / (2 sum e) + 1/2 sum_{k<T} [ e_k / sum_{t>k} e_t ] * [ sum_{t>=k} e_t^2 / sum_{t>=k} e_t ]
    bound = 2 sqrt(A B), reached at the base LR scale sqrt(A / B)

in the units of a problem with distance and gradient bound 1. It knows nothing of stability or generalization.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from schedsearch.schedule.decays import Linear
from schedsearch.schedule.model import Schedule


@dataclass(frozen=True)
class ConvexBound:
    """bound: the bound on the last loss, at the best scale. best_scale: the base LR (g*) at which it is reached."""

    bound: float
    best_scale: float


def convex_bound(factors: NDArray[np.float64]) -> ConvexBound:
    """The bound of these factors, shape (T,), T >= 1: finite, none negative, not all 0. O(T), by sums from the end.

    Updates at factor 0 after the last other one change nothing and are left out. Raises ValueError otherwise.
    """
    e = np.asarray(factors, dtype=np.float64)
    if e.ndim != 1 or e.size == 0 or not np.isfinite(e).all() or e.min() < 0 or e.max() <= 0:
        raise ValueError("`factors` must be a non-empty array of finite values >= 0 that are not all 0.")
    e = e[: np.flatnonzero(e)[-1] + 1]
    after = np.cumsum(e[::-1])[::-1]
    squares_after = np.cumsum((e**2)[::-1])[::-1]
    a = 1 / (2 * after[0])
    terms = e[:-1] / after[1:] * (squares_after[:-1] / after[:-1])
    b = squares_after[0] / (2 * after[0]) + terms.sum() / 2
    return ConvexBound(float(2 * np.sqrt(a * b)), float(np.sqrt(a / b)))


@lru_cache(maxsize=64)
def _linear_to_zero(total_updates: int) -> ConvexBound:
    return convex_bound(Schedule(1.0, Linear()).factors(total_updates))


def relative_bound(schedule: Schedule, total_updates: int, updates_per_epoch: int | None = None) -> ConvexBound:
    """The shape's bound and best scale g*, relative to linear-to-0 at the same horizon (both 1 for that one)."""
    own = convex_bound(schedule.factors(total_updates, updates_per_epoch))
    linear = _linear_to_zero(total_updates)
    return ConvexBound(own.bound / linear.bound, own.best_scale / linear.best_scale)


def bold_base_lr(
    schedule: Schedule, base_lr: tuple[float, float], total_updates: int, updates_per_epoch: int | None = None
) -> float:
    """The base LR at which this shape is as bold as linear-to-0 in the (logarithmic) middle of the range `base_lr`:
    the middle times g*, inside the range."""
    low, high = base_lr
    scale = relative_bound(schedule, total_updates, updates_per_epoch).best_scale
    return float(min(high, max(low, (low * high) ** 0.5 * scale)))
