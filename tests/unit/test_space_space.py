"""SearchSpace: versions, round trips, arms and answers, draws and neighbours."""

import json
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schedsearch.errors import InvalidSpace
from schedsearch.schedule import Cosine, MultiStep, Schedule, Warmup
from schedsearch.space import Answer, Arm, Question, SearchSpace, arm_of, builtin_spaces, load_space
from schedsearch.space.space import ARM_NAMES

FRAMEWORK = load_space("framework").with_base_lr(1e-3, 1.0)
MODERN = load_space("modern").with_base_lr(1e-3, 1.0)
BARE: dict[str, Any] = {"name": "bare", "decay": {"linear": {}, "cosine": {}}}


@pytest.mark.parametrize("space", [*builtin_spaces(), FRAMEWORK], ids=lambda space: space.version)
def test_json_brings_back_the_same_space(space: SearchSpace) -> None:
    again = SearchSpace.from_dict(json.loads(json.dumps(space.to_dict(), sort_keys=True)))
    assert again == space
    assert again.version == space.version
    assert hash(again) == hash(space)
    assert (again.arms, again.baselines, again.base_lr) == (space.arms, space.baselines, space.base_lr)


def test_the_version_follows_what_is_searched_and_nothing_else() -> None:
    bare = SearchSpace.from_dict(BARE)
    assert len(bare.version) == 12
    assert int(bare.version, 16) >= 0
    reworded = {**BARE, "decay": {"cosine": {}, "linear": None}, "title": "x", "description": "y", "step_every": 1}
    assert SearchSpace.from_dict(reworded).version == bare.version
    for change in ({"step_every": 2}, {"name": "other"}, {"baselines": {}}, {"decay": {"linear": {}}}):
        assert SearchSpace.from_dict({**BARE, **change}).version != bare.version


def test_versions_of_the_spaces_that_ship_differ() -> None:
    assert len({space.version for space in builtin_spaces()}) == 4


def test_a_range_of_the_base_lr_makes_another_space() -> None:
    space = load_space("quick")
    ranged = space.with_base_lr(0.01, 0.1)
    assert (space.base_lr, ranged.base_lr) == (None, (0.01, 0.1))
    assert ranged.version != space.version
    assert ranged.with_base_lr(1e-3, 1).base_lr == (1e-3, 1.0)


@pytest.mark.parametrize(
    ("low", "high", "sentence"),
    [
        (0.1, 0.1, "`base_lr` must have `low` below `high`, but has low 0.1 and high 0.1."),
        (0.0, 0.1, "`base_lr.low` must be greater than 0, but is 0.0 instead."),
        (0.1, float("inf"), "`base_lr.high` must be a finite number, but is inf instead."),
    ],
)
def test_an_impossible_range_of_the_base_lr_is_refused(low: float, high: float, sentence: str) -> None:
    with pytest.raises(InvalidSpace) as caught:
        load_space("quick").with_base_lr(low, high)
    assert str(caught.value) == sentence


def test_answers_in_the_order_of_the_questions() -> None:
    quick = load_space("quick")
    assert quick.answers == (
        Answer(Question.WARMUP, "no"),
        Answer(Question.WARMUP, "yes"),
        Answer(Question.DECAY, "step"),
        Answer(Question.DECAY, "cosine"),
        Answer(Question.DECAY, "linear"),
        Answer(Question.DECAY, "wsd"),
        Answer(Question.RESTARTS, "no"),
    )


def test_two_kinds_of_warm_up_are_one_answer() -> None:
    warmups = [one.value for one in MODERN.answers if one.question is Question.WARMUP]
    assert warmups == ["no", "yes"]
    assert len({arm.warmup for arm in MODERN.arms}) == 3


