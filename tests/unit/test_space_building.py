"""From parameters to schedules: names, order, frozen values, every kind."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from schedsearch.errors import InvalidSpace
from schedsearch.schedule import Restarts, Schedule, Warmup
from schedsearch.space import SearchSpace, arm_of, builtin_spaces, load_space
from schedsearch.space.building import BUILDERS
from schedsearch.space.document import DecaySpace

END = {"low": 0.001, "high": 0.2}
EVERYTHING = SearchSpace.from_dict(
    {
        "name": "everything",
        "base_lr": {"low": 1e-4, "high": 1},
        "warmup": {
            "kinds": ["none", "linear", "cosine", "exponential"],
            "fraction": {"low": 0.005, "high": 0.25, "log": True},
            "start_factor": {"low": 0.01, "high": 0.5},
        },
        "decay": {
            "constant": None,
            "step": {"drops": {"low": 1, "high": 4}, "gamma": {"low": 0.1, "high": 0.5}},
            "multistep": {"milestones": [0.3, 0.6, 0.9], "gamma": {"low": 0.1, "high": 0.5}},
            "exponential": {"final_factor": {"low": 0.001, "high": 0.3, "log": True}},
            "cosine": {"final_factor": END, "power": {"low": 0.3, "high": 3, "log": True}},
            "linear": {"final_factor": END},
            "polynomial": {"final_factor": END, "power": {"low": 0.3, "high": 4, "log": True}},
            "rex": {"final_factor": END, "beta": {"low": 0.1, "high": 10, "log": True}},
            "wsd": {"cooldown": {"low": 0.05, "high": 0.9}, "shape": ["linear", "sqrt", "cosine"], "final_factor": END},
            "inverse_sqrt": {"timescale": {"low": 0.003, "high": 0.3, "log": True}},
            "spline": {"final_share": END},
        },
        "restarts": {
            "choices": ["single", "restarts"],
            "cycles": {"low": 2, "high": 5},
            "growth": {"low": 1, "high": 2},
            "peak_decay": {"low": 0.3, "high": 1},
        },
        "step_every": 2,
    }
)

EXAMPLES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"decay": "constant"}, {"kind": "constant"}),
    ({"decay": "step", "step.drops": 3, "step.gamma": 0.2}, {"kind": "step", "drops": 3, "gamma": 0.2}),
    (
        {"decay": "multistep", "multistep.gamma": 0.2},
        {"kind": "multistep", "milestones": [0.3, 0.6, 0.9], "gamma": 0.2},
    ),
    ({"decay": "exponential", "exponential.final_factor": 0.02}, {"kind": "exponential", "final_factor": 0.02}),
    (
        {"decay": "cosine", "cosine.to_zero": True, "cosine.power": 2.0},
        {"kind": "cosine", "final_factor": 0.0, "power": 2.0},
    ),
    (
        {"decay": "linear", "linear.to_zero": False, "linear.final_factor": 0.05},
        {"kind": "linear", "final_factor": 0.05},
    ),
    (
        {"decay": "polynomial", "polynomial.to_zero": True, "polynomial.power": 3.0},
        {"kind": "polynomial", "final_factor": 0.0, "power": 3.0},
    ),
    ({"decay": "rex", "rex.to_zero": True, "rex.beta": 0.5}, {"kind": "rex", "final_factor": 0.0, "beta": 0.5}),
    (
        {"decay": "wsd", "wsd.cooldown": 0.4, "wsd.shape": "sqrt", "wsd.to_zero": False, "wsd.final_factor": 0.1},
        {"kind": "wsd", "cooldown": 0.4, "shape": "sqrt", "final_factor": 0.1},
    ),
    ({"decay": "inverse_sqrt", "inverse_sqrt.timescale": 0.1}, {"kind": "inverse_sqrt", "timescale": 0.1}),
    (
        {
            "decay": "spline",
            "spline.first_knot": 0.5,
            "spline.second_knot_share": 0.5,
            "spline.first_height": 0.5,
            "spline.second_height_share": 0.5,
            "spline.to_zero": False,
            "spline.final_share": 0.125,
        },
        {"kind": "spline", "x1": 0.5, "x2": 0.75, "y1": 0.5, "y2": 0.25, "final_factor": 0.03125},
    ),
]


def test_there_is_a_builder_for_every_kind_a_file_may_name() -> None:
    assert set(BUILDERS) == set(DecaySpace.model_fields) == {one["decay"] for one, _ in EXAMPLES}


@pytest.mark.parametrize(("params", "decay"), EXAMPLES)
def test_parameters_become_the_decay_they_name(params: Mapping[str, Any], decay: dict[str, Any]) -> None:
    built = EVERYTHING.schedule({"base_lr": 0.1, "warmup": "none", "restarts": "single", **params})
    assert built == Schedule.from_dict({"base_lr": 0.1, "decay": decay, "step_every": 2})


def test_warm_up_and_restarts_are_read_from_their_own_parameters() -> None:
    built = EVERYTHING.schedule(
        {
            "base_lr": 0.1,
            "warmup": "cosine",
            "warmup.fraction": 0.1,
            "warmup.start_factor": 0.25,
            "decay": "exponential",
            "exponential.final_factor": 0.1,
            "restarts": "restarts",
            "restarts.cycles": 3,
            "restarts.growth": 1.5,
            "restarts.peak_decay": 0.5,
        }
    )
    assert built.warmup == Warmup("cosine", 0.1, 0.25)
    assert built.restarts == Restarts(3, 1.5, 0.5)


def test_a_parameter_of_another_branch_is_not_asked_for() -> None:
    params = {"base_lr": 0.1, "warmup": "none", "decay": "linear", "linear.to_zero": True, "restarts": "single"}
    asked = [one.name for one in EVERYTHING.dimensions({**params, "linear.final_factor": 0.1, "wsd.cooldown": 0.3})]
    assert asked == list(params)


def test_a_constant_is_never_restarted() -> None:
    params = {"base_lr": 0.1, "warmup": "none", "decay": "constant", "restarts": "restarts"}
    assert EVERYTHING.schedule(params).restarts is None
    assert [arm.restarts for arm in EVERYTHING.arms if arm.decay == "constant"] == ["single"] * 4


def test_a_question_with_one_answer_and_a_fixed_value_are_not_asked_for() -> None:
    frozen = SearchSpace.from_dict(
        {
            "name": "frozen",
            "base_lr": {"low": 0.1, "high": 1},
            "warmup": {"kinds": ["linear"], "fraction": 0.1},
            "decay": {"wsd": {"cooldown": 0.3, "shape": ["sqrt"], "final_factor": 0.01}},
            "restarts": {"choices": ["restarts"], "cycles": 3, "growth": 1, "peak_decay": 0.5},
            "step_every": "epoch",
        }
    )
    built = frozen.schedule({"base_lr": 0.5})
    assert built.to_dict() == {
        "base_lr": 0.5,
        "warmup": {"kind": "linear", "fraction": 0.1, "start_factor": 0.01},
        "decay": {"kind": "wsd", "cooldown": 0.3, "shape": "sqrt", "final_factor": 0.01},
        "restarts": {"cycles": 3, "growth": 1.0, "peak_decay": 0.5},
        "step_every": "epoch",
    }
    assert frozen.draw(np.random.default_rng(0)).keys() == {"base_lr"}


def test_an_end_that_is_never_zero() -> None:
    space = SearchSpace.from_dict(
        {
            "name": "floor",
            "base_lr": {"low": 0.1, "high": 1},
            "decay": {"linear": {"final_factor": {"low": 0.01, "high": 0.2, "or_zero": False}}},
        }
    )
    assert [one.name for one in space.dimensions({"base_lr": 0.1, "linear.final_factor": 0.1})] == [
        "base_lr",
        "linear.final_factor",
    ]


def test_without_a_range_of_the_base_lr_nothing_is_built() -> None:
    with pytest.raises(InvalidSpace, match=r"'quick' has no `base_lr` range; fix one with `with_base_lr`\."):
        load_space("quick").draw(np.random.default_rng(0))


@pytest.mark.parametrize("space", [EVERYTHING, *builtin_spaces()], ids=lambda space: space.name)
def test_every_draw_of_every_arm_is_a_possible_schedule_of_that_arm(space: SearchSpace) -> None:
    space = space.with_base_lr(1e-4, 1.0)
    rng = np.random.default_rng(1)
    for arm in space.arms:
        for _ in range(20):
            schedule = space.schedule(space.draw(rng, arm))
            assert arm_of(schedule) == arm
            lrs = schedule.lrs(300, 20)
            assert lrs.shape == (300,)
            assert (lrs >= 0).all()
            assert lrs.max() <= schedule.base_lr * (1 + 1e-12)


def test_optuna_asks_and_replays_the_same_candidates() -> None:
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=3))
    arms = set()
    for _ in range(60):
        trial = study.ask()
        schedule = EVERYTHING.build(trial)
        arms.add(arm_of(schedule))
        assert EVERYTHING.schedule(trial.params) == schedule
        assert set(trial.params) == {one.name for one in EVERYTHING.dimensions(trial.params)}
        study.tell(trial, 0.0)
    assert len(arms) > 20
