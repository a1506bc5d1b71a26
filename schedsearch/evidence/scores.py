"""Scores of candidates by seed, and the few questions every statistic asks of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import fsum, inf, isfinite
from statistics import fmean

from schedsearch.errors import InvalidInput

Scores = Mapping[int, Mapping[int, float | None]]
"""Candidate id -> seed -> score in the metric's own units; None where the run diverged."""

BySeed = Mapping[int, float | None]


def sign_of(direction: str) -> float:
    """1 where low scores are good, -1 where high scores are: sign * score is always "badness"."""
    if direction not in ("minimize", "maximize"):
        raise InvalidInput(f'`direction` must be "minimize" or "maximize", but is {direction!r} instead.')
    return 1.0 if direction == "minimize" else -1.0


def finite(values: Iterable[float | None]) -> list[float]:
    """The scores of the runs that reached their horizon with a finite score."""
    return [value for value in values if value is not None and isfinite(value)]


def covariance(a: Sequence[float], b: Sequence[float]) -> float:
    """The unbiased covariance of two equally long lists of two numbers or more; of a list with itself, its variance."""
    centre_a, centre_b = fmean(a), fmean(b)
    return fsum((x - centre_a) * (y - centre_b) for x, y in zip(a, b, strict=True)) / (len(a) - 1)


def diverged(by_seed: BySeed) -> int:
    """How many runs did not reach their horizon with a finite score."""
    return len(by_seed) - len(finite(by_seed.values()))


def badness(by_seed: BySeed, sign: float) -> float:
    """sign * mean score; infinite for a candidate without scores or with a run that diverged."""
    values = finite(by_seed.values())
    return sign * fmean(values) if values and len(values) == len(by_seed) else inf


def shared(one: BySeed, other: BySeed) -> tuple[list[float], list[float]]:
    """The scores of two candidates on the seeds that both completed, in the order of the seeds."""
    pairs = [(one[seed], other[seed]) for seed in sorted(one.keys() & other.keys())]
    complete = [(a, b) for a, b in pairs if a is not None and b is not None and isfinite(a) and isfinite(b)]
    return [a for a, _ in complete], [b for _, b in complete]