def test_the_standard_baselines_have_base_lr_one() -> None:
    baselines = {one.name: one.schedule for one in FRAMEWORK.baselines}
    assert {schedule.base_lr for schedule in baselines.values()} == {1.0}
    assert baselines["warmup_cosine"] == Schedule(1.0, Cosine(), Warmup("linear", 0.05, 0.01))
    assert baselines["step"] == Schedule(1.0, MultiStep((0.5, 0.75), 0.1))


def test_a_space_may_name_its_own_baselines_or_none() -> None:
    own = SearchSpace.from_dict({**BARE, "baselines": {"mine": {"decay": {"kind": "cosine", "final_factor": 0.1}}}})
    assert [(one.name, one.schedule) for one in own.baselines] == [("mine", Schedule(1.0, Cosine(0.1)))]
    assert SearchSpace.from_dict({**BARE, "baselines": {}}).baselines == ()


def test_draws_without_an_arm_treat_all_arms_alike() -> None:
    rng = np.random.default_rng(0)
    counts = Counter(arm_of(FRAMEWORK.schedule(FRAMEWORK.draw(rng))) for _ in range(2800))
    assert set(counts) == set(FRAMEWORK.arms)
    assert min(counts.values()) > 60
    assert max(counts.values()) < 145


def test_the_same_generator_draws_the_same_candidates() -> None:
    first, second = np.random.default_rng(5), np.random.default_rng(5)
    assert [FRAMEWORK.draw(first) for _ in range(20)] == [FRAMEWORK.draw(second) for _ in range(20)]


def test_base_lrs_are_drawn_on_the_log_scale_of_their_range() -> None:
    rng = np.random.default_rng(0)
    logs = np.log10([FRAMEWORK.draw(rng)["base_lr"] for _ in range(3000)])
    np.testing.assert_allclose(np.histogram(logs, bins=3, range=(-3, 0))[0] / 3000, 1 / 3, atol=0.04)


def test_an_arm_that_is_not_in_the_space_is_refused() -> None:
    arm = Arm("exponential", "cosine", "single")
    with pytest.raises(InvalidSpace, match="'framework' has no arm 'exponential warm-up"):
        FRAMEWORK.draw(np.random.default_rng(0), arm)


def test_parameters_are_plain_values_that_json_holds_exactly() -> None:
    rng = np.random.default_rng(2)
    for space in (FRAMEWORK, MODERN):
        for arm in space.arms:
            params = space.draw(rng, arm)
            for candidate in (params, space.perturb(params, rng, size=0.1, coordinates=3)):
                assert {type(value) for value in candidate.values()} <= {bool, int, float, str}
                assert json.loads(json.dumps(candidate)) == candidate


def test_a_missing_parameter_raises() -> None:
    with pytest.raises(KeyError, match="decay"):
        FRAMEWORK.schedule({"base_lr": 0.1, "warmup": "none"})


def inside(space: SearchSpace, params: dict[str, Any]) -> bool:
    return all(
        params[one.name] in one.choices if one.kind == "categorical" else one.low <= params[one.name] <= one.high
        for one in space.dimensions(params)
    )


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.001, 3.0), st.integers(1, 12), st.sampled_from([FRAMEWORK, MODERN]))
def test_neighbours_stay_in_their_arm_and_in_bounds(
    seed: int, size: float, coordinates: int, space: SearchSpace
) -> None:
    rng = np.random.default_rng(seed)
    params = space.draw(rng)
    before = dict(params)
    moved = space.perturb(params, rng, size=size, coordinates=coordinates)
    assert params == before
    assert arm_of(space.schedule(moved)) == arm_of(space.schedule(params))
    assert inside(space, moved)
    assert set(moved) == {one.name for one in space.dimensions(moved)}


def test_a_neighbour_differs_in_as_many_numbers_as_were_asked_for() -> None:
    rng = np.random.default_rng(0)
    arm = Arm("linear", "exponential", "single")  # base LR, warm-up fraction and start, the end: four numbers
    for coordinates in (1, 2, 3, 4):
        for _ in range(20):
            params = FRAMEWORK.draw(rng, arm)
            moved = FRAMEWORK.perturb(params, rng, size=0.1, coordinates=coordinates)
            assert sum(params[name] != moved[name] for name in params if name not in ARM_NAMES) == coordinates


