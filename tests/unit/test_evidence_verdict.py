"""The verdict: intervals against scipy, ties, simplicity, divergence, the three answers, words."""

from collections.abc import Mapping
from dataclasses import replace
from math import sqrt
from typing import Any

import pytest
from scipy import stats

from schedsearch.errors import InvalidInput
from schedsearch.evidence import Finalist, Verdict, decide, unconfirmed_answers
from schedsearch.space import Question

A = [1.00, 1.04, 0.97, 1.02, 0.99, 1.01]
B = [1.30, 1.35, 1.27, 1.31, 1.30, 1.33]


def answers(warmup: str = "no", decay: str = "cosine", restarts: str = "no") -> dict[Question, str]:
    return {Question.WARMUP: warmup, Question.DECAY: decay, Question.RESTARTS: restarts}


def finalist(number: int, scores: list[float | None], **changes: Any) -> Finalist:
    values: dict[str, Any] = {
        "label": f"schedule {number}",
        "role": "runner-up",
        "base_lr": 0.1,
        "answers": answers(),
        "complexity": (number,),
        "test_scores": {},
        "scores": dict(enumerate(scores, start=1000)),
    }
    return Finalist(candidate_id=number, **{**values, **changes})


def verdict(*finalists: Finalist, direction: str = "minimize", paired: bool = False) -> Verdict:
    return decide(finalists, direction, use_pairing=paired, metric="loss" if direction == "minimize" else "accuracy")


def standing(found: Verdict, number: int) -> Any:
    return next(one for one in found.standings if one.candidate_id == number)


def comparison(found: Verdict, one: int, other: int) -> Any:
    return next(row for row in found.comparisons if (row.candidate_id, row.against_id) == (one, other))


def chosen(found: Verdict, question: str) -> Any:
    return next(row for row in found.answers if row.question == question and row.is_chosen)


def test_means_have_students_interval() -> None:
    row = standing(verdict(finalist(1, A, role="winner"), finalist(2, B, role="baseline")), 1)
    expected = stats.ttest_1samp(A, 0).confidence_interval()
    assert row.mean == pytest.approx(sum(A) / 6)
    assert (row.ci_low, row.ci_high) == (pytest.approx(expected.low), pytest.approx(expected.high))
    assert (row.seeds, row.diverged, row.rank_position) == (6, 0, 1)


def test_unpaired_differences_are_welchs() -> None:
    row = comparison(verdict(finalist(1, A, role="winner"), finalist(2, B, role="baseline")), 1, 2)
    expected = stats.ttest_ind(A, B, equal_var=False)
    assert (row.ci_low, row.ci_high) == tuple(map(pytest.approx, expected.confidence_interval()))
    assert row.p_value == pytest.approx(expected.pvalue)
    assert not row.paired


def test_paired_differences_are_students_over_pairs() -> None:
    row = comparison(verdict(finalist(1, A, role="winner"), finalist(2, B, role="baseline"), paired=True), 1, 2)
    expected = stats.ttest_rel(A, B)
    assert (row.ci_low, row.ci_high) == tuple(map(pytest.approx, expected.confidence_interval()))
    assert row.p_value == pytest.approx(expected.pvalue)
    assert row.paired
    assert row.seeds == 6


def test_pairing_needs_shared_seeds() -> None:
    elsewhere = replace(finalist(2, [], role="baseline"), scores=dict(enumerate(B, start=1)))
    assert not comparison(verdict(finalist(1, A, role="winner"), elsewhere, paired=True), 1, 2).paired


def test_a_clear_winner_is_recommended_however_complicated() -> None:
    found = verdict(finalist(9, A, role="winner"), finalist(2, B, role="baseline"))
    assert (found.recommended_id, found.winner_id, found.is_tie, found.tied_ids) == (9, 9, False, (9,))
    assert "better than every other finalist" in found.text
    assert standing(found, 9).probability_best > 0.99


