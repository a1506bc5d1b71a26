"""The description of a learning-rate curve: the few numbers that training cares about.

Two schedules with the same curve lr(t) have the same description, whatever family or parameters made it. Every feature
is in decades. With S = the sum of lr, P_t = the sum of lr before update t (0 at the first update) and R_t = the sum of
lr after it (0 at the last update):

    log_sum         log10 S: how far training can travel
    log_max         log10 of the largest lr: stability
    log_arrival_k   log10 of sum(w lr^2) / sum(w lr), w_t = exp(-P_t / tau), tau = S / k, for k = 4, 16, 64: the LR as
                    the start of training meets it, in intrinsic time (the sum of LR so far): startup protection
    log_memory_k    the same with w_t = exp(-R_t / tau), for k = 2, 4, 8, 16, 32: the LR as the end of training
                    remembers it. On a noisy quadratic of curvature 1 / tau this is the noise that survives to the end.

Multiplying the curve by c adds log10 c to every feature, and playing it backwards swaps arrival and memory. An update
at LR 0 neither trains nor remembers, so zeros change nothing, wherever they are. A mean below FLOOR times the largest
lr counts as that. Measured against other descriptions in benchmarks/results/descriptions.md.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

ARRIVALS = (4, 16, 64)
MEMORIES = (2, 4, 8, 16, 32)
FEATURE_NAMES: tuple[str, ...] = (
    "log_sum",
    "log_max",
    *(f"log_arrival_{k}" for k in ARRIVALS),
    *(f"log_memory_{k}" for k in MEMORIES),
)
FLOOR = 1e-8
CHUNK = 1 << 18  # numbers worked on at once: they stay in the processor's cache

Array = NDArray[np.float64]


def describe_curve(lrs: Array) -> Array:
    """The features of one curve. `lrs`: learning rate of every update, shape (T,), T >= 1, none negative, not all 0.

    Returns float64 of shape (len(FEATURE_NAMES),), in the order of FEATURE_NAMES; always finite. O(T).
    Raises ValueError for an empty, negative, non-finite or all-zero curve.
    """
    features: Array = _describe_rows(_checked(lrs)[None])[0]
    return features


def describe_curves(curves: Sequence[Array]) -> Array:
    """The features of several curves, shape (len(curves), len(FEATURE_NAMES)); their lengths may differ.

    Equal to describe_curve of each; curves of one length are worked on together. Raises like `describe_curve`.
    """
    features = np.empty((len(curves), len(FEATURE_NAMES)))
    by_length: dict[int, list[int]] = defaultdict(list)
    for index, curve in enumerate(curves):
        by_length[len(curve)].append(index)
    for length, members in by_length.items():
        rows = max(1, CHUNK // max(1, length))
        for start in range(0, len(members), rows):
            some = members[start : start + rows]
            features[some] = _describe_rows(np.stack([_checked(curves[index]) for index in some]))
    return features


def _checked(lrs: Array) -> Array:
    lr = np.asarray(lrs, dtype=np.float64)
    if lr.ndim != 1 or lr.size == 0 or not np.isfinite(lr).all() or lr.min() < 0 or lr.max() <= 0:
        raise ValueError("`lrs` must be a non-empty array of finite values >= 0 that are not all 0.")
    return lr


def _describe_rows(lr: Array) -> Array:
    """Features of curves of one length: (n, T) -> (n, F). Worked out on the curves divided by their maximum."""
    top = lr.max(axis=1)
    lr = lr / top[:, None]
    columns = [lr.sum(axis=1), np.ones_like(top), *_means(lr[:, ::-1], ARRIVALS), *_means(lr, MEMORIES)]
    return np.asarray(np.log10(np.maximum(columns, FLOOR)).T + np.log10(top)[:, None], dtype=np.float64)


def _means(lr: Array, ks: Sequence[int]) -> list[Array]:
    """sum(w lr^2) / sum(w lr), remembered from the end, for every k, each (n,).

    Each k is the one before times a power of two, which squares the weights that often, so one exp serves them all.
    """
    remaining = np.zeros_like(lr)
    remaining[:, :-1] = np.cumsum(lr[:, :0:-1], axis=1)[:, ::-1]
    total = remaining[:, :1] + lr[:, :1]
    weights = np.exp(-ks[0] * remaining / total)
    squares = lr * lr
    means = []
    for k, following in zip(ks, [*ks[1:], ks[-1]], strict=True):
        means.append(np.einsum("nt,nt->n", weights, squares) / np.einsum("nt,nt->n", weights, lr))
        for _ in range((following // k).bit_length() - 1):
            weights *= weights
    return means
