from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from schedsearch.schedule import FEATURE_NAMES
from schedsearch.search import fit_with_botorch, fit_with_scipy
from schedsearch.search.fit_with_scipy import _Objective, density
from schedsearch.search.gp import JITTER, Hyperparameters, Posterior, fit_hyperparameters, matern
from schedsearch.search.priors import learned_priors

F = 3
HYPER = Hyperparameters((0.7, 1.5, 3.0), outputscale=1.3, noise=0.05, mean=0.2)


def kernel(a, b):
    """Matern 5/2 written out for two points."""
    r = np.sqrt(5 * sum(((p - q) / scale) ** 2 for p, q, scale in zip(a, b, HYPER.lengthscales, strict=True)))
    return HYPER.outputscale * (1 + r + r**2 / 3) * np.exp(-r)


def gram(a, b):
    return np.array([[kernel(p, q) for q in b] for p in a])


@pytest.fixture
def data():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(9, F))
    return x, np.sin(x[:, 0]) + 0.1 * rng.normal(size=9), rng.normal(size=(5, F))


def reference(x, y, at, noise=HYPER.noise + JITTER):
    """Mean and covariance by explicit inverse."""
    inverse = np.linalg.inv(gram(x, x) + noise * np.eye(len(x)))
    cross = gram(at, x)
    return HYPER.mean + cross @ inverse @ (y - HYPER.mean), gram(at, at) - cross @ inverse @ cross.T


def test_kernel_is_matern_5_2_with_one_length_scale_a_feature(data):
    x, _, at = data
    assert matern(x, at, HYPER) == pytest.approx(gram(x, at))


def test_mean_agrees_with_a_process_worked_out_by_hand(data):
    x, y, at = data
    mean, _ = reference(x, y, at)
    posterior = Posterior(x, y, HYPER)
    assert posterior.mean(at) == pytest.approx(mean)
    assert posterior.fitted_mean == pytest.approx(reference(x, y, x)[0])


def test_log_likelihood_is_the_density_of_the_values(data):
    x, y, _ = data
    covariance = gram(x, x) + (HYPER.noise + JITTER) * np.eye(len(x))
    expected = multivariate_normal(np.full(len(x), HYPER.mean), covariance).logpdf(y)
    assert Posterior(x, y, HYPER).log_likelihood == pytest.approx(expected)


def test_left_out_in_closed_form_is_leaving_each_out_in_turn(data):
    x, y, _ = data
    mean, variance = Posterior(x, y, HYPER).left_out()
    for index in range(len(x)):
        rest = np.delete(np.arange(len(x)), index)
        expected, covariance = reference(x[rest], y[rest], x[[index]])
        assert mean[index] == pytest.approx(expected[0])
        assert variance[index] == pytest.approx(covariance[0, 0] + HYPER.noise + JITTER)


def test_slopes_are_the_derivatives_of_the_mean(data):
    x, y, _ = data
    posterior, step = Posterior(x, y, HYPER), 1e-5
    for feature in range(F):
        moved = step * np.eye(F)[feature]
        numeric = (posterior.mean(x + moved) - posterior.mean(x - moved)) / (2 * step)
        assert posterior.slopes()[:, feature] == pytest.approx(numeric, abs=1e-4)


def test_pending_points_change_no_mean(data):
    x, y, at = data
    posterior = Posterior(x, y, HYPER)
    extended = posterior.extended(at[:2])
    assert len(extended.x) == len(x) + 2
    assert extended.mean(at) == pytest.approx(posterior.mean(at))
    assert posterior.extended(np.empty((0, F))) is posterior


def two_studies(data, agreement):
    x, y, at = data
    source = np.array([0] * 4 + [1] * 5)
    rows = np.where(source == 0, 1.0, agreement)
    return Posterior(x, y, HYPER, source, rows), at


@pytest.mark.parametrize("agreement", [0.0, 0.6, 1.0])
def test_rows_of_another_study_covary_by_their_agreement(data, agreement):
    x, y, _ = data
    posterior, at = two_studies(data, agreement)
    factor = np.array([[1.0 if (i < 4) == (j < 4) else agreement for j in range(9)] for i in range(9)])
    inverse = np.linalg.inv(gram(x, x) * factor + (HYPER.noise + JITTER) * np.eye(9))
    cross = gram(at, x) * factor[0]
    assert posterior.mean(at) == pytest.approx(HYPER.mean + cross @ inverse @ (y - HYPER.mean))
    own = HYPER.mean + (gram(x[:4], x) * factor[0]) @ inverse @ (y - HYPER.mean)
    assert posterior.fitted_mean == pytest.approx(own)


def test_a_study_that_does_not_agree_changes_nothing(data):
    x, y, _ = data
    posterior, at = two_studies(data, 0.0)
    alone = Posterior(x[:4], y[:4], HYPER)
    assert posterior.mean(at) == pytest.approx(alone.mean(at))
    assert posterior.left_out()[0] == pytest.approx(alone.left_out()[0])
    assert posterior.slopes() == pytest.approx(alone.slopes())


def test_slopes_with_another_study_are_derivatives_at_the_own_points(data):
    posterior, _ = two_studies(data, 0.7)
    own, step = posterior.x[:4], 1e-5
    for feature in range(F):
        moved = step * np.eye(F)[feature]
        numeric = (posterior.mean(own + moved) - posterior.mean(own - moved)) / (2 * step)
        assert posterior.slopes()[:, feature] == pytest.approx(numeric, abs=1e-4)