def test_of_those_that_tie_the_simplest_is_recommended() -> None:
    close = [value + 0.002 for value in A]
    found = verdict(finalist(9, A, role="winner"), finalist(2, close, role="baseline"), finalist(3, B))
    assert (found.recommended_id, found.winner_id, found.is_tie) == (2, 9, True)
    assert set(found.tied_ids) == {2, 9}
    assert found.text.startswith("A tie: 2 of 3 finalists cannot be told apart.")
    assert "The race was won by schedule 9; its lead over the recommended one is 0.002" in found.text
    assert {row.candidate_id for row in found.comparisons} == {2, 9}
    assert standing(found, 2).is_recommended
    assert [standing(found, one).is_tied for one in (2, 9, 3)] == [True, True, False]


def test_nobody_is_recommended_who_is_clearly_worse_than_another_that_ties() -> None:
    scattered = [0.93, 1.07, 0.94, 1.06, 0.95, 1.05]
    worse = [value + 0.05 for value in A]
    found = verdict(
        finalist(9, scattered, role="winner"), finalist(1, worse, role="baseline"), finalist(2, A, role="baseline")
    )
    assert set(found.tied_ids) == {9, 1, 2}
    assert found.recommended_id == 2
    assert "Use the simplest of them that is not clearly worse than another, schedule 2" in found.text


def test_equally_simple_schedules_are_told_apart_by_their_mean() -> None:
    better = [value - 0.001 for value in A]
    found = verdict(finalist(1, A, complexity=(1,)), finalist(2, better, complexity=(1,), role="winner"))
    assert found.recommended_id == 2


def test_the_races_winner_leads_until_somebody_is_better_beyond_doubt() -> None:
    ahead = [value - 0.005 for value in A]
    assert verdict(finalist(1, A, role="winner"), finalist(2, ahead)).winner_id == 1
    assert verdict(finalist(1, B, role="winner"), finalist(2, A)).winner_id == 2


def test_who_is_ahead_of_the_leader_at_95_percent_only_ties_with_it() -> None:
    ahead = [value - gap for value, gap in zip(A, [0.0, 0.03, 0.02, 0.04, 0.01, 0.02], strict=True)]
    found = verdict(finalist(1, A, role="winner"), finalist(2, ahead), finalist(3, B), finalist(4, B), paired=True)
    row = comparison(found, 1, 2)
    assert row.ci_low is not None
    assert row.ci_low > 0
    assert row.p_value is not None
    assert 0.01 / 3 < row.p_value < 0.05
    assert found.winner_id == 1
    assert set(found.tied_ids) == {1, 2}


def test_high_scores_win_where_they_are_good() -> None:
    found = verdict(finalist(1, A, role="winner"), finalist(2, B, role="baseline"), direction="maximize")
    assert found.winner_id == 2
    assert standing(found, 2).rank_position == 1
    assert "baselines" not in found.text  # the only baseline is recommended itself
    found = verdict(finalist(1, A, role="baseline"), finalist(2, B, role="winner"), direction="maximize")
    assert "its accuracy is higher than with schedule 1 by 0.305 (95 % 0.272 .. 0.338, p 0.031)." in found.text


def test_a_finalist_that_diverged_ranks_last_and_is_never_recommended() -> None:
    broken: list[float | None] = [0.1, None, 0.1, 0.1, 0.1, 0.1]
    found = verdict(finalist(1, broken, role="winner"), finalist(2, A, role="baseline"), finalist(3, B))
    row = standing(found, 1)
    assert (row.mean, row.ci_low, row.diverged, row.rank_position, row.probability_best) == (None, None, 1, 3, 0.0)
    assert found.recommended_id == 2
    assert comparison(found, 2, 1).difference is None
    assert "Diverged on fresh seeds: schedule 1 on 1 of 6." in found.text


def test_when_everybody_diverged_somewhere_the_text_says_so() -> None:
    found = verdict(finalist(1, [None, 1.0, None]), finalist(2, [1.0, None, 1.0], role="winner"))
    assert found.recommended_id == 2
    assert found.text.startswith("Every finalist diverged on a seed; least often schedule 2.")


@pytest.mark.parametrize("rows", [[], [[None, None]]])
def test_without_one_completed_run_there_is_no_verdict(rows: list[list[float | None]]) -> None:
    with pytest.raises(InvalidInput, match="must hold a run that reached its horizon"):
        verdict(*(finalist(number, row) for number, row in enumerate(rows)))


def test_one_candidate_twice_is_refused() -> None:
    with pytest.raises(InvalidInput, match="one appears twice"):
        verdict(finalist(1, A), finalist(1, B))


