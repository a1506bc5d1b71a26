"""Impossible schedules: one clear sentence each, all of them at once, nothing repaired."""

from functools import partial

import numpy as np
import pytest

from schedsearch.errors import InvalidInput, InvalidSchedule
from schedsearch.schedule import (
    Constant,
    Cosine,
    Exponential,
    InverseSqrt,
    Linear,
    MultiStep,
    Polynomial,
    Restarts,
    Rex,
    Schedule,
    Spline,
    Step,
    Warmup,
    Wsd,
)

CONSTANT = {"kind": "constant"}
NAN, INF = float("nan"), float("inf")

# what is made -> the whole message
FAULTS = [
    (partial(Warmup, fraction=1.5), "`warmup.fraction` must be in (0, 1), but is 1.5 instead."),
    (partial(Warmup, fraction=0), "`warmup.fraction` must be in (0, 1), but is 0 instead."),
    (partial(Warmup, start_factor=0.0), "`warmup.start_factor` must be in (0, 1), but is 0.0 instead."),
    (
        partial(Warmup, "sudden"),
        "`warmup.kind` must be one of 'linear', 'cosine', 'exponential', but is 'sudden' instead.",
    ),
    (partial(Restarts, 1), "`restarts.cycles` must be an integer of at least 2, but is 1 instead."),
    (partial(Restarts, 2.0), "`restarts.cycles` must be an integer of at least 2, but is 2.0 instead."),
    (partial(Restarts, 2, 0.5), "`restarts.growth` must be a finite number of at least 1, but is 0.5 instead."),
    (partial(Restarts, 2, INF), "`restarts.growth` must be a finite number of at least 1, but is inf instead."),
    (partial(Restarts, 2, 1, 1.1), "`restarts.peak_decay` must be in (0, 1], but is 1.1 instead."),
    (partial(Step, 0, 0.5), "`decay.drops` must be an integer of at least 1, but is 0 instead."),
    (partial(Step, True, 0.5), "`decay.drops` must be an integer of at least 1, but is True instead."),
    (partial(Step, 2, 1.2), "`decay.gamma` must be in (0, 1), but is 1.2 instead."),
    (partial(Step, 2, "0.1"), "`decay.gamma` must be in (0, 1), but is '0.1' instead."),
    (
        partial(MultiStep, (0.6, 0.3), 0.1),
        "`decay.milestones` must be numbers that rise strictly inside (0, 1), but is [0.6, 0.3] instead.",
    ),
    (
        partial(MultiStep, (0.5, 1.0), 0.1),
        "`decay.milestones` must be numbers that rise strictly inside (0, 1), but is [0.5, 1.0] instead.",
    ),
    (
        partial(MultiStep, (), 0.1),
        "`decay.milestones` must be numbers that rise strictly inside (0, 1), but is [] instead.",
    ),
    (
        partial(MultiStep, "half", 0.1),
        "`decay.milestones` must be numbers that rise strictly inside (0, 1), but is 'half' instead.",
    ),
    (partial(Exponential, 0.0), "`decay.final_factor` must be in (0, 1), but is 0.0 instead."),
    (partial(Cosine, 1.0), "`decay.final_factor` must be in [0, 1), but is 1.0 instead."),
    (partial(Cosine, NAN), "`decay.final_factor` must be in [0, 1), but is nan instead."),
    (partial(Cosine, 0, 0), "`decay.power` must be a finite number greater than 0, but is 0 instead."),
    (partial(Linear, -0.1), "`decay.final_factor` must be in [0, 1), but is -0.1 instead."),
    (partial(Polynomial, 0, INF), "`decay.power` must be a finite number greater than 0, but is inf instead."),
    (partial(Rex, 0, -1), "`decay.beta` must be a finite number greater than 0, but is -1 instead."),
    (partial(Wsd, 0.0), "`decay.cooldown` must be in (0, 1], but is 0.0 instead."),
    (partial(Wsd, 0.2, "cubic"), "`decay.shape` must be one of 'linear', 'sqrt', 'cosine', but is 'cubic' instead."),
    (partial(InverseSqrt, 0), "`decay.timescale` must be a finite number greater than 0, but is 0 instead."),
    (
        partial(Spline, 0.7, 0.3, 0.5, 0.5),
        "`decay.x1, decay.x2` must be numbers that rise strictly inside (0, 1), but is [0.7, 0.3] instead.",
    ),
    (
        partial(Spline, 1e-9, 0.3, 0.5, 0.5),
        "`decay.x1, decay.x2` must be at least 1e-06 apart and from 0 and 1, but are 1e-09, 0.3 instead.",
    ),
    (partial(Spline, 0.3, 0.7, 1.5, 0.5), "`decay.y1` must be in [0, 1], but is 1.5 instead."),
    (
        partial(Spline, 0.3, 0.7, 0.2, 0.5, 0.1),
        "`decay.y1`, `decay.y2`, `decay.final_factor` must not rise, but are 0.2, 0.5, 0.1 instead.",
    ),
    (partial(Schedule, 0, Constant()), "`base_lr` must be a finite number greater than 0, but is 0 instead."),
    (
        partial(Schedule, 10**400, Constant()),
        f"`base_lr` must be a finite number greater than 0, but is {10**400} instead.",
    ),
    (
        partial(Schedule, np.float32(-1), Constant()),
        "`base_lr` must be a finite number greater than 0, but is -1.0 instead.",
    ),
    (partial(Schedule, True, Constant()), "`base_lr` must be a finite number greater than 0, but is True instead."),
    (partial(Linear, False), "`decay.final_factor` must be in [0, 1), but is False instead."),
    (partial(Schedule, 0.1, "cosine"), "`decay` must be a Decay, but is 'cosine' instead."),
    (partial(Schedule, 0.1, Constant(), 0.05), "`warmup` must be a Warmup or None, but is 0.05 instead."),
    (partial(Schedule, 0.1, Constant(), None, 3), "`restarts` must be a Restarts or None, but is 3 instead."),
    (
        partial(Schedule, 0.1, Constant(), step_every="batch"),
        "`step_every` must be an integer of at least 1 or \"epoch\", but is 'batch' instead.",
    ),
    (
        partial(Schedule, 0.1, Constant(), step_every=0),
        '`step_every` must be an integer of at least 1 or "epoch", but is 0 instead.',
    ),
]