def test_more_noise_of_a_row_stands_on_the_diagonal(data):
    x, y, at = data
    more = np.where(np.arange(9) < 4, 0.0, 0.3)
    posterior = Posterior(x, y, HYPER, np.repeat([0, 1], [4, 5]), np.ones(9), more)
    inverse = np.linalg.inv(gram(x, x) + np.diag(HYPER.noise + JITTER + more))
    assert posterior.mean(at) == pytest.approx(HYPER.mean + gram(at, x) @ inverse @ (y - HYPER.mean))
    assert posterior.fitted_mean == pytest.approx(HYPER.mean + gram(x[:4], x) @ inverse @ (y - HYPER.mean))
    assert posterior.extended(at).more_noise == pytest.approx([*more, *np.zeros(5)])


def test_pending_points_of_a_study_with_another_one_are_its_own(data):
    posterior, at = two_studies(data, 0.7)
    extended = posterior.extended(at[:2])
    assert extended.own.sum() == 6
    assert extended.mean(at) == pytest.approx(posterior.mean(at))


# ---- hyperparameters


def features(n, seed=0):
    return np.random.default_rng(seed).normal(size=(n, len(FEATURE_NAMES)))


def test_without_results_the_priors_speak():
    hyper = fit_hyperparameters(np.empty((0, len(FEATURE_NAMES))), np.empty(0))
    assert hyper == Hyperparameters.of_priors(learned_priors())


@pytest.fixture(params=["botorch", "scipy"])
def fit(request):
    return partial(fit_hyperparameters, fitter=request.param)


def test_a_fit_is_a_pure_function(fit):
    x = features(24)
    y = np.sin(x[:, 1])
    assert fit(x, y) == fit(x.copy(), y.copy())


@pytest.mark.parametrize("n", [5, 24, 96])
def test_both_fitters_find_the_same(n):
    x = features(n)
    y = np.sin(x[:, 1]) + 0.3 * x[:, 0] + 0.2 * np.random.default_rng(n).normal(size=n)
    found = [fit_hyperparameters(x, y, fitter=fitter) for fitter in ("botorch", "scipy")]
    densities = [density(x, y, hyper, learned_priors()) for hyper in found]
    assert densities[1] == pytest.approx(densities[0], abs=1e-3)  # flat around its top: length scales may differ
    others = np.random.default_rng(n + 1).uniform(-2, 1, x.shape)
    means = [Posterior(x, y, hyper).mean(others) for hyper in found]
    assert means[1] == pytest.approx(means[0], abs=0.05)


def test_the_slopes_of_the_closed_form_are_those_of_its_objective():
    priors, x = learned_priors(), features(12)
    objective = _Objective(x, np.sin(x[:, 0]), [*priors.lengthscales, priors.outputscale, priors.noise])
    at, step = np.random.default_rng(0).normal(size=len(FEATURE_NAMES) + 3), 1e-5
    for index, slope in enumerate(objective(at)[1]):
        moved = step * np.eye(len(at))[index]
        numeric = (objective(at + moved)[0] - objective(at - moved)[0]) / (2 * step)
        assert slope == pytest.approx(numeric, abs=1e-6)


def test_a_fit_finds_which_feature_matters(fit):
    x = 2 * features(60)
    fitted = fit(x, np.sin(x[:, 1]))
    median = Hyperparameters.of_priors(learned_priors()).lengthscales
    assert (np.array(fitted.lengthscales) / median).argmin() == 1


def test_a_fit_finds_how_much_noise_there_is(fit):
    x = np.zeros((40, len(FEATURE_NAMES)))
    x[:, 1] = np.linspace(-4, 4, 40)
    clean = np.sin(x[:, 1])
    noisy = clean + 0.5 * np.random.default_rng(1).normal(size=40)
    assert fit(x, clean).noise < 0.01
    assert 0.1 < fit(x, noisy).noise < 0.5


@pytest.mark.parametrize(
    ("x", "y"),
    [
        (features(1), np.zeros(1)),
        (features(2), np.array([-1.0, 1.0])),
        (features(8), np.zeros(8)),
        (np.repeat(features(1), 8, axis=0), np.linspace(-1, 1, 8)),
        (np.zeros((8, len(FEATURE_NAMES))), np.zeros(8)),
        (features(8) * 1e-9, np.linspace(-1, 1, 8)),
    ],
    ids=["one", "two", "equal values", "one curve", "nothing at all", "nearly one curve"],
)
def test_a_fit_survives_what_it_cannot_learn_from(fit, x, y):
    hyper = fit(x, y)
    assert np.isfinite([*hyper.lengthscales, hyper.outputscale, hyper.noise, hyper.mean]).all()
    assert np.isfinite(Posterior(x, y, hyper).mean(features(4, seed=5))).all()


@pytest.mark.parametrize("fitter", [fit_with_botorch, fit_with_scipy])
def test_a_fit_that_runs_into_singular_covariances_stays_where_it_started(fitter):
    x = np.repeat(features(4), 2, axis=0)
    start = replace(Hyperparameters.of_priors(learned_priors()), outputscale=1e60)
    assert fitter.most_probable(x, x[:, 0], learned_priors(), start) == start