def test_a_single_seed_is_a_tie_because_nothing_is_known() -> None:
    found = verdict(finalist(5, [1.0], role="winner"), finalist(2, [3.0], role="baseline"))
    assert found.is_tie
    assert found.recommended_id == 2
    assert standing(found, 5).ci_low is None


def test_a_single_finalist_is_recommended() -> None:
    found = verdict(finalist(1, A, role="winner"))
    assert (found.recommended_id, found.is_tie, found.comparisons) == (1, False, ())
    assert standing(found, 1).probability_best == 1.0


def test_identical_scores_share_the_probability_of_being_best() -> None:
    found = verdict(finalist(1, [1.0, 1.0], role="winner"), finalist(2, [1.0, 1.0]))
    assert [row.probability_best for row in found.standings] == [pytest.approx(0.5)] * 2
    assert comparison(found, 1, 2).p_value == 1.0


def test_probabilities_of_being_best_are_shares() -> None:
    found = verdict(finalist(1, A, role="winner"), finalist(2, [v + 0.01 for v in A]), finalist(3, B))
    chances = {row.candidate_id: row.probability_best for row in found.standings}
    assert sum(chances.values()) == pytest.approx(1.0)
    assert 0.6 < chances[1] < 0.95
    assert verdict(finalist(1, A), finalist(2, [v + 0.01 for v in A]), paired=True).standings[0].probability_best == 1.0


def test_held_out_scores_are_averaged_only_where_every_seed_has_one() -> None:
    full: Mapping[int, float] = dict(enumerate(A, start=1000))
    found = verdict(finalist(1, A, role="winner", test_scores=full), finalist(2, B, test_scores={1000: 1.0}))
    assert standing(found, 1).test_mean == pytest.approx(sum(A) / 6)
    assert standing(found, 2).test_mean is None


def test_a_clear_answer_says_by_how_much_and_at_which_base_lr() -> None:
    found = verdict(
        finalist(1, A, role="winner", answers=answers("yes", "wsd"), base_lr=0.06),
        finalist(2, B, answers=answers("no", "wsd"), base_lr=0.02),
    )
    row = chosen(found, "warmup")
    welch = stats.ttest_ind(A, B, equal_var=False)
    assert (row.answer, row.is_tie, row.best_base_lr) == ("yes", False, 0.06)
    assert row.difference == pytest.approx(welch.statistic * sqrt(_variance(A) / 6 + _variance(B) / 6))
    assert row.sentence == (
        "Warm-up: yes. It lowers the loss by 0.305 (95 % 0.272 .. 0.338, p 0.031) and makes a base LR of 0.06 "
        "possible: without it the best is 0.02, 3x lower."
    )
    assert row.p_permutation == comparison(found, 1, 2).p_permutation == 2 / 2**6
    assert chosen(found, "decay").sentence == "Decay: wsd; no other answer was confirmed."


def test_an_answer_that_ties_says_so() -> None:
    close = [value + 0.002 for value in A]
    found = verdict(
        finalist(1, close, role="baseline", answers=answers(decay="linear"), complexity=(1,)),
        finalist(2, A, role="winner", answers=answers(decay="wsd"), complexity=(2,), base_lr=0.3),
    )
    row = chosen(found, "decay")
    assert row.answer == "linear"
    assert row.is_tie
    assert row.sentence.startswith("Decay: linear, in a tie with wsd: the loss differs by 0.002 (95 % -")
    assert row.sentence.endswith(" at tuned base LRs 0.1 and 0.3.")
    other = next(one for one in found.answers if one.answer == "wsd")
    assert other.difference == pytest.approx(-(row.difference or 0.0))
    assert other.sentence == ""


def test_an_answer_decided_by_divergence_counts_it() -> None:
    found = verdict(
        finalist(1, A, role="winner", answers=answers("yes")),
        finalist(2, [0.1, None, None, 0.1, 0.1, 0.1], answers=answers("no")),
    )
    row = chosen(found, "warmup")
    assert (row.answer, row.is_tie, row.difference) == ("yes", False, None)
    assert row.sentence == (
        "Warm-up: yes. With warm-up 0 of 6 seeds diverged, without warm-up 2 of 6 seeds diverged, "
        "at tuned base LRs 0.1 and 0.1."
    )


