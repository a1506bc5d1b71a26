"""What a candidate still costs where training can go on from a shared prefix: the updates after the fork.

Two runs of one task and seed are the same run for as long as their learning rates are exactly equal. So a candidate
whose curve begins like a trained one needs only its tail.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log10
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schedsearch.search.pool import Describer, Pool
from schedsearch.search.trials import Candidate
from schedsearch.space import arm_of

Array = NDArray[np.float64]

SMALLEST_SHARE = 0.1
MOST_COMPARED = 64
KEPT = ("base_lr", "warmup")


def updates_to_train(lrs: Array, trained: Sequence[Array]) -> int:
    """The updates of this curve (T,) after its longest common prefix with any trained curve: T where none begins alike.

    Learning rates count as equal only when they are exactly equal. 0 for a curve that was trained itself. O(T) a curve.
    """
    return len(lrs) - max((_common(lrs, other) for other in trained), default=0)


def _common(a: Array, b: Array) -> int:
    shorter = min(len(a), len(b))
    differs = np.flatnonzero(a[:shorter] != b[:shorter])
    return int(differs[0]) if differs.size else shorter


def shares_to_train(
    describer: Describer, pool: Pool, trained: Sequence[Candidate], outside: Sequence[Array], gains: Array
) -> Array:
    """The share of the horizon that each candidate of the pool must really be trained, (m,), at least SMALLEST_SHARE
    (a run costs more than its updates).

    trained: candidates that were run; outside: other curves that were, of this horizon. Only candidates at exactly the
    base LR of a trained curve can begin like it, and of these only the MOST_COMPARED of the largest gain (m,) are
    compared; the others count as whole runs.
    """
    shares = np.ones(len(pool.log_lr))
    base_lrs = {one.log_lr for one in trained} | {log10(curve.max()) for curve in outside}
    alike = np.flatnonzero(np.isin(pool.log_lr, list(base_lrs)))
    compared = alike[np.argsort(-gains[alike], kind="stable")[:MOST_COMPARED]]
    used = set(pool.log_lr[compared].tolist())
    curves = [*outside, *(describer.curve(one.params) for one in trained if one.log_lr in used)]
    for index in compared:
        lrs = describer.curve(describer.params(*pool.at(int(index))))
        shares[index] = max(SMALLEST_SHARE, updates_to_train(lrs, curves) / describer.total_updates)
    return shares


def forks(describer: Describer, parents: Sequence[Candidate], count: int, rng: np.random.Generator) -> Pool:
    """`count` random candidates that begin like these in turn: the same base LR and warm-up, another main part."""
    drawn = [_fork(describer, parents[index % len(parents)], rng) for index in range(count)]
    shapes = describer.shapes(drawn)
    log_lrs = np.array([log10(shape.params["base_lr"]) for shape in shapes])
    return Pool.of(shapes, log_lrs.reshape(-1, 1))


def _fork(describer: Describer, parent: Candidate, rng: np.random.Generator) -> dict[str, Any]:
    space = describer.space
    warmup = arm_of(space.schedule(parent.params)).warmup
    arms = [arm for arm in space.arms if arm.warmup == warmup]
    kept = {name: value for name, value in parent.params.items() if name.split(".")[0] in KEPT}
    return {**space.draw(rng, arms[int(rng.integers(len(arms)))]), **kept}
