"""What the model's word is worth, against a second training of the same schedules."""

import numpy as np
import pytest
from scipy import stats

from schedsearch.evidence import Trust, trust

TRUTH = np.linspace(1.0, 2.0, 10)


def scores(noise: float, seeds: int = 6, count: int = 10) -> dict[int, dict[int, float | None]]:
    rng = np.random.default_rng(5)
    return {one: {1000 + k: float(TRUTH[one] + noise * rng.normal()) for k in range(seeds)} for one in range(count)}


def test_both_rankings_face_the_same_judge() -> None:
    given = {one: {1: float(a), 2: float(b)} for one, (a, b) in enumerate([(1, 2), (2, 1), (3, 4), (4, 3), (5, 5)])}
    found = trust({0: 1.0, 1: 2.0, 2: 3.0, 3: 5.0, 4: 4.0}, given, left_out=0.7)
    first, second = [1, 2, 3, 4, 5], [2, 1, 4, 3, 5]
    model = [1, 2, 3, 5, 4]
    assert found.seed == pytest.approx(stats.spearmanr(first, second).statistic)
    expected = np.mean([stats.spearmanr(model, second).statistic, stats.spearmanr(model, first).statistic])
    assert found.model == pytest.approx(expected)
    assert (found.left_out, found.finalists) == (0.7, 5)


def test_a_model_that_knows_more_than_a_seed_says_so() -> None:
    found = trust({one: float(TRUTH[one]) for one in range(10)}, scores(0.5), left_out=0.91, plain_share=0.06)
    assert found.model is not None
    assert found.seed is not None
    assert found.model > found.seed
    assert found.sentence.startswith(
        "The curve model explains the search: it ranks runs that it has not seen at 0.91 (1 is "
        "perfect). It explains the results better than a second training would: before their confirmation it ranked "
        "the 10 finalists at "
    )


def test_a_lead_within_the_noise_of_so_few_ranks_is_none() -> None:
    assert "about as well as a second training would" in Trust(0.9, 0.80, 0.70, 9, None).sentence  # below 0.18
    assert "better than a second training would" in Trust(0.9, 0.80, 0.60, 9, None).sentence
    assert "A second training would have" in Trust(0.9, 0.50, 0.70, 9, None).sentence


def test_a_model_that_knows_nothing_says_so() -> None:
    wrong = {one: float(-TRUTH[one]) for one in range(10)}
    found = trust(wrong, scores(0.01), left_out=0.1, plain_share=0.41)
    assert found.explains_little
    assert found.sentence.startswith(
        "The curve model explains little here: it ranks runs that it has not seen at 0.10 (1 is perfect), so that "
        "41 % of asks became plain draws. "
    )
    assert "A second training would have explained the results better" in found.sentence


def test_few_finalists_or_seeds_leave_it_at_what_is_known() -> None:
    predicted = {one: 1.0 * one for one in range(10)}
    assert trust(predicted, scores(0.1, count=3), left_out=0.8).sentence.endswith("at 0.80 (1 is perfect).")
    assert trust(predicted, scores(0.1, seeds=1), left_out=0.8).seed is None
    assert trust(predicted, scores(0.1), left_out=None).sentence == ""


def test_a_finalist_that_diverged_is_left_out() -> None:
    given = scores(0.1)
    given[9][1000] = None
    assert trust({one: 1.0 * one for one in range(10)}, given, left_out=0.8).finalists == 9
