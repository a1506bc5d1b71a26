"""Runs of earlier studies: they help where they agree and cost at most a few runs where they do not."""

import numpy as np
import pytest
from search_problem import HORIZON, curve_search

from schedsearch.search import CurveModel, Observation
from schedsearch.search.gp import Hyperparameters, Posterior, matern
from schedsearch.search.priors import learned_priors
from schedsearch.search.transfer import AGREEMENTS, FEWEST_OWN, Latent, joint_posterior

pytestmark = pytest.mark.xdist_group("search transfer")  # one set of searches for all
SEEDS = range(4)


@pytest.fixture(scope="module")
def earlier():
    """The same task at half the horizon."""
    return curve_search(99, 36, horizon=HORIZON // 2)


@pytest.fixture(scope="module")
def alone():
    return [curve_search(seed, 20) for seed in SEEDS]


def shuffled(observations, seed=0):
    """The earlier curves with each other's results: nothing to learn from them."""
    order = np.random.default_rng(seed).permutation(len(observations))
    pairs = zip(observations, order, strict=True)
    return [Observation(one.lrs, observations[index].value, one.source) for one, index in pairs]


def opposite(observations):
    """The earlier curves with the order of their results turned round."""
    return [Observation(one.lrs, 1 / (one.value or 9.0), one.source) for one in observations]


def best_after(searches, trials):
    """The geometric mean over searches of the best loss of their first trials."""
    best = [min(loss for loss in one.losses[:trials] if loss is not None) for one in searches]
    return float(np.exp(np.mean(np.log(best))))


def test_an_earlier_study_that_agrees_saves_runs(earlier, alone):
    lent = earlier.observations("half as long")
    taught = [curve_search(seed, 12, observations=lent) for seed in SEEDS]
    assert best_after(taught, 8) < 0.9 * best_after(alone, 8)
    assert best_after(taught, 12) < 1.05 * best_after(alone, 16)


@pytest.mark.parametrize("lie", [shuffled, opposite])
def test_one_that_does_not_agree_costs_a_few_runs_at_most(earlier, alone, lie):
    lent = lie(earlier.observations("nonsense"))
    misled = [curve_search(seed, 20, observations=lent) for seed in SEEDS]
    assert best_after(misled, 20) < 1.1 * best_after(alone, 14)


def test_agreement_is_learned_from_the_results(earlier, alone):
    lent = earlier.observations("short")
    agreeing = [one.model(lent).agreements["short"] for one in alone]
    opposed = [one.model(opposite(lent)).agreements["short"] for one in alone]
    assert np.mean(agreeing) > np.mean(opposed) + 0.3
    assert all(0 <= value <= 1 for value in agreeing + opposed)


def test_several_earlier_studies_each_have_their_own_agreement(earlier, alone):
    lent = [*earlier.observations("good"), *opposite(earlier.observations("bad"))]
    agreements = [one.model(lent).agreements for one in alone]
    assert all(list(one) == ["good", "bad"] for one in agreements)
    assert np.mean([one["good"] - one["bad"] for one in agreements]) > 0.3


def test_before_there_are_results_a_cautious_guess_stands(earlier):
    lent = earlier.observations("short")
    few = curve_search(0, FEWEST_OWN - 1)
    assert CurveModel.fit(lent).agreements == few.model(lent).agreements
    assert 0.4 <= CurveModel.fit(lent).agreements["short"] <= 0.7


def test_an_earlier_study_alone_ranks_this_ones_curves(earlier, alone):
    model = CurveModel.fit(earlier.observations("short"))
    good, bad = (alone[0].curves[pick([loss or 9 for loss in alone[0].losses])] for pick in (np.argmin, np.argmax))
    expected = model.predict([good, bad]).latent_mean
    assert expected[0] < expected[1]


def test_scores_of_an_earlier_study_are_on_their_own_scale(earlier, alone):
    """Its losses may be a thousand times larger, or worse by a constant: only their pattern counts."""
    lent = earlier.observations("short")
    scaled = [Observation(one.lrs, None if one.value is None else 1000 * one.value, "short") for one in lent]
    curves = alone[0].curves[:5]
    expected, found = (alone[0].model(some).predict(curves).mean for some in (lent, scaled))
    assert found == pytest.approx(expected)


def test_what_is_reported_of_the_model_is_about_this_studys_runs(earlier, alone):
    model = alone[0].model(shuffled(earlier.observations("nonsense")))
    assert len(model.posterior.fitted_mean) == len(alone[0].curves)
    assert model.rank_agreement() > 0.5
    assert sum(model.feature_importance().values()) == pytest.approx(1)


# ---- in latent units

HYPER = Hyperparameters.of_priors(learned_priors())


def planted(own, lent, same, seed=0):
    """A function drawn from the prior at `own` + 200 + `lent` points: this study's results, what they should predict,
    and an earlier study's results, which are half of it and 1 more, or have nothing to do with it."""
    rng = np.random.default_rng(seed)
    n = own + 200 + lent
    x = rng.normal(size=(n, len(HYPER.lengthscales)))
    truth = np.linalg.cholesky(matern(x, x, HYPER) + 1e-9 * np.eye(n)) @ rng.normal(size=n)
    y = truth.copy()
    y[own + 200 :] = 0.5 * truth[own + 200 :] + 1 if same else rng.normal(size=lent)
    rows = np.r_[:own, own + 200 : n]
    source = np.repeat([0, 1], [own, lent])
    return Latent(x[rows], y[rows], source), x[own : own + 200], truth[own : own + 200]


def error_shares(same):
    """The mean error with an earlier study, as a share of the error without; one for each of five draws."""
    shares = []
    for seed in range(5):
        data, at, truth = planted(10, 80, same, seed)
        alone = Posterior(data.x[:10], data.y[:10], HYPER)
        errors = [np.abs(one.mean(at) - truth).mean() for one in (joint_posterior(data, HYPER), alone)]
        shares.append(errors[0] / errors[1])
    return shares


def test_a_straight_line_between_two_studies_is_learned():
    assert np.mean(error_shares(same=True)) < 0.9


def test_noise_that_an_earlier_study_calls_results_bends_nothing():
    assert np.mean(error_shares(same=False)) < 1.1


def test_thinning_keeps_this_studys_runs_first_and_some_of_all_others():
    data = Latent(np.zeros((900, 2)), np.arange(900.0), np.repeat([0, 1, 2], 300))
    kept = data.thinned(350)
    assert [len(kept.of(source)) for source in range(3)] == [300, 32, 32]
    assert kept.y[kept.of(1)].min() == 300
    assert len(data.thinned(2000).y) == 900


def test_agreements_are_correlations():
    assert all(0 <= one < 1 for one in AGREEMENTS)
