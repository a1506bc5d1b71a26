import numpy as np
import pytest
from search_problem import HORIZON, curve_search

from schedsearch.schedule import FEATURE_NAMES, Cosine, Linear, Polynomial, Schedule, describe_curves
from schedsearch.search import CurveModel, Observation
from schedsearch.search.model import MOST_OBSERVATIONS, spearman
from schedsearch.search.transfer import spread_selection


@pytest.fixture(scope="module")
def done():
    return curve_search(1, 24)


def test_predictions_are_in_the_scores_units_with_intervals_around_them(done):
    expected = done.model().predict(done.curves)
    assert (expected.low < expected.mean).all()
    assert (expected.mean < expected.high).all()
    losses = np.array([loss or np.inf for loss in done.losses])
    good = losses < np.median(losses)
    assert spearman(expected.mean[good], losses[good]) > 0.5


def test_a_score_to_be_maximized_keeps_its_direction(done):
    observations = [Observation(one.lrs, None if one.value is None else -one.value) for one in done.observations()]
    model = CurveModel.fit(observations, direction="maximize")
    expected = model.predict(done.curves)
    assert spearman(expected.mean, -expected.latent_mean) == pytest.approx(1)
    assert (expected.low < expected.high).all()


def test_one_curve_from_two_families_is_one_curve():
    linear = Schedule(0.2, Linear()).lrs(HORIZON)
    polynomial = Schedule(0.2, Polynomial(power=1.0)).lrs(HORIZON)
    model = CurveModel.fit([Observation(linear, 0.5), Observation(Schedule(0.4, Cosine()).lrs(HORIZON), 0.7)])
    expected = model.predict([linear, polynomial])
    assert expected.mean[0] == pytest.approx(expected.mean[1])


def test_features_and_curves_give_the_same(done):
    model, curves = done.model(), done.curves[:4]
    assert model.predict(describe_curves(curves)).mean == pytest.approx(model.predict(curves).mean)


def test_pending_curves_change_no_prediction_and_lower_its_uncertainty(done):
    model, curve = done.model(), [Schedule(0.9, Cosine()).lrs(HORIZON)]
    pending = model.with_pending(curve)
    assert pending.predict(curve).mean == pytest.approx(model.predict(curve).mean)
    assert pending.predict(curve).sd[0] < model.predict(curve).sd[0]
    assert pending.expected_improvement(curve)[0] < model.expected_improvement(curve)[0]


def test_thompson_samples_name_curves_of_the_pool(done):
    model = done.model()
    picks = model.thompson(done.curves, 50, np.random.default_rng(0))
    assert picks.shape == (50,)
    best = int(np.argmin(model.predict(done.curves).latent_mean))
    assert np.bincount(picks, minlength=24).argmax() == best or best in picks


def test_a_fit_is_the_same_whatever_else_was_fitted(done):
    first = done.model()
    curve_search(7, 12).model()
    again = done.model()
    assert first.hyperparameters == again.hyperparameters
    assert (first.predict(done.curves).mean == again.predict(done.curves).mean).all()


def test_which_features_matter_sums_to_one_and_names_all(done):
    shares = done.model().feature_importance()
    assert tuple(shares) == FEATURE_NAMES
    assert sum(shares.values()) == pytest.approx(1)
    assert all(share >= 0 for share in shares.values())


def test_a_feature_that_alone_decides_is_named():
    x = np.random.default_rng(0).normal(size=(60, len(FEATURE_NAMES)))
    model = CurveModel.of_features(x, list(np.exp(2 * x[:, 3])))
    shares = model.feature_importance()
    assert max(shares, key=shares.get) == FEATURE_NAMES[3]


def test_thousands_of_runs_are_thinned_with_the_best_kept():
    x = np.random.default_rng(0).normal(size=(2000, len(FEATURE_NAMES)))
    values = list(np.arange(1.0, 2001.0))
    model = CurveModel.of_features(x, values, hyperparameters=CurveModel.fit([]).hyperparameters)
    assert len(model.posterior.y) == MOST_OBSERVATIONS
    assert model.posterior.x[: MOST_OBSERVATIONS // 2] == pytest.approx(x[: MOST_OBSERVATIONS // 2])


def test_a_selection_holds_the_best_half_and_spreads_over_the_rest():
    y = np.random.default_rng(0).permutation(100).astype(float)
    kept = y[spread_selection(y, 20)]
    assert set(range(10)) <= set(kept)
    assert np.diff(np.sort(kept)[10:]).max() <= 11
    assert kept.max() == 99
    assert spread_selection(y, 200).tolist() == list(range(100))


def test_an_empty_model_answers_with_the_prior():
    expected = CurveModel.fit([]).predict([Schedule(0.1, Linear()).lrs(HORIZON)])
    assert np.isfinite([expected.mean[0], expected.sd[0]]).all()
