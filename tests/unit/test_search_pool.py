import numpy as np
import pytest
from search_problem import HORIZON, space_of

from schedsearch.errors import InvalidInput
from schedsearch.schedule import FEATURE_NAMES, describe_curve
from schedsearch.search.pool import DESCRIBED_UPDATES, Centre, Describer, Pool, centred_log_lrs, reflected
from schedsearch.space import load_space


def drawn(space, count, seed=0):
    rng = np.random.default_rng(seed)
    return [space.draw(rng) for _ in range(count)]


def test_a_shape_at_a_base_lr_is_described_like_its_curve():
    space = space_of()
    describer = Describer(space, HORIZON)
    for params in drawn(space, 30):
        shape = describer.shape(params)
        expected = describe_curve(space.schedule(params).lrs(HORIZON))
        assert shape.features + np.log10(params["base_lr"]) == pytest.approx(expected)


@pytest.mark.parametrize(("step", "per_epoch"), [(1, None), (40, None), ("epoch", 200)])
def test_a_long_horizon_is_described_nearly_alike_at_the_price_of_a_short_one(step, per_epoch):
    space = space_of(step_every=step)
    describer, total = Describer(space, 20_000, per_epoch), 20_000
    assert describer.described_updates == DESCRIBED_UPDATES
    for params in drawn(space, 12):
        expected = describe_curve(space.schedule(params).lrs(total, per_epoch))
        assert describer.shape(params).features + np.log10(params["base_lr"]) == pytest.approx(expected, abs=0.1)


def test_an_open_range_of_the_base_lr_is_refused_by_name():
    with pytest.raises(InvalidInput, match="`base_lr` of the space 'framework' must have a range"):
        Describer(load_space("framework"), 100).log_range  # noqa: B018


def test_shapes_that_do_not_fit_the_horizon_are_left_out():
    space = space_of(
        restarts={"choices": ["single", "restarts"], "cycles": 40}, decay={"linear": {}}, warmup={"kinds": ["none"]}
    )
    many = drawn(space, 40)
    fitting = [params for params in many if params["restarts"] == "single"]
    assert 0 < len(fitting) < 40
    assert [shape.params for shape in Describer(space, 30).shapes(many)] == fitting


def test_a_base_lr_that_is_kept_stays_exactly_what_it_was():
    space = space_of()
    describer = Describer(space, HORIZON)
    for params in drawn(space, 50):
        shape = describer.shape(params)
        assert describer.params(shape, np.log10(params["base_lr"])) == params
        assert describer.params(shape, 0.1)["base_lr"] == pytest.approx(10**0.1)


def test_base_lrs_never_leave_the_range_by_rounding():
    describer = Describer(space_of(low=3e-3, high=0.7), HORIZON)
    low, high = describer.log_range
    assert describer.base_lr(low) >= 3e-3
    assert describer.base_lr(high) <= 0.7


def test_pools_join_and_keep_their_candidates():
    space = space_of()
    describer = Describer(space, HORIZON)
    shapes = describer.shapes(drawn(space, 5))
    first = Pool.of(shapes[:3], np.arange(6.0).reshape(3, 2))
    both = first.and_also(Pool.of(shapes[3:], np.array([[7.0], [8.0]])))
    assert [both.at(index)[1] for index in range(8)] == [0, 1, 2, 3, 4, 5, 7, 8]
    assert both.at(7)[0] is shapes[4]
    for index in range(8):
        shape, log_lr = both.at(index)
        assert both.features[index] == pytest.approx(shape.features + log_lr)
    assert both.features.shape == (8, len(FEATURE_NAMES))


@pytest.mark.parametrize("value", [-7.3, -1.0, -0.2, 0.5, 1.0, 1.7, 12.0])
def test_values_are_mirrored_into_the_bounds(value):
    inside = reflected(np.array([value]), (-1.0, 1.0))[0]
    assert -1 <= inside <= 1
    turned = [value - inside, value + inside - 2]  # the bounds mirror, so places repeat every 4
    assert min(abs((turn + 2) % 4 - 2) for turn in turned) == pytest.approx(0, abs=1e-9)


def test_base_lrs_gather_around_the_centre_with_the_shape_taken_out():
    space = space_of()
    shapes = Describer(space, HORIZON).shapes(drawn(space, 300))
    rng, bounds = np.random.default_rng(0), (-10.0, 10.0)
    near = centred_log_lrs(shapes, 2, bounds, Centre(0.5, 0.1), 1.0, rng)
    bold = near - np.array([shape.log_scale for shape in shapes])[:, None]
    assert (bold.mean(), bold.std()) == pytest.approx((0.5, 0.1), abs=0.02)
    for plain in (
        centred_log_lrs(shapes, 2, bounds, None, 1.0, rng),
        centred_log_lrs(shapes, 2, bounds, Centre(0, 1), 0.0, rng),
    ):
        assert plain.std() == pytest.approx(20 / np.sqrt(12), rel=0.1)
