"""How much results scatter from seed to seed, and how much of that scatter candidates share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from math import inf, sqrt
from statistics import fmean, median

import numpy as np

from schedsearch.evidence.distributions import chi_square_median
from schedsearch.evidence.scores import BySeed, Scores, covariance, diverged, finite, shared

MOST_SEEDS = 1000
LEVEL = 0.95
FEWEST_RANKED = 4
PAIRING_PAYS_FROM = 0.2


@dataclass(frozen=True)
class Noise:
    """The scatter between training seeds, in the metric's units (sd) and as a share of the mean score (relative_sd).

    seeds: the scores behind it; diverged: runs without a score. sd is None where no candidate has two scores.
    """

    sd: float | None
    relative_sd: float | None
    seeds: int
    diverged: int


def estimate_noise(scores: Scores) -> Noise:
    """The standard deviation between seeds of one candidate, pooled over candidates by their degrees of freedom."""
    groups = [finite(by_seed.values()) for by_seed in scores.values()]
    everything = [value for group in groups for value in group]
    lost = sum(diverged(by_seed) for by_seed in scores.values())
    repeated = [group for group in groups if len(group) > 1]
    if not repeated:
        return Noise(None, None, len(everything), lost)
    squares = sum((len(group) - 1) * covariance(group, group) for group in repeated)
    sd = sqrt(squares / sum(len(group) - 1 for group in repeated))
    centre = abs(fmean(everything))
    return Noise(sd, sd / centre if centre > 0 else None, len(everything), lost)


def common_noise(scores: Scores) -> tuple[float, int]:
    """The noise sd of one run that candidates share, and the degrees of freedom behind it; (inf, 1) where no candidate
    has two scores.

    The median variance, corrected for the skew of a variance of few scores, so that one wild candidate does not count.
    A median of variances is worth about 2/3 of their mean's degrees of freedom.
    """
    groups = [finite(by_seed.values()) for by_seed in scores.values()]
    repeated = [group for group in groups if len(group) > 1]
    if not repeated:
        return inf, 1
    variances = [covariance(group, group) / _median_share(len(group) - 1) for group in repeated]
    freedom = sum(len(group) - 1 for group in repeated)
    return sqrt(median(variances)), max(1, round(2 * freedom / 3))


def _median_share(freedom: int) -> float:
    """The median of a variance estimate with that many degrees of freedom, as a share of the true variance."""
    return chi_square_median(freedom) / freedom


def pairing_correlation(scores: Scores) -> float | None:
    """The correlation between two candidates' scores on the same seed, within [-1, 1].

    Covariance over variance, each pooled over all pairs of candidates with two shared seeds or more:
    sum of (n-1) cov(a, b) / sum of (n-1) (var(a) + var(b)) / 2. None where there is no such pair or nothing varies.
    It says what pairing is worth: the variance of a difference is 2 sd^2 (1 - correlation).
    """
    shared_part = whole = 0.0
    for one, other in combinations(scores.values(), 2):
        a, b = shared(one, other)
        if len(a) > 1:
            shared_part += (len(a) - 1) * covariance(a, b)
            whole += (len(a) - 1) * (covariance(a, a) + covariance(b, b)) / 2
    return shared_part / whole if whole > 0 else None


def pairing_pays(correlation: float | None) -> bool:
    """Whether pairs of seeds narrow an interval of six pairs by more than their fewer degrees of freedom widen it."""
    return correlation is not None and correlation >= PAIRING_PAYS_FROM


def worth_of_pairs(scores: Scores) -> float | None:
    """The correlation that pairs of seeds are worth using for; None where they are not."""
    correlation = pairing_correlation(scores)
    return correlation if pairing_pays(correlation) else None


def seed_rank_agreement(scores: Scores) -> float | None:
    """How well one training seed ranks the candidates of another: mean Spearman correlation over pairs of seeds.

    Only pairs of seeds on which at least four candidates have a score count; None where there are none.
    """
    seeds = sorted({seed for by_seed in scores.values() for seed in by_seed})
    found = [_agreement(scores, one, other) for one, other in combinations(seeds, 2)]
    known = [value for value in found if value is not None]
    return fmean(known) if known else None


def _agreement(scores: Scores, one: int, other: int) -> float | None:
    pairs = [_pair(by_seed, one, other) for by_seed in scores.values()]
    complete = [pair for pair in pairs if len(pair) == 2]
    if len(complete) < FEWEST_RANKED:
        return None
    first, second = zip(*complete, strict=True)
    return rank_correlation(first, second)


def rank_correlation(a: Sequence[float], b: Sequence[float]) -> float | None:
    """Spearman's correlation; None where one side does not vary."""
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return None
    from scipy import stats  # takes most of a second to import, and is needed here only

    return float(stats.spearmanr(a, b).statistic)


def _pair(by_seed: BySeed, one: int, other: int) -> list[float]:
    return finite([by_seed.get(one), by_seed.get(other)])
