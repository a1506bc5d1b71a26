"""The verdict: what the confirmation batch, and nothing else, says about the finalists.

The winner of the race was picked on other seeds, so its mean and its leads here are unbiased. It stays the leader
unless another finalist beats it beyond doubt (p below .01 divided by the number of rivals: crowning whoever is ahead
at 95 % overstated leads by .08 noise sd in simulation; or the winner had a seed that collapsed). Who is not clearly
worse than the leader ties with it; scatter of its own far beyond the noise of the others is no excuse.

Of those that tie the simplest is recommended, but nobody who is clearly worse than another of them (to tie is not
transitive: a leader that scatters ties with many), and nobody whom the race had left behind: a few seeds more cannot
undo what it saw (simulated with a spread of true values of .3 / 1 / 3 noise sd, that lowers the regret of the
recommended schedule from .29 / .50 / .37 to .24 / .33 / .28 sd). Leads of the winner are unbiased (within .02 sd of one
run); those of a simpler schedule that was recommended for tying overstate a little, by .02 to .04 sd, and by up to .16
where it is a baseline that did not race: being in the tie is itself luck on the reported seeds. Their intervals hold
the truth as often as they say.

A free shape is measured beside the finalists and takes no part in any of this.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from schedsearch.errors import InvalidInput
from schedsearch.evidence.finalists import FREE_SHAPE, Finalist
from schedsearch.evidence.intervals import mean_of, parts, probability_best
from schedsearch.evidence.questions import AnswerResult, Reading, answer_questions
from schedsearch.evidence.scores import badness, diverged, finite, sign_of
from schedsearch.evidence.shape import ShapeGap, shape_gap
from schedsearch.evidence.text import verdict_text

CHANGE_OF_MIND = 0.01


@dataclass(frozen=True)
class Standing:
    """One finalist. mean and interval are None where a seed diverged (it ranks last) or there was only one seed."""

    candidate_id: int
    role: str
    seeds: int
    diverged: int
    mean: float | None
    ci_low: float | None
    ci_high: float | None
    probability_best: float
    test_mean: float | None
    rank_position: int
    is_recommended: bool
    is_tied: bool


@dataclass(frozen=True)
class Comparison:
    """mean(candidate) - mean(against) in the metric's units; all None where either diverged on a seed.

    p_value: of the t test of the interval; p_permutation: of the sign-flip test of the pairs.
    """

    candidate_id: int
    against_id: int
    difference: float | None
    ci_low: float | None
    ci_high: float | None
    p_value: float | None
    paired: bool
    seeds: int
    p_permutation: float | None = None


@dataclass(frozen=True)
class Verdict:
    """What a study concludes. winner_id: the leader; tied_ids: it and everybody it cannot be told apart from.

    Intervals are 95 % each, not jointly. shape: the best named family against the free shape, where one was confirmed.
    erratic_ids: those whose own scatter hides how far they are from the recommended one.
    `text`: the verdict in a few sentences, the conclusion first.
    """

    standings: tuple[Standing, ...]
    comparisons: tuple[Comparison, ...]
    answers: tuple[AnswerResult, ...]
    recommended_id: int
    winner_id: int
    is_tie: bool
    tied_ids: tuple[int, ...]
    text: str
    shape: ShapeGap | None = None
    erratic_ids: tuple[int, ...] = ()


def decide(finalists: Sequence[Finalist], direction: str, *, use_pairing: bool, metric: str = "score") -> Verdict:
    """The verdict on the finalists. `use_pairing`: the measured pairing correlation earns paired intervals.

    Raises InvalidInput where there are no finalists, two with one id, or not one run that reached its horizon.
    """
    scores = {one.candidate_id: one.scores for one in finalists}
    reading = Reading(sign_of(direction), metric, use_pairing, scores)
    named = [one for one in finalists if one.role != FREE_SHAPE]
    _require_scores(finalists, named)
    leader = _leader(named, reading)
    tied = _tied(named, leader, reading)
    recommended = _recommended(tied, leader, reading)
    shape = shape_gap(finalists, leader, reading)
    return Verdict(
        standings=_standings(finalists, recommended, tied, reading),
        comparisons=_comparisons(finalists, dict.fromkeys([recommended.candidate_id, leader.candidate_id]), reading),
        answers=answer_questions(named, leader, recommended, reading),
        recommended_id=recommended.candidate_id,
        winner_id=leader.candidate_id,
        is_tie=len(tied) > 1,
        tied_ids=tuple(one.candidate_id for one in tied),
        text=verdict_text(named, leader, recommended, tied, shape, reading),
        shape=shape,
        erratic_ids=tuple(one.candidate_id for one in finalists if _is_erratic(one, recommended, reading)),
    )


def _require_scores(finalists: Sequence[Finalist], named: Sequence[Finalist]) -> None:
    if len({one.candidate_id for one in finalists}) != len(finalists):
        raise InvalidInput("`finalists` must be different candidates, but one appears twice.")
    if not any(finite(one.scores.values()) for one in named):
        raise InvalidInput("`finalists` must hold a run that reached its horizon, but none did.")


def _order(reading: Reading, one: Finalist) -> tuple[float, float, float, int]:
    """Best first: the mean over all seeds; those that diverged last, by how often, then by their other seeds."""
    lost = diverged(one.scores) / max(1, len(one.scores))
    rest = finite(one.scores.values())
    return (badness(one.scores, reading.sign), lost, reading.sign * fmean(rest) if rest else 0.0, one.candidate_id)


def _leader(finalists: Sequence[Finalist], reading: Reading) -> Finalist:
    ordered = sorted(finalists, key=lambda one: _order(reading, one))
    winner = next((one for one in ordered if one.role == "winner"), None)
    if winner is None or mean_of(winner.scores) is None:
        return ordered[0]
    level = CHANGE_OF_MIND / max(1, len(finalists) - 1)
    return next((one for one in ordered if _clearly_better(one, winner, reading, level)), winner)


def _clearly_better(one: Finalist, other: Finalist, reading: Reading, level: float) -> bool:
    gap = reading.between(one, other)
    if gap is None or gap.p_value is None or reading.sign * gap.value >= 0:
        return False
    return gap.p_value < level or reading.far_behind(other, one)


def _tied(finalists: Sequence[Finalist], leader: Finalist, reading: Reading) -> list[Finalist]:
    """The leader and everybody who is not clearly worse: the interval holds 0, or lies on the better side of it."""
    return [leader, *(one for one in finalists if one is not leader and _keeps_up(one, leader, reading))]


def _keeps_up(one: Finalist, leader: Finalist, reading: Reading) -> bool:
    gap = reading.between(one, leader)
    return gap is not None and (reading.level(one, leader) or reading.sign * gap.value < 0)


def _keeps_up_with_all(one: Finalist, others: Sequence[Finalist], reading: Reading) -> bool:
    return all(_keeps_up(one, other, reading) for other in others if other is not one)


def _recommended(tied: Sequence[Finalist], leader: Finalist, reading: Reading) -> Finalist:
    """The simplest of those that tie: the leader, or one that lasted to the end of the race (or did not race) and is
    not clearly worse than any other of them."""
    steady = [one for one in tied if not one.left_race and _keeps_up_with_all(one, tied, reading)]
    worthy = [leader, *(one for one in steady if one is not leader)]
    return min(worthy, key=lambda one: (*one.complexity, badness(one.scores, reading.sign)))


def _is_erratic(one: Finalist, recommended: Finalist, reading: Reading) -> bool:
    gap = None if one is recommended else reading.between(one, recommended)
    return gap is not None and gap.holds_zero and not reading.level(one, recommended)


def _standings(
    finalists: Sequence[Finalist], recommended: Finalist, tied: Sequence[Finalist], reading: Reading
) -> tuple[Standing, ...]:
    """In the order of their means. A finalist's chance is that among the named, a free shape's that among all."""
    ordered = sorted(finalists, key=lambda one: _order(reading, one))
    chances = _chances(ordered, reading)
    if any(one.role == FREE_SHAPE for one in ordered):
        chances |= _chances([one for one in ordered if one.role != FREE_SHAPE], reading)
    return tuple(
        _standing(
            one, chances[one.candidate_id], row, recommended=one is recommended, tied=len(tied) > 1 and one in tied
        )
        for row, one in enumerate(ordered, start=1)
    )


def _chances(finalists: Sequence[Finalist], reading: Reading) -> dict[int, float]:
    best = probability_best([one.scores for one in finalists], reading.sign, use_pairing=reading.use_pairing)
    return {one.candidate_id: chance for one, chance in zip(finalists, best, strict=True)}


def _standing(one: Finalist, chance: float, rank: int, *, recommended: bool, tied: bool) -> Standing:
    mean, low, high = parts(mean_of(one.scores))
    tests = finite(one.test_scores.values())
    return Standing(
        candidate_id=one.candidate_id,
        role=one.role,
        seeds=len(one.scores),
        diverged=diverged(one.scores),
        mean=mean,
        ci_low=low,
        ci_high=high,
        probability_best=chance,
        test_mean=fmean(tests) if tests and len(tests) == len(one.scores) else None,
        rank_position=rank,
        is_recommended=recommended,
        is_tied=tied,
    )


def _comparisons(
    finalists: Sequence[Finalist], compared: Sequence[int] | dict[int, None], reading: Reading
) -> tuple[Comparison, ...]:
    """Of every compared candidate (recommended, winner) against every other finalist."""
    by_id = {one.candidate_id: one for one in finalists}
    return tuple(
        _comparison(by_id[one], other, reading) for one in compared for other in finalists if other.candidate_id != one
    )


def _comparison(one: Finalist, other: Finalist, reading: Reading) -> Comparison:
    gap = reading.between(one, other)
    if gap is None:
        common = len(one.scores.keys() & other.scores.keys())
        return Comparison(one.candidate_id, other.candidate_id, None, None, None, None, False, common)
    return Comparison(
        candidate_id=one.candidate_id,
        against_id=other.candidate_id,
        difference=gap.value,
        ci_low=gap.low,
        ci_high=gap.high,
        p_value=gap.p_value,
        paired=gap.paired,
        seeds=gap.seeds,
        p_permutation=gap.p_permutation,
    )
