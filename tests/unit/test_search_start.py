import numpy as np
import pytest
from search_problem import HORIZON, space_of

from schedsearch.errors import InvalidInput
from schedsearch.search.pool import Describer
from schedsearch.search.start import start_params
from schedsearch.space import arm_of

BLOCK = 10


def design(space, count, seed=0, horizon=HORIZON):
    describer = Describer(space, horizon)
    return [start_params(describer, seed, number, BLOCK) for number in range(count)]


def test_every_arm_comes_once_before_one_comes_twice():
    space = space_of()
    arms = [arm_of(space.schedule(params)) for params in design(space, 2 * len(space.arms))]
    assert set(arms[: len(space.arms)]) == set(arms[len(space.arms) :]) == set(space.arms)


def test_base_lrs_are_stratified_with_the_shape_taken_out():
    space = space_of(low=1e-4, high=1e4)
    describer = Describer(space, HORIZON)
    low, high = describer.log_range
    bold = [np.log10(p["base_lr"]) - describer.shape(p).log_scale for p in design(space, BLOCK)]
    strata = [int((value - low) / (high - low) * BLOCK) for value in bold if low <= value <= high]
    assert len(strata) >= BLOCK - 1
    assert len(set(strata)) == len(strata)


def test_a_candidate_depends_on_seed_and_number_only():
    space = space_of()
    assert design(space, 6) == design(space, 6)
    assert design(space, 6)[3] == start_params(Describer(space, HORIZON), 0, 3, BLOCK)
    assert design(space, 6) != design(space, 6, seed=1)
    assert start_params(Describer(space, HORIZON), 0, 3, BLOCK, attempt=1) != design(space, 6)[3]


def test_every_candidate_is_a_possible_schedule_inside_the_range():
    space = space_of(restarts={"choices": ["single", "restarts"], "cycles": {"low": 2, "high": 30}})
    for params in design(space, 60, horizon=20):
        assert len(space.schedule(params).lrs(20)) == 20
        assert space.base_lr[0] <= params["base_lr"] <= space.base_lr[1]


def test_a_space_that_never_fits_the_horizon_says_why():
    space = space_of(restarts={"choices": ["restarts"], "cycles": 40}, decay={"linear": {}}, warmup={"kinds": ["none"]})
    with pytest.raises(InvalidInput, match="cycles"):
        design(space, 1, horizon=20)