def test_who_left_the_race_is_not_recommended_for_tying() -> None:
    close = [value + 0.002 for value in A]
    found = verdict(
        finalist(9, A, role="winner"), finalist(2, close, left_race=True), finalist(5, close, role="baseline")
    )
    assert set(found.tied_ids) == {2, 5, 9}
    assert found.recommended_id == 5
    assert "Use the simplest of them that the race had not left behind" in found.text


def test_questions_are_decided_in_order_given_the_answers_before() -> None:
    found = verdict(
        finalist(1, A, role="winner", answers=answers("yes", "wsd", "no"), base_lr=0.06),
        finalist(2, [v + 0.1 for v in A], answers=answers("no", "linear", "no"), base_lr=0.02),
        finalist(3, [v + 0.2 for v in A], answers=answers("yes", "linear", "no"), base_lr=0.05),
        finalist(4, [v + 0.3 for v in A], answers=answers("yes", "cosine", "yes"), base_lr=0.04),
    )
    spoken = {(one.question, one.answer): one.candidate_id for one in found.answers}
    assert spoken["warmup", "no"] == 2
    assert spoken["decay", "linear"] == 3  # 2 is better, but without the warm-up that was decided before
    assert chosen(found, "decay").difference == pytest.approx(-0.2)
    assert spoken["restarts", "yes"] == 4  # nobody else restarts
    assert chosen(found, "restarts").sentence.startswith("Restarts: no. One descent lowers the loss by 0.300")


def test_a_decay_known_only_with_the_other_warmup_is_no_rival_where_there_is_another() -> None:
    found = verdict(
        finalist(1, A, role="winner", answers=answers("yes", "wsd")),
        finalist(2, [v + 0.01 for v in A], answers=answers("no", "constant"), role="baseline"),
        finalist(3, [v + 0.2 for v in A], answers=answers("yes", "cosine"), role="baseline"),
    )
    rows = [one.answer for one in found.answers if one.question == "decay"]
    assert rows[0] == ("constant" if found.recommended_id == 2 else "wsd")
    alone = verdict(
        finalist(1, A, role="winner", answers=answers("yes", "wsd")),
        finalist(2, B, answers=answers("no", "constant"), role="baseline"),
    )
    assert chosen(alone, "decay").difference == pytest.approx(sum(A) / 6 - sum(B) / 6)


def test_baselines_are_told_apart_in_one_sentence() -> None:
    found = verdict(
        finalist(7, A, role="winner"),
        finalist(1, B, role="baseline", label="constant"),
        finalist(2, [v + 0.5 for v in A], role="baseline", label="warmup_cosine"),
    )
    line = found.text.splitlines()[1]
    assert line.startswith(
        "Against the baselines, each at its own tuned base LR, its loss is lower than with constant by 0.305 (95 %"
    )
    assert " and warm-up + cosine by 0.500 (95 % " in line


def test_a_recommended_baseline_is_called_by_its_name() -> None:
    found = verdict(finalist(1, A, role="baseline", label="warmup_cosine", description="linear warm-up 5 %, cosine"))
    assert found.text.startswith("Use linear warm-up 5 %, cosine (the warm-up + cosine baseline): loss 1.005")
    found = verdict(finalist(1, A, role="winner", label="incumbent", description="cosine to 0"))
    assert found.text.startswith("Use cosine to 0 (your own schedule): loss 1.005")


FREE = {"role": "free shape", "answers": answers(decay="spline"), "complexity": (0,)}


def test_a_free_shape_is_measured_and_nothing_else() -> None:
    named = [finalist(1, B, role="winner"), finalist(2, [v + 0.4 for v in B], role="baseline")]
    without, found = verdict(*named), verdict(*named, finalist(3, A, **FREE))
    assert (found.recommended_id, found.winner_id, found.tied_ids) == (1, 1, (1,))
    assert found.answers == without.answers
    assert standing(found, 3).rank_position == 1
    assert standing(found, 1).probability_best == 1.0
    assert comparison(found, 1, 3).difference == pytest.approx(sum(B) / 6 - sum(A) / 6)
    assert found.shape is not None
    assert (found.shape.named_id, found.shape.free_id, found.shape.is_clear) == (1, 3, True)
    assert found.shape.value == pytest.approx(100 * (sum(B) / sum(A) - 1))
    assert "A free shape does better: the best named family is 30 % (95 % 27 .. 34 %) behind the best" in found.text


