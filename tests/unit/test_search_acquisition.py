import numpy as np
import pytest
from scipy.stats import norm

from schedsearch.search.acquisition import MOST_SAMPLED, PoolView
from schedsearch.search.gp import Hyperparameters, Posterior, matern

HYPER = Hyperparameters((1.0, 2.0), outputscale=1.0, noise=0.1, mean=0.0)


@pytest.fixture
def posterior():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(12, 2))
    return Posterior(x, np.cos(x[:, 0]) + 0.3 * rng.normal(size=12), HYPER)


@pytest.fixture
def pool():
    return np.random.default_rng(1).normal(size=(40, 2))


def covariance(posterior, at):
    inverse = np.linalg.inv(matern(posterior.x, posterior.x, HYPER) + HYPER.noise * np.eye(len(posterior.x)))
    cross = matern(at, posterior.x, HYPER)
    return matern(at, at, HYPER) - cross @ inverse @ cross.T


def test_mean_and_sd_are_the_posteriors(posterior, pool):
    view = PoolView(posterior, pool)
    assert view.mean == pytest.approx(posterior.mean(pool))
    assert view.sd == pytest.approx(np.sqrt(np.diag(covariance(posterior, pool))), rel=1e-5)


def test_taking_a_pick_is_conditioning_on_its_mean(posterior, pool):
    view = PoolView(posterior, pool)
    for pick in (3, 17, 3):
        view.take(pick)
    filled = PoolView(posterior.extended(pool[[3, 17, 3]]), pool)
    assert view.mean == pytest.approx(filled.mean)
    assert view.sd == pytest.approx(filled.sd, rel=1e-5)
    assert view.sd[3] < PoolView(posterior, pool).sd[3]


def test_expected_improvement_is_on_the_best_posterior_mean_and_agrees_with_sampling(posterior, pool):
    view = PoolView(posterior, pool)
    best = posterior.fitted_mean.min()
    assert view.best_mean == pytest.approx(best) != pytest.approx(posterior.y.min())
    grid = norm.ppf((np.arange(20000) + 0.5) / 20000)
    expected = [np.maximum(best - (m + s * grid), 0).mean() for m, s in zip(view.mean, view.sd, strict=True)]
    assert view.expected_improvement() == pytest.approx(expected, abs=1e-4)


def test_without_runs_the_prior_is_improved_upon(pool):
    view = PoolView(Posterior(np.empty((0, 2)), np.empty(0), HYPER), pool)
    assert view.best_mean == HYPER.mean
    assert view.sd == pytest.approx(np.ones(40))
    assert (view.expected_improvement() > 0).all()


def test_with_an_earlier_studys_runs_only_its_best_curve_is_improved_upon(posterior, pool):
    lent = Posterior(posterior.x, posterior.y, HYPER, np.ones(12, dtype=np.intp), np.full(12, 0.8), np.zeros(12))
    assert PoolView(lent, pool).best_mean == pytest.approx(lent.mean(lent.x).min())


def test_thompson_samples_come_from_the_joint_posterior(posterior, pool):
    view, rng = PoolView(posterior, pool[:6]), np.random.default_rng(2)
    draws = []
    for _ in range(3000):
        candidates, values = view.sample(rng)
        draws.append(values[np.argsort(candidates)])
    assert np.mean(draws, axis=0) == pytest.approx(view.mean, abs=0.05)
    assert np.cov(np.array(draws).T) == pytest.approx(covariance(posterior, pool[:6]), abs=0.05)


def test_thompson_orders_a_sample_of_the_most_promising(posterior):
    pool = np.random.default_rng(3).normal(size=(MOST_SAMPLED + 50, 2))
    order = PoolView(posterior, pool).thompson(np.random.default_rng(4))
    assert len(set(order.tolist())) == MOST_SAMPLED
    candidates, values = PoolView(posterior, pool).sample(np.random.default_rng(4))
    assert order.tolist() == candidates[np.argsort(values)].tolist()


def test_a_pool_of_one_curve_many_times_can_still_be_sampled(posterior):
    pool = np.zeros((80, 2))
    candidates, values = PoolView(posterior, pool).sample(np.random.default_rng(0))
    assert len(candidates) == 80
    assert values == pytest.approx(values[0] * np.ones(80), abs=1e-2)
