"""The race among champions: who is so clearly behind that more seeds would be wasted. It picks and is not reported."""

from __future__ import annotations

from collections.abc import Collection
from math import inf, sqrt
from statistics import median

from scipy import special

from schedsearch.evidence.scores import Scores, badness, covariance, diverged, finite, sign_of

RACE_ROUNDS = (2, 2, 2)
"""Fresh seeds added to every candidate still in the race, round by round."""

CLEARLY = 0.95  # one-sided level of "behind the leader"


def survivors(scores: Scores, direction: str, *, protected: Collection[int] = ()) -> list[int]:
    """The candidates worth more seeds, best mean first.

    Behind are those whose mean is worse than the leader's by more than t(.95) sd sqrt(1/n + 1/n_leader), with one noise
    sd for all (robust: the median over candidates, so that one wild candidate cannot shelter the rest), and those that
    diverged on a seed while another did not. `protected` candidates always stay. Nobody is dropped where no candidate
    has two scores, for then nothing is clear.
    """
    sign = sign_of(direction)
    bad = {one: badness(by_seed, sign) for one, by_seed in scores.items()}
    order = sorted(scores, key=lambda one: (bad[one], diverged(scores[one]), one))
    if not order or bad[order[0]] == inf:
        return order
    spread, freedom = _common_noise(scores)
    leader = order[0]
    return [
        one
        for one in order
        if one in protected
        or (bad[one] < inf and bad[one] - bad[leader] <= _margin(scores, one, leader, spread, freedom))
    ]


def _margin(scores: Scores, one: int, leader: int, spread: float, freedom: int) -> float:
    if spread == inf:
        return inf
    return float(special.stdtrit(freedom, CLEARLY)) * spread * sqrt(1 / len(scores[one]) + 1 / len(scores[leader]))


def _common_noise(scores: Scores) -> tuple[float, int]:
    """The median variance, corrected for the skew of a variance of few scores; and the degrees of freedom behind it.

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
    return float(special.chdtri(freedom, 0.5)) / freedom
