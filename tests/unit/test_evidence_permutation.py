"""Sign-flip permutation tests against scipy's, and what a number of seeds can reach at best."""

import numpy as np
import pytest
from scipy import stats

from schedsearch.evidence.intervals import difference
from schedsearch.evidence.permutation import sign_flip_p


@pytest.mark.parametrize("pairs", [2, 3, 5, 6, 10, 13])
@pytest.mark.parametrize("shift", [0.0, 0.5, 3.0])
def test_the_exact_p_is_scipys(pairs: int, shift: float) -> None:
    gaps = np.random.default_rng(pairs).normal(shift, 1.0, pairs)
    theirs = stats.permutation_test((gaps,), np.mean, permutation_type="samples", n_resamples=2**pairs)
    assert sign_flip_p(list(gaps)) == pytest.approx(theirs.pvalue)


def test_beyond_fifteen_pairs_random_turns_come_close_to_scipys() -> None:
    gaps = np.random.default_rng(1).normal(0.5, 1.0, 24)
    theirs = stats.permutation_test((gaps,), np.mean, permutation_type="samples", n_resamples=99_999, rng=2)
    assert sign_flip_p(list(gaps)) == pytest.approx(theirs.pvalue, abs=0.004)
    assert sign_flip_p(list(gaps)) == sign_flip_p(list(gaps))
    assert sign_flip_p([1.0] * 24) == pytest.approx(1 / 16385)  # never 0


def test_equal_steps_are_not_told_apart_by_rounding() -> None:
    assert sign_flip_p([0.1, 0.2, 0.3]) == 0.25
    assert sign_flip_p([0.1 + 0.2, -0.3]) == 1.0
    assert sign_flip_p([0.0, 0.0]) == 1.0


def test_five_pairs_never_reach_five_percent_and_six_do() -> None:
    assert sign_flip_p([1.0] * 5) == stats.wilcoxon([1.0, 2.0, 3.0, 4.0, 5.0]).pvalue == 0.0625
    assert sign_flip_p([1.0] * 6) == 0.03125


@pytest.mark.parametrize("gaps", [[], [1.0]])
def test_below_two_pairs_there_is_no_test(gaps: list[float]) -> None:
    assert sign_flip_p(gaps) is None


@pytest.mark.parametrize("use_pairing", [True, False])
def test_a_difference_is_tested_by_its_pairs_whatever_its_interval(use_pairing: bool) -> None:
    one = {1: 1.0, 2: 1.3, 3: 1.1, 4: 1.2, 9: 5.0}
    other = {1: 2.0, 2: 2.2, 3: 2.3, 4: 2.1}
    found = difference(one, other, use_pairing=use_pairing)
    assert found is not None
    assert found.p_permutation == 2 / 2**4


def test_it_rejects_a_true_null_as_rarely_as_it_says() -> None:
    rng = np.random.default_rng(5)
    found = [sign_flip_p(list(rng.exponential(1.0, 8) - rng.exponential(1.0, 8))) for _ in range(4000)]
    assert np.mean([p is not None and p <= 0.05 for p in found]) == pytest.approx(0.047, abs=0.011)  # 12 of 256
