import numpy as np
import pytest

from schedsearch.search.values import CUT, ValueScale

both = pytest.mark.parametrize("bad_end", ["cut", "bent"])


def test_a_positive_loss_is_taken_as_its_logarithm():
    scale = ValueScale.of([1.0, 10.0, 100.0], "minimize")
    assert scale.log
    latent = scale.to_latent([1.0, 10.0, 100.0])
    assert np.diff(latent) == pytest.approx([latent[1] - latent[0]] * 2)


@both
@pytest.mark.parametrize(
    ("values", "direction"), [([0.0, 1.0, 2.0], "minimize"), ([0.5, 0.7, 0.9], "maximize"), ([-1.0, 3.0], "minimize")]
)
def test_any_other_score_is_taken_as_it_is(values, direction, bad_end):
    scale = ValueScale.of(values, direction, bad_end)
    assert not scale.log
    assert scale.to_score(scale.to_latent(values)) == pytest.approx(values)


@both
@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_smaller_latent_values_are_better(direction, bad_end):
    better, worse = (0.2, 0.4) if direction == "minimize" else (0.4, 0.2)
    latent = ValueScale.of([better, worse, 0.3], direction, bad_end).to_latent([better, worse])
    assert latent[0] < latent[1]


@both
def test_latent_values_are_standardised(bad_end):
    values = [*np.random.default_rng(0).uniform(1, 2, 40), None]
    latent = ValueScale.of(values, "minimize", bad_end).to_latent(values)
    assert (latent.mean(), latent.std()) == pytest.approx((0, 1))


def test_the_bad_end_is_cut_and_divergence_is_put_there():
    values = [0.0, 1.0, 2.0, 1e6, None, float("nan"), float("inf")]
    scale = ValueScale.of(values, "minimize")
    median, best = 1.5, 0.0
    assert scale.to_score(scale.ceiling) == pytest.approx(median + CUT * (median - best))
    latent = scale.to_latent(values)
    assert latent[3:] == pytest.approx([scale.ceiling] * 4)
    assert (latent[:3] < scale.ceiling).all()


def test_a_bent_bad_end_keeps_the_order_and_divergence_is_worst():
    values = [0.0, 1.0, 1.5, 2.0, 1e6, None]
    scale = ValueScale.of(values, "minimize", "bent")
    latent = scale.to_latent(values)
    assert (np.diff(latent[:5]) > 0).all()
    assert latent[5] == latent[4]
    assert scale.to_score(latent[:5]) == pytest.approx(values[:5])
    median, best = 1.5, 0.0
    assert scale.to_score(scale.ceiling) == pytest.approx(2 * median - best)
    assert latent[3] - latent[2] == pytest.approx(1.5 * np.log(1 + 0.5 / 1.5) / scale.spread)


@both
def test_divergence_is_bad_also_where_every_score_is_good(bad_end):
    scale = ValueScale.of([1.0, 1.1, 1.2], "minimize", bad_end)
    assert scale.to_latent([None]) == pytest.approx([scale.ceiling])


@both
def test_one_terrible_run_does_not_move_the_others_together(bad_end):
    good = [1.0, 1.1, 1.2, 1.3]
    spread = np.ptp(ValueScale.of([*good, 1e12], "minimize", bad_end).to_latent(good))
    assert spread > 0.5


@both
@pytest.mark.parametrize("values", [[], [None], [None, None], [0.3], [0.3] * 5, [0.0, 0.0], [0.3, None]])
def test_a_few_or_equal_or_no_values_stay_finite(values, bad_end):
    for direction in ("minimize", "maximize"):
        scale = ValueScale.of(values, direction, bad_end)
        latent = scale.to_latent([*values, None, 0.3])
        assert np.isfinite(latent).all()
        assert np.isfinite(scale.to_score([*latent, 100.0, -100.0])).all()
        assert latent[-2] >= max(latent[:-1])


def test_equal_values_with_a_divergence_still_tell_it_apart():
    latent = ValueScale.of([0.5, 0.5, None], "minimize").to_latent([0.5, None])
    assert latent[0] < latent[1]


def test_a_score_at_which_the_logarithm_ends_counts_as_bad():
    scale = ValueScale.of([1.0, 2.0], "minimize")
    assert scale.to_latent([0.0])[0] == pytest.approx(scale.to_latent([None])[0])


@both
@pytest.mark.parametrize("at", [-0.5, 0.3, 0.9])
def test_standard_deviations_in_score_units_are_of_first_order(at, bad_end):
    scales = [ValueScale.of([1.0, 2.0, 4.0, 9.0], "minimize", bad_end), ValueScale.of([0.1, 0.5], "maximize", bad_end)]
    for scale in scales:
        mean, sd = np.array([at]), 1e-6
        ends = scale.to_score(mean + sd), scale.to_score(mean - sd)
        assert scale.sd_to_score(mean, np.array([sd])) == pytest.approx(abs(ends[0] - ends[1]) / 2, rel=1e-3)
