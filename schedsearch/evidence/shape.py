"""How far the best named family is from the best shape that a free curve found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from schedsearch.evidence.finalists import FREE_SHAPE, Finalist
from schedsearch.evidence.intervals import mean_of
from schedsearch.evidence.questions import Reading
from schedsearch.evidence.scores import BySeed
from schedsearch.space import Question

SPLINE = "spline"


@dataclass(frozen=True)
class ShapeGap:
    """By how many percent of the free shape's score the named schedule is worse than it; negative: it is better.

    low, high: the 95 % interval. clear: it does not hold 0. sentence: the same for a person.
    """

    named_id: int
    free_id: int
    value: float
    low: float
    high: float
    sentence: str

    @property
    def is_clear(self) -> bool:
        return self.low > 0 or self.high < 0


def shape_gap(finalists: Sequence[Finalist], leader: Finalist, reading: Reading) -> ShapeGap | None:
    """The winner of the race against the free shape, or, where a free shape won it (it may, if the space has it as an
    arm), the runner-up among the named against the winner. Both were picked on other seeds.

    With a ratio q = named / free, the interval is that of mean(named - q free), whose mean is 0, over |mean(free)|.
    None where one of the two is missing, diverged on a seed, has one seed, or where the free shape's mean is 0.
    """
    free = leader if is_free(leader) else next((one for one in finalists if is_free(one)), None)
    named = _named(finalists, leader)
    if free is None or named is None:
        return None
    own, base = mean_of(named.scores), mean_of(free.scores)
    if own is None or base is None or base.value == 0:
        return None
    ratio = own.value / base.value
    spread = reading.between_scores(named.scores, _times(free.scores, ratio))
    if spread is None or spread.high is None:
        return None
    value = 100 * reading.sign * (own.value - base.value) / abs(base.value)
    half = 100 * (spread.high - spread.value) / abs(base.value)
    return ShapeGap(named.candidate_id, free.candidate_id, value, value - half, value + half, _sentence(value, half))


def is_free(one: Finalist) -> bool:
    """Whether it is a free curve, found beside the search or by an arm of it."""
    return one.role == FREE_SHAPE or one.answers[Question.DECAY] == SPLINE


def _named(finalists: Sequence[Finalist], leader: Finalist) -> Finalist | None:
    if not is_free(leader):
        return leader
    return next((one for one in finalists if one.role == "runner-up" and not is_free(one)), None)


def _times(scores: BySeed, factor: float) -> dict[int, float | None]:
    return {seed: None if score is None else factor * score for seed, score in scores.items()}


def _sentence(value: float, half: float) -> str:
    if value < 0:
        found = f"{-value:.2g} % (95 % {-value - half:.2g} .. {-value + half:.2g} %)"
        return f"No free shape did better: the best named family leads the best free shape found by {found}."
    found = f"{value:.2g} % (95 % {value - half:.2g} .. {value + half:.2g} %)"
    if value - half > 0:
        return f"A free shape does better: the best named family is {found} behind the best shape found."
    return f"The best named family is within {found} of the best shape found."
