"""The race among champions: who is so clearly behind that more seeds would be wasted, who won, and who it was against.

It only picks. Its scores are never reported, because an estimate that was used to pick the winner overstates its lead.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from math import inf, sqrt

from schedsearch.evidence.distributions import student_quantile
from schedsearch.evidence.noise import common_noise
from schedsearch.evidence.scores import Scores, badness, diverged, sign_of
from schedsearch.space import Question

CLEARLY = 0.95  # one-sided level of "behind the leader"
BEYOND_NOISE = 0.9995  # one-sided level of "far behind"

Answers = Mapping[int, Mapping[Question, str]]
"""Candidate id -> its answer to each question."""


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
    spread, freedom = common_noise(scores)
    leader = order[0]
    return [
        one
        for one in order
        if one in protected
        or (bad[one] < inf and bad[one] - bad[leader] <= _margin(scores, one, leader, spread, freedom))
    ]


def far_behind(scores: Scores, sign: float, one: int, other: int) -> bool:
    """Whether one's mean is worse than the other's by more than the noise that all candidates share can explain.

    A candidate of which a seed collapsed without diverging has an interval so wide that it ties with everybody. By the
    noise of the others (t at BEYOND_NOISE) it is told apart all the same.
    """
    gap = badness(scores[one], sign) - badness(scores[other], sign)
    spread, freedom = common_noise(scores)
    return 0 < gap < inf and gap > _margin(scores, one, other, spread, freedom, BEYOND_NOISE)


def race_winner(scores: Scores, direction: str) -> int | None:
    """Who went furthest in the race, and of those the best on average; never one that diverged, if another did not."""
    sign = sign_of(direction)
    bad = {one: badness(by_seed, sign) for one, by_seed in scores.items()}
    return min(scores, key=lambda one: (bad[one] == inf, -len(scores[one]), bad[one], one), default=None)


def finishers(scores: Scores, direction: str) -> list[int]:
    """Those who ran every round and are not clearly behind at its end, best mean first; the winner is among them."""
    winner = race_winner(scores, direction)
    if winner is None:
        return []
    furthest = {one: by_seed for one, by_seed in scores.items() if len(by_seed) >= len(scores[winner])}
    return survivors(furthest, direction, protected=(winner,))


def runner_up(scores: Scores, direction: str, answers: Answers, winner: int, question: Question) -> int | None:
    """The best candidate that answers `question` otherwise than the winner, given the answers decided before it.

    The questions are decided in order. So of those that answer otherwise the ones that share most of the winner's
    answers to the earlier questions, counted from the first until one differs, go before the others, and among them the
    best mean counts. None where nobody answers otherwise without having diverged.
    """
    sign = sign_of(direction)
    chosen = answers[winner]
    others = [one for one in scores if answers[one][question] != chosen[question] and badness(scores[one], sign) < inf]
    return min(
        others,
        key=lambda one: (-shared_answers(answers[one], chosen, question), badness(scores[one], sign), one),
        default=None,
    )


def shared_answers(one: Mapping[Question, str], other: Mapping[Question, str], question: Question) -> int:
    """How many of the questions before this one, from the first on, both answer alike."""
    count = 0
    for earlier in Question:
        if earlier is question or one[earlier] != other[earlier]:
            break
        count += 1
    return count


def _margin(scores: Scores, one: int, leader: int, spread: float, freedom: int, level: float = CLEARLY) -> float:
    if spread == inf:
        return inf
    return student_quantile(freedom, level) * spread * sqrt(1 / len(scores[one]) + 1 / len(scores[leader]))