@pytest.mark.parametrize(("make", "message"), FAULTS, ids=range(len(FAULTS)))
def test_a_bad_value_is_one_sentence(make, message):
    with pytest.raises(InvalidSchedule) as caught:
        make()
    assert caught.value.faults == (message,)
    assert isinstance(caught.value, InvalidInput)


SHORT = Warmup("linear", 0.96, 0.1)
HORIZONS = [
    (Schedule(1, Constant()), (1,), "`total_updates` must be an integer of at least 2, but is 1 instead."),
    (Schedule(1, Constant()), (10.0,), "`total_updates` must be an integer of at least 2, but is 10.0 instead."),
    (
        Schedule(1, Constant(), SHORT),
        (10,),
        "`warmup.fraction` must leave at least one step to the decay, but 0.96 of 10 steps is 10 instead.",
    ),
    (
        Schedule(1, Constant(), restarts=Restarts(5)),
        (4,),
        "`restarts.cycles` must leave at least one step to each cycle, but 5 cycles of growth 1 share 4 steps.",
    ),
    (
        Schedule(1, Constant(), step_every="epoch"),
        (10,),
        '`updates_per_epoch` must be given, because `step_every` is "epoch".',
    ),
    (
        Schedule(1, Constant(), step_every="epoch"),
        (10, 0),
        "`updates_per_epoch` must be an integer of at least 1, but is 0 instead.",
    ),
    (
        Schedule(1, Cosine(), step_every=10),
        (10,),
        "`step_every` must be below the horizon of 10 updates, but is 10 updates instead.",
    ),
]


@pytest.mark.parametrize(("schedule", "horizon", "message"), HORIZONS, ids=range(len(HORIZONS)))
def test_a_horizon_that_the_schedule_cannot_have(schedule, horizon, message):
    for evaluate in (schedule.factors, schedule.lrs, partial(schedule.lr, 0)):
        with pytest.raises(InvalidSchedule) as caught:
            evaluate(*horizon)
        assert str(caught.value) == message


