"""Noise, pairing and the number of seeds, against numbers worked out by hand or by scipy."""

from math import sqrt

import numpy as np
import pytest
from scipy import stats

from schedsearch.evidence import estimate_noise, pairing_correlation, seed_rank_agreement


def test_noise_of_one_baseline_is_its_standard_deviation() -> None:
    noise = estimate_noise({1: {10: 1.0, 11: 2.0, 12: 3.0}})
    assert noise.sd == pytest.approx(1.0)
    assert noise.relative_sd == pytest.approx(0.5)
    assert (noise.seeds, noise.diverged) == (3, 0)


def test_noise_is_pooled_within_candidates_not_across_them() -> None:
    noise = estimate_noise({1: {1: 0.0, 2: 2.0}, 2: {1: 100.0, 2: 104.0}})  # variances 2 and 8
    assert noise.sd == pytest.approx(sqrt(5.0))


def test_a_diverged_seed_is_counted_and_not_averaged() -> None:
    noise = estimate_noise({1: {1: 1.0, 2: None, 3: 3.0, 4: float("inf")}})
    assert noise.sd == pytest.approx(sqrt(2.0))
    assert (noise.seeds, noise.diverged) == (2, 2)


@pytest.mark.parametrize("scores", [{}, {1: {1: 1.0}}, {1: {1: None, 2: None}}])
def test_noise_is_unknown_without_two_scores_of_one_candidate(scores: dict[int, dict[int, float | None]]) -> None:
    assert estimate_noise(scores).sd is None


def test_noise_relative_to_a_mean_of_zero_is_unknown() -> None:
    assert estimate_noise({1: {1: -1.0, 2: 1.0}}).relative_sd is None


def test_candidates_that_move_together_are_fully_correlated() -> None:
    assert pairing_correlation({1: {1: 1.0, 2: 3.0, 3: 2.0}, 2: {1: 11.0, 2: 13.0, 3: 12.0}}) == pytest.approx(1.0)


def test_candidates_that_move_against_each_other_have_negative_correlation() -> None:
    assert pairing_correlation({1: {1: 1.0, 2: 3.0}, 2: {1: 3.0, 2: 1.0}}) == pytest.approx(-1.0)


def test_pairing_correlation_finds_what_was_planted() -> None:
    rng = np.random.default_rng(3)
    common = rng.normal(size=400)
    rows = sqrt(0.6) * common + sqrt(0.4) * rng.normal(size=(5, 400))
    scores = {row: dict(enumerate(map(float, values))) for row, values in enumerate(rows)}
    assert pairing_correlation(scores) == pytest.approx(0.6, abs=0.06)


@pytest.mark.parametrize(
    "scores",
    [{}, {1: {1: 1.0, 2: 2.0}}, {1: {1: 1.0, 2: 2.0}, 2: {3: 1.0, 4: 2.0}}, {1: {1: 1.0, 2: 1.0}, 2: {1: 5.0, 2: 5.0}}],
)
def test_pairing_correlation_is_unknown_without_pairs_that_vary(scores: dict[int, dict[int, float | None]]) -> None:
    assert pairing_correlation(scores) is None


def test_rank_agreement_of_two_seeds_is_spearmans() -> None:
    one, other = [1.0, 2.0, 3.0, 4.0, 5.0], [1.0, 3.0, 2.0, 5.0, 4.0]
    scores = {i: {7: a, 8: b} for i, (a, b) in enumerate(zip(one, other, strict=True))}
    assert seed_rank_agreement(scores) == pytest.approx(stats.spearmanr(one, other).statistic)


def test_rank_agreement_needs_four_candidates_and_variety() -> None:
    assert seed_rank_agreement({i: {7: float(i), 8: float(i)} for i in range(3)}) is None
    assert seed_rank_agreement({i: {7: 1.0, 8: float(i)} for i in range(6)}) is None
