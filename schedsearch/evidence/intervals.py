"""Means, differences and their 95 % t intervals; the probability of being best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf, sqrt
from statistics import fmean

import numpy as np

from schedsearch.evidence.distributions import student_quantile, student_two_sided
from schedsearch.evidence.permutation import sign_flip_p
from schedsearch.evidence.scores import BySeed, covariance, diverged, finite, shared

LEVEL = 0.95
RESAMPLES = 4000


@dataclass(frozen=True)
class Estimate:
    """A mean or a difference with its 95 % interval, in the metric's units; low and high are None below two scores.

    p_value: of the t test that the interval belongs to. p_permutation: of a difference, by turning the signs of pairs.
    """

    value: float
    low: float | None
    high: float | None
    p_value: float | None = None
    paired: bool = False
    seeds: int = 0
    p_permutation: float | None = None

    @property
    def holds_zero(self) -> bool:
        """Whether 0 is a plausible value; True where there is no interval."""
        return self.low is None or self.high is None or self.low <= 0 <= self.high


def parts(estimate: Estimate | None) -> tuple[float | None, float | None, float | None]:
    """(value, low, high), or three times None."""
    return (None, None, None) if estimate is None else (estimate.value, estimate.low, estimate.high)


def mean_of(by_seed: BySeed) -> Estimate | None:
    """The mean over all seeds; None where a run diverged (a mean over survivors estimates nothing) or none ran."""
    values = finite(by_seed.values())
    if not values or diverged(by_seed):
        return None
    return _around(fmean(values), _standard_error(values), len(values) - 1, len(values))


def difference(one: BySeed, other: BySeed, *, use_pairing: bool) -> Estimate | None:
    """mean(one) - mean(other): Student's t over pairs, or Welch's t; None where either diverged on a seed or never ran.

    Pairs are the seeds both ran. Without two of them, or without `use_pairing`, Welch's interval is given. The
    permutation test is of the pairs in any case: it holds whether or not they move together.
    """
    if mean_of(one) is None or mean_of(other) is None:
        return None
    a, b = shared(one, other)
    gaps = [x - y for x, y in zip(a, b, strict=True)]
    if use_pairing and len(a) > 1:
        found = _around(fmean(gaps), _standard_error(gaps), len(gaps) - 1, len(gaps), paired=True)
    else:
        found = _welch(finite(one.values()), finite(other.values()))
    return replace(found, p_permutation=sign_flip_p(gaps))


def _welch(a: Sequence[float], b: Sequence[float]) -> Estimate:
    value, seeds = fmean(a) - fmean(b), min(len(a), len(b))
    if seeds < 2:
        return Estimate(value, None, None, seeds=seeds)
    parts = [_standard_error(a) ** 2, _standard_error(b) ** 2]
    total = sum(parts)
    share = sum(part**2 / (len(group) - 1) for part, group in zip(parts, (a, b), strict=True))
    freedom = total**2 / share if share > 0 else len(a) + len(b) - 2
    return _around(value, sqrt(total), freedom, seeds)


def _standard_error(values: Sequence[float]) -> float:
    return sqrt(covariance(values, values) / len(values)) if len(values) > 1 else 0.0


def _around(value: float, error: float, freedom: float, seeds: int, *, paired: bool = False) -> Estimate:
    if freedom < 1:
        return Estimate(value, None, None, seeds=seeds, paired=paired)
    half = student_quantile(freedom, (1 + LEVEL) / 2) * error
    return Estimate(value, value - half, value + half, _p_value(value, error, freedom), paired, seeds)


def _p_value(value: float, error: float, freedom: float) -> float:
    if error == 0:
        return 1.0 if value == 0 else 0.0
    return student_two_sided(freedom, value / error)


def probability_best(scores: Sequence[BySeed], sign: float, *, use_pairing: bool) -> list[float]:
    """For each candidate the share of 4,000 bootstrap resamples of its seeds in which its mean is the best.

    With `use_pairing` one draw of seeds serves all candidates, otherwise each draws its own. Equal bests share.
    A candidate that diverged on a seed is never best while another did not; if all did, nobody is (all 0).
    """
    means = np.full((len(scores), RESAMPLES), inf)
    common = sorted(set.intersection(*(set(one) for one in scores))) if scores else []
    joint = np.random.default_rng(0).integers(0, max(1, len(common)), (RESAMPLES, max(1, len(common))))
    own = np.random.default_rng(1)
    for row, by_seed in enumerate(scores):
        if mean_of(by_seed) is None:
            continue
        together = use_pairing and len(common) > 1
        values = finite([by_seed[seed] for seed in common] if together else by_seed.values())
        picks = joint if together else own.integers(0, len(values), (RESAMPLES, len(values)))
        means[row] = sign * np.asarray(values)[picks].mean(axis=1)
    return _shares(means)


def _shares(means: np.ndarray[tuple[int, int], np.dtype[np.float64]]) -> list[float]:
    if not means.size:
        return []
    wins = (means == means.min(axis=0)) & np.isfinite(means)
    return [float(share) for share in (wins / np.maximum(1, wins.sum(axis=0))).mean(axis=1)]