@pytest.mark.parametrize("t", [-1, 10, 11, 2.0, None])
def test_outside_the_horizon_the_pure_function_raises(t):
    with pytest.raises(InvalidSchedule, match=r"^`t` must be an integer in \[0, 10\), but is .* instead\.$"):
        Schedule(1, Constant()).lr(t, 10)


def test_all_faults_of_a_value_come_at_once():
    with pytest.raises(InvalidSchedule) as caught:
        Warmup("sudden", 2, 3)
    assert [fault.split("`")[1] for fault in caught.value.faults] == [
        "warmup.kind",
        "warmup.fraction",
        "warmup.start_factor",
    ]


def test_all_faults_of_a_serialized_form_come_at_once():
    with pytest.raises(InvalidSchedule) as caught:
        Schedule.from_dict(
            {
                "base_lr": 0,
                "warmup": {"kind": "linear", "fraction": 1.5},
                "decay": {"kind": "multistep", "milestones": [0.5, 0.2], "gamma": 2},
                "restarts": {"cycles": 1, "peaks": 2},
                "step_every": 0,
                "horizon": 100,
            }
        )
    assert caught.value.faults == (
        "`schedule` has no key 'horizon'; valid keys: base_lr, warmup, decay, restarts, step_every.",
        "`base_lr` must be a finite number greater than 0, but is 0 instead.",
        "`warmup.fraction` must be in (0, 1), but is 1.5 instead.",
        "`decay.milestones` must be numbers that rise strictly inside (0, 1), but is [0.5, 0.2] instead.",
        "`decay.gamma` must be in (0, 1), but is 2 instead.",
        "`restarts` has no key 'peaks'; valid keys: cycles, growth, peak_decay.",
        '`step_every` must be an integer of at least 1 or "epoch", but is 0 instead.',
    )


SERIALIZED = [
    ({}, ("`schedule` needs the key 'base_lr'.", "`schedule` needs the key 'decay'.")),
    ([], ("A schedule must be an object, but is [] instead.",)),
    ({"base_lr": 1, "decay": None}, ("`decay` must be an object, but is None instead.",)),
    ({"base_lr": None, "decay": CONSTANT}, ("`base_lr` must be a finite number greater than 0, but is None instead.",)),
    (
        {"base_lr": 1, "decay": {"kind": "cosine", "eta_min": 0.1}},
        ("`decay` has no key 'eta_min'; valid keys: final_factor, power.",),
    ),
    (
        {"base_lr": 1, "decay": {"kind": "constant", "power": 1}},
        ("`decay` has no key 'power'; valid keys: none.",),
    ),
    ({"base_lr": 1, "decay": {"kind": "step", "drops": 2}}, ("`decay` needs the key 'gamma'.",)),
    (
        {"base_lr": 1, "decay": CONSTANT, "warmup": {"fraction": 0.1}},
        ("`warmup` needs the key 'kind'.",),
    ),
    ({"base_lr": 1, "decay": CONSTANT, "warmup": 0.1}, ("`warmup` must be an object or null, but is 0.1 instead.",)),
    (
        {"base_lr": 1, "decay": CONSTANT, "restarts": {"growth": 2}},
        ("`restarts` needs the key 'cycles'.",),
    ),
    (
        {"base_lr": 1, "decay": CONSTANT, "step_every": None},
        ('`step_every` must be an integer of at least 1 or "epoch", but is None instead.',),
    ),
]


@pytest.mark.parametrize(("values", "faults"), SERIALIZED, ids=range(len(SERIALIZED)))
def test_a_bad_serialized_form(values, faults):
    with pytest.raises(InvalidSchedule) as caught:
        Schedule.from_dict(values)
    assert caught.value.faults == faults


@pytest.mark.parametrize("decay", [{}, {"kind": "warp"}, {"kind": ["cosine"]}])
def test_an_unknown_decay_lists_the_known_ones(decay):
    with pytest.raises(InvalidSchedule) as caught:
        Schedule.from_dict({"base_lr": 1, "decay": decay})
    assert str(caught.value) == (
        "`decay.kind` must be one of 'constant', 'step', 'multistep', 'exponential', 'cosine', 'linear', 'polynomial', "
        f"'rex', 'wsd', 'inverse_sqrt', 'spline', but is {decay.get('kind')!r} instead."
    )