def test_the_gap_to_the_best_shape_has_the_ratio_s_interval() -> None:
    found = verdict(finalist(1, B, role="winner"), finalist(3, A, **FREE)).shape
    assert found is not None
    ratio = sum(B) / sum(A)
    freedom_error = stats.ttest_ind(B, [ratio * v for v in A], equal_var=False).confidence_interval()
    half = 100 * float(freedom_error.high - freedom_error.low) / 2 / (sum(A) / 6)
    assert (found.low, found.high) == (pytest.approx(found.value - half), pytest.approx(found.value + half))


def test_a_free_shape_within_the_noise_or_behind_says_so() -> None:
    near = verdict(finalist(1, [v + 0.005 for v in A], role="winner"), finalist(3, A, **FREE))
    assert "The best named family is within 0.5 % (95 % -" in near.text
    behind = verdict(finalist(1, A, role="winner"), finalist(3, B, **FREE))
    assert "No free shape did better: the best named family leads the best free shape found by 23 % (95 " in behind.text
    higher = verdict(finalist(1, A, role="winner"), finalist(3, B, **FREE), direction="maximize")
    assert "the best named family is 23 % (95 % " in higher.text


def test_no_gap_is_claimed_where_the_free_shape_diverged_or_was_alone_with_one_seed() -> None:
    assert verdict(finalist(1, A, role="winner"), finalist(3, [None, *B[1:]], **FREE)).shape is None
    assert verdict(finalist(1, [1.0], role="winner"), finalist(3, [0.9], **FREE)).shape is None


def test_a_space_with_a_free_arm_compares_its_winner_with_the_best_named() -> None:
    found = verdict(
        finalist(1, A, role="winner", answers=answers(decay="spline")), finalist(2, B, answers=answers(decay="wsd"))
    )
    assert found.recommended_id == 1
    assert found.shape is not None
    assert (found.shape.named_id, found.shape.free_id) == (2, 1)


WILD = [1.01, 1.03, 0.98, 3.4, 1.0, 1.02]  # one seed collapsed


def test_a_collapsed_seed_is_no_shelter() -> None:
    found = verdict(
        finalist(9, A, role="winner", answers=answers("yes")),
        finalist(5, [v + 0.2 for v in A], role="baseline", answers=answers("yes")),
        finalist(2, WILD, role="baseline", label="cosine"),
        finalist(6, B, role="baseline", answers=answers("yes")),
    )
    row = comparison(found, 9, 2)
    assert row.ci_low < 0 < row.ci_high
    assert (found.recommended_id, found.is_tie, found.erratic_ids) == (9, False, (2,))
    assert not standing(found, 2).is_tied
    assert "too erratic between seeds for a useful interval: cosine (lead 0.4, 95 % -0.6 .. 1.4, p 0.19)" in found.text
    assert not chosen(found, "warmup").is_tie
    assert "Without warm-up the loss is worse by 0.4 (95 % -0.6 .. 1.4, p 0.19) and" in chosen(found, "warmup").sentence
    assert "scatters far more between seeds" in chosen(found, "warmup").sentence


def test_a_winner_with_a_collapsed_seed_does_not_stay_the_leader() -> None:
    found = verdict(finalist(1, WILD, role="winner"), finalist(2, A), finalist(3, [v + 0.1 for v in A]), finalist(4, B))
    assert found.winner_id == 2
    assert not standing(found, 1).is_tied


def test_answers_seen_only_earlier_are_listed_without_claims() -> None:
    seen = [finalist(1, [1.0], answers=answers("yes")), finalist(2, [0.9], answers=answers("yes")), finalist(3, [2.0])]
    rows = unconfirmed_answers(seen, "minimize", phase="search", confirmed={("decay", "cosine"), ("restarts", "no")})
    assert [(row.question, row.answer, row.candidate_id) for row in rows] == [("warmup", "yes", 2), ("warmup", "no", 3)]
    assert all(row.difference is None and row.phase == "search" and not row.is_chosen for row in rows)


def _variance(values: list[float]) -> float:
    mean = sum(values) / len(values)
    return sum((value - mean) ** 2 for value in values) / (len(values) - 1)
