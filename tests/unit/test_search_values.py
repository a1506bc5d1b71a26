import numpy as np
import pytest

from schedsearch.search.values import CUT, ValueScale


def test_a_positive_loss_is_taken_as_its_logarithm():
    scale = ValueScale.of([1.0, 10.0, 100.0], "minimize")
    assert scale.log
    latent = scale.to_latent([1.0, 10.0, 100.0])
    assert np.diff(latent) == pytest.approx([latent[1] - latent[0]] * 2)


@pytest.mark.parametrize(
    ("values", "direction"), [([0.0, 1.0, 2.0], "minimize"), ([0.5, 0.7, 0.9], "maximize"), ([-1.0, 3.0], "minimize")]
)
def test_any_other_score_is_taken_as_it_is(values, direction):
    scale = ValueScale.of(values, direction)
    assert not scale.log
    assert scale.to_score(scale.to_latent(values)) == pytest.approx(values)


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_smaller_latent_values_are_better(direction):
    better, worse = (0.2, 0.4) if direction == "minimize" else (0.4, 0.2)
    latent = ValueScale.of([better, worse, 0.3], direction).to_latent([better, worse])
    assert latent[0] < latent[1]


def test_latent_values_are_standardised():
    values = list(np.random.default_rng(0).uniform(1, 2, 40))
    latent = ValueScale.of(values, "minimize").to_latent(values)
    assert (latent.mean(), latent.std()) == pytest.approx((0, 1))


def test_the_bad_end_is_cut_and_divergence_is_put_there():
    values = [0.0, 1.0, 2.0, 1e6, None, float("nan"), float("inf")]
    scale = ValueScale.of(values, "minimize")
    median, best = 1.5, 0.0
    assert scale.ceiling == pytest.approx(median + CUT * (median - best))
    latent = scale.to_latent(values)
    assert latent[3:] == pytest.approx([latent.max()] * 4)
    assert (latent[:3] < latent.max()).all()


def test_one_terrible_run_does_not_move_the_others_together():
    good = [1.0, 1.1, 1.2, 1.3]
    spread = np.ptp(ValueScale.of([*good, 1e12], "minimize").to_latent(good))
    assert spread > 0.5


@pytest.mark.parametrize("values", [[], [None], [None, None], [0.3], [0.3] * 5, [0.0, 0.0], [0.3, None]])
def test_a_few_or_equal_or_no_values_stay_finite(values):
    for direction in ("minimize", "maximize"):
        scale = ValueScale.of(values, direction)
        latent = scale.to_latent([*values, 0.3, None])
        assert np.isfinite(latent).all()
        assert np.isfinite(scale.to_score(latent)).all()
        assert latent[-1] >= latent[-2]


def test_equal_values_with_a_divergence_still_tell_it_apart():
    latent = ValueScale.of([0.5, 0.5, None], "minimize").to_latent([0.5, None])
    assert latent[0] < latent[1]


def test_a_score_at_which_the_logarithm_ends_counts_as_bad():
    scale = ValueScale.of([1.0, 2.0], "minimize")
    assert scale.to_latent([0.0])[0] == pytest.approx(scale.to_latent([None])[0])


def test_standard_deviations_in_score_units_are_of_first_order():
    for scale in (ValueScale.of([1.0, 2.0, 4.0], "minimize"), ValueScale.of([0.1, 0.5], "maximize")):
        mean, sd = np.array([0.3]), 1e-5
        ends = scale.to_score(mean + sd), scale.to_score(mean - sd)
        assert scale.sd_to_score(mean, np.array([sd])) == pytest.approx(abs(ends[0] - ends[1]) / 2, rel=1e-3)
