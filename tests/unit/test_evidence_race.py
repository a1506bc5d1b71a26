"""The race: who is dropped, who is not, and why."""

from math import sqrt

import pytest
from scipy import stats

from schedsearch.errors import InvalidInput
from schedsearch.evidence import finishers, race_winner, runner_up, survivors
from schedsearch.space import Question


def test_those_clearly_behind_are_dropped_best_first() -> None:
    scores = {1: {1: 1.05, 2: 1.15}, 2: {1: 0.95, 2: 1.05}, 3: {1: 5.0, 2: 5.1}}
    assert survivors(scores, "minimize") == [2, 1]
    assert survivors(scores, "maximize") == [3]


def test_the_margin_is_the_one_stated() -> None:
    share = float(stats.chi2.median(1))
    sd = sqrt(0.02 / share)  # both candidates below have variance 0.02
    margin = float(stats.t.ppf(0.95, 1)) * sd * 1.0
    behind = {1: {1: 0.9, 2: 1.1}, 2: {1: 0.9 + margin + 0.001, 2: 1.1 + margin + 0.001}}
    close = {1: {1: 0.9, 2: 1.1}, 2: {1: 0.9 + margin - 0.001, 2: 1.1 + margin - 0.001}}
    assert survivors(behind, "minimize") == [1]
    assert survivors(close, "minimize") == [1, 2]


def test_one_wild_candidate_does_not_shelter_the_rest() -> None:
    calm = {i: {1: 1.0 + 0.5 * i, 2: 1.02 + 0.5 * i} for i in range(5)}
    assert survivors({**calm, 9: {1: 2.0, 2: 40.0}}, "minimize") == [0]


def test_divergence_is_behind_unless_everybody_diverged() -> None:
    assert survivors({1: {1: 9.0, 2: 9.1}, 2: {1: 0.1, 2: None}}, "minimize") == [1]
    assert survivors({1: {1: None, 2: None}, 2: {1: 0.1, 2: None}}, "minimize") == [2, 1]


def test_protected_candidates_stay() -> None:
    scores = {1: {1: 1.0, 2: 1.01}, 2: {1: 9.0, 2: 9.01}, 3: {1: None, 2: None}}
    assert survivors(scores, "minimize") == [1]
    assert survivors(scores, "minimize", protected={2, 3}) == [1, 2, 3]


def test_with_one_seed_each_nothing_is_clear() -> None:
    assert survivors({1: {1: 1.0}, 2: {1: 100.0}, 3: {1: None}}, "minimize") == [1, 2]


def test_an_empty_race_has_no_survivors() -> None:
    assert survivors({}, "minimize") == []


def test_an_unknown_direction_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"`direction` must be .*, but is 'up' instead"):
        survivors({}, "up")


def test_the_winner_went_furthest_and_was_the_best_of_those() -> None:
    scores = {1: {1: 0.1, 2: 0.1}, 2: {1: 1.0, 2: 1.0, 3: 1.2}, 3: {1: 1.0, 2: 1.0, 3: 1.1}, 4: {1: 0, 2: 0, 3: None}}
    assert race_winner(scores, "minimize") == 3
    assert race_winner(scores, "maximize") == 2
    assert race_winner({1: {1: None}, 2: {1: None, 2: 3.0}}, "minimize") == 2
    assert race_winner({}, "minimize") is None


def test_finishers_ran_every_round_and_are_not_clearly_behind() -> None:
    scores = {
        1: {1: 1.0, 2: 1.1, 3: 1.0, 4: 1.1},
        2: {1: 1.02, 2: 1.1, 3: 1.0, 4: 1.1},
        3: {1: 5.0, 2: 5.1, 3: 5.0, 4: 5.1},
        4: {1: 1.0, 2: 1.1},
    }
    assert finishers(scores, "minimize") == [1, 2]
    assert finishers({}, "minimize") == []


def test_the_runner_up_shares_the_answers_decided_before() -> None:
    def answers(warmup: str, decay: str, restarts: str) -> dict[Question, str]:
        return {Question.WARMUP: warmup, Question.DECAY: decay, Question.RESTARTS: restarts}

    given = {
        1: answers("yes", "wsd", "no"),
        2: answers("no", "cosine", "no"),
        3: answers("yes", "cosine", "no"),
        4: answers("yes", "cosine", "yes"),
        5: answers("yes", "wsd", "yes"),
        6: answers("no", "wsd", "no"),
    }
    scores = {one: {1: float(one), 2: float(one)} for one in given}
    assert runner_up(scores, "minimize", given, 1, Question.WARMUP) == 2
    assert runner_up(scores, "minimize", given, 1, Question.DECAY) == 3  # 2 is better, but without the warm-up
    assert runner_up(scores, "minimize", given, 1, Question.RESTARTS) == 5
    assert runner_up({**scores, 5: {1: None, 2: 5.0}}, "minimize", given, 1, Question.RESTARTS) == 4
    assert runner_up({1: scores[1], 6: scores[6]}, "minimize", given, 1, Question.RESTARTS) is None