def test_steps_have_the_size_that_was_asked_for() -> None:
    rng = np.random.default_rng(0)
    space = SearchSpace.from_dict({"name": "one", "decay": {"linear": {}}}).with_base_lr(1e-3, 1e3)
    steps = [np.log10(space.perturb({"base_lr": 1.0}, rng, size=0.05, coordinates=1)["base_lr"]) for _ in range(2000)]
    assert np.std(steps) == pytest.approx(0.05 * 6, rel=0.06)
    assert np.mean(steps) == pytest.approx(0.0, abs=0.03)


def test_steps_are_reflected_at_the_edge() -> None:
    rng = np.random.default_rng(0)
    space = SearchSpace.from_dict({"name": "one", "decay": {"linear": {}}}).with_base_lr(1e-2, 1.0)
    steps = [space.perturb({"base_lr": 1.0}, rng, size=0.1, coordinates=1)["base_lr"] for _ in range(300)]
    assert max(steps) <= 1.0
    assert sum(lr == 1.0 for lr in steps) == 0  # clamping would leave half of them at the edge


def test_choices_and_whole_numbers_move_now_and_then() -> None:
    rng = np.random.default_rng(0)
    params = FRAMEWORK.draw(rng, Arm("none", "wsd", "restarts"))
    params["restarts.cycles"] = 3
    moved = [FRAMEWORK.perturb(params, rng, size=0.1, coordinates=99) for _ in range(400)]
    cycles = Counter(one["restarts.cycles"] for one in moved)
    assert set(cycles) == {2, 3, 4}
    assert 0.6 < cycles[3] / 400 < 0.8
    assert {one["wsd.shape"] for one in moved} == {"linear", "sqrt", "cosine"}
    assert {"wsd.final_factor" in one for one in moved} == {True, False}


@pytest.mark.parametrize("space", [FRAMEWORK, MODERN, *(one.with_base_lr(1e-3, 1.0) for one in builtin_spaces())])
def test_every_candidate_is_read_back(space: SearchSpace) -> None:
    rng = np.random.default_rng(0)
    for arm in space.arms:
        for _ in range(4):
            params = space.draw(rng, arm)
            found = space.params_of(space.schedule(params))
            assert found is not None
            assert found.keys() == params.keys()
            for name, value in params.items():
                assert found[name] == (pytest.approx(value, rel=1e-6) if isinstance(value, float) else value)


def test_a_changed_space_takes_over_what_it_allows() -> None:
    fixed = SearchSpace.from_dict({**BARE, "base_lr": {"low": 0.01, "high": 1.0}})
    wider = {"linear": {}, "cosine": {"power": {"low": 0.5, "high": 2.0}, "final_factor": 0.0}}
    searched = SearchSpace.from_dict({**BARE, "base_lr": {"low": 0.1, "high": 1.0}, "decay": wider})
    cosine = Schedule(0.5, Cosine(0.0, 1.0))
    found = searched.params_of(cosine) or {}
    assert (found["base_lr"], found["decay"], found["cosine.power"]) == (0.5, "cosine", 1.0)
    assert fixed.params_of(cosine) is not None
    assert searched.params_of(cosine.with_base_lr(0.05)) is None  # below the new range
    assert searched.params_of(Schedule(0.5, Cosine(0.0, 3.0))) is None
    assert fixed.params_of(Schedule(0.5, Cosine(0.0, 2.0))) is None  # that space does not ask for the power
    assert searched.params_of(Schedule(0.5, MultiStep((0.5,), 0.1))) is None
    assert searched.params_of(Schedule(0.5, Cosine(0.0, 1.0), step_every=7)) is None

