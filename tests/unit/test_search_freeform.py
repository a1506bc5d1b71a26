import numpy as np
import pytest
from search_problem import HORIZON, curve_search, quadratic, space_of

from schedsearch.schedule import Spline, Warmup
from schedsearch.search import CurveModel, best_free_shapes
from schedsearch.search.freeform import OTHER_SHAPE

pytestmark = pytest.mark.xdist_group("search freeform")  # one set of searches for all
RANGE = (1e-2, 1.9)
WARMUP = Warmup("cosine", 0.1, 0.05)


@pytest.fixture(scope="module")
def done():
    return curve_search(2, 30, space=space_of(*RANGE))


def shapes(model, seed=0, **options):
    return best_free_shapes(model, HORIZON, RANGE, rng=np.random.default_rng(seed), **options)


def test_free_shapes_are_splines_inside_the_range_with_what_the_model_expects_of_them(done):
    model = done.model()
    found = shapes(model, count=3, warmup=WARMUP)
    assert len(found) == 3
    expected = model.predict([one.schedule.lrs(HORIZON) for one in found])
    for index, one in enumerate(found):
        assert isinstance(one.schedule.decay, Spline)
        assert one.schedule.warmup in (None, WARMUP)
        assert RANGE[0] <= one.schedule.base_lr <= RANGE[1]
        assert (one.mean, one.sd) == pytest.approx((expected.mean[index], expected.sd[index]))


def test_both_starts_are_searched_and_the_surest_comes_first(done):
    model = done.model()
    with_it, without = shapes(model, warmup=WARMUP, count=40), shapes(model, count=40)
    assert {one.schedule.warmup for one in with_it} == {None, WARMUP}
    assert {one.schedule.warmup for one in without} == {None}
    bad_end = model.predict([one.schedule.lrs(HORIZON) for one in with_it])
    assert (np.diff(bad_end.latent_mean + bad_end.latent_sd) >= -1e-9).all()


def test_no_two_are_nearly_the_same_curve(done):
    curves = [one.schedule.lrs(HORIZON) for one in shapes(done.model(), count=5)]
    for index, curve in enumerate(curves):
        for other in curves[:index]:
            assert np.abs(curve - other).mean() > OTHER_SHAPE * max(curve.max(), other.max())


def test_the_free_shape_is_optimised_on_the_model(done):
    """Better on the model than any of 2,000 random splines, and good in truth."""
    model = done.model()
    space = space_of(*RANGE, warmup={"kinds": ["none"]}, decay={"spline": {}})
    rng = np.random.default_rng(5)
    random = model.predict([space.schedule(space.draw(rng)).lrs(HORIZON) for _ in range(2000)])
    best = shapes(model, count=1)[0]
    own = model.predict([best.schedule.lrs(HORIZON)])
    assert own.latent_mean[0] + own.latent_sd[0] <= np.percentile(random.latent_mean + random.latent_sd, 1)
    assert quadratic(best.schedule.lrs(HORIZON)) < 1.5 * done.best


def test_the_same_generator_finds_the_same(done):
    assert shapes(done.model(), seed=3) == shapes(done.model(), seed=3)


def test_the_stepping_of_the_study_is_kept(done):
    found = best_free_shapes(
        done.model(), HORIZON, RANGE, rng=np.random.default_rng(0), updates_per_epoch=6, step_every="epoch", count=1
    )
    assert found[0].schedule.step_every == "epoch"
    assert len(set(found[0].schedule.lrs(HORIZON, 6)[:6])) == 1


def test_a_model_of_nothing_and_a_tiny_horizon_have_their_answers():
    assert shapes(CurveModel.fit([]), count=1)
    assert best_free_shapes(CurveModel.fit([]), 2, RANGE, rng=np.random.default_rng(0), warmup=Warmup("linear", 0.9))
