"""A wrong model can never lock the search, and says how little it knows."""

import zlib

import numpy as np
import pytest
from scipy.stats import spearmanr
from search_problem import HORIZON, curve_search, random_search, space_of

from schedsearch.search import CurveModel, Observation
from schedsearch.search.proposals import MOST_PLAIN_SHARE, PLAIN_SHARE, plain_share
from schedsearch.space import arm_of

SEEDS = range(4)


def lottery(lrs):
    """A loss that has nothing to do with the curve's description: a number hashed from its bytes."""
    return 0.1 + zlib.crc32(lrs.tobytes()) / 2**32


def island(lrs):
    """A smooth slope that leads away from a narrow optimum: peaks within .12 decades of 0.03 and a late fall."""
    away = abs(np.log10(lrs.max() / 0.03)) / 0.12
    late = lrs[HORIZON // 2] / lrs.max()
    if away < 1 and late > 0.5:
        return 0.05 + 0.2 * away**2
    return 0.6 - 0.1 * np.log10(lrs.max())


def test_where_the_loss_ignores_the_curve_the_search_does_as_well_as_random_draws():
    ours = [curve_search(seed, 32, lottery).best for seed in SEEDS]
    random = [random_search(seed, 32, lottery).best for seed in range(20)]
    assert np.mean(ours) < np.mean(random) + 2.5 * np.std(random) / np.sqrt(len(ours))


def test_and_the_model_says_that_it_explains_nothing():
    done = curve_search(0, 40, lottery)
    assert done.study.sampler.rank_agreement < 0.4
    assert plain_share(done.study.sampler.rank_agreement) > 2 * PLAIN_SHARE
    assert {arm_of(space_of().schedule(trial.params)) for trial in done.study.trials} == set(space_of().arms)


def test_a_narrow_island_is_found_by_most_searches():
    found = [curve_search(seed, 80, island, fitter="scipy").best < 0.3 for seed in range(5)]
    assert sum(found) > len(found) / 2


@pytest.mark.parametrize(
    ("agreement", "share"), [(1.0, PLAIN_SHARE), (0.5, PLAIN_SHARE), (0.0, MOST_PLAIN_SHARE), (-0.7, MOST_PLAIN_SHARE)]
)
def test_the_less_the_model_explains_the_more_is_drawn_plainly(agreement, share):
    assert plain_share(agreement) == share


def test_rank_agreement_is_there_to_be_stored():
    fresh = curve_search(0, 2)
    assert fresh.study.sampler.rank_agreement is None
    good = curve_search(0, 24)
    assert good.study.sampler.rank_agreement > 0.6
    assert good.model().rank_agreement() > 0.6


def test_rank_agreement_is_leaving_out_one_run_at_a_time():
    done = curve_search(0, 10, lottery)  # ten losses, no two alike
    model = done.model()
    features, latent = model.posterior.x, model.posterior.y
    left_out = []
    for index in range(10):
        rest = np.delete(np.arange(10), index)
        posterior = type(model.posterior)(features[rest], latent[rest], model.hyperparameters)
        left_out.append(posterior.mean(features[[index]])[0])
    assert model.rank_agreement() == pytest.approx(spearmanr(left_out, latent).statistic)


@pytest.mark.parametrize("values", [[], [1.0], [1.0, 2.0], [1.0] * 6, [None] * 6])
def test_too_little_to_rank_is_no_agreement(values):
    curves = [np.full(20, 0.1 * (1 + index)) for index in range(len(values))]
    model = CurveModel.fit([Observation(curve, value) for curve, value in zip(curves, values, strict=True)])
    assert model.rank_agreement() == 0.0
    assert all(np.isfinite(part) for part in model.feature_importance().values())


def test_the_search_beats_random_draws_where_the_curve_decides():
    ours = np.mean([np.log(curve_search(seed, 24).best) for seed in range(3)])
    random = np.mean([np.log(random_search(seed, 48).best) for seed in range(12)])
    assert ours < random
