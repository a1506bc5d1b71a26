"""The serialized form, the key, the words, and what importing costs."""

import copy
import dataclasses
import doctest
import json
import pickle
import subprocess
import sys

import numpy as np
import pytest

from schedsearch import Schedule
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
    Spline,
    Step,
    Warmup,
    Wsd,
    model,
)

FULL = Schedule(0.1, Cosine(0.05), Warmup("linear", 0.05, 0.01), Restarts(3, 2.0, 0.7), "epoch")
FULL_FORM = {
    "base_lr": 0.1,
    "warmup": {"kind": "linear", "fraction": 0.05, "start_factor": 0.01},
    "decay": {"kind": "cosine", "final_factor": 0.05, "power": 1.0},
    "restarts": {"cycles": 3, "growth": 2.0, "peak_decay": 0.7},
    "step_every": "epoch",
}

DECAY_FORMS = [
    (Constant(), {"kind": "constant"}),
    (Step(2, 0.1), {"kind": "step", "drops": 2, "gamma": 0.1}),
    (MultiStep((0.5, 0.75), 0.1), {"kind": "multistep", "milestones": [0.5, 0.75], "gamma": 0.1}),
    (Exponential(0.01), {"kind": "exponential", "final_factor": 0.01}),
    (Linear(), {"kind": "linear", "final_factor": 0.0}),
    (Polynomial(), {"kind": "polynomial", "final_factor": 0.0, "power": 2.0}),
    (Rex(), {"kind": "rex", "final_factor": 0.0, "beta": 0.5}),
    (Wsd(0.2), {"kind": "wsd", "cooldown": 0.2, "shape": "linear", "final_factor": 0.0}),
    (InverseSqrt(0.1), {"kind": "inverse_sqrt", "timescale": 0.1}),
    (
        Spline(0.3, 0.7, 0.8, 0.4),
        {"kind": "spline", "x1": 0.3, "x2": 0.7, "y1": 0.8, "y2": 0.4, "final_factor": 0.0},
    ),
]


def test_the_serialized_form_is_the_documented_one():
    assert FULL.to_dict() == FULL_FORM
    assert list(FULL.to_dict()) == list(FULL_FORM)
    assert Schedule.from_dict(FULL_FORM) == FULL


@pytest.mark.parametrize(("decay", "form"), DECAY_FORMS, ids=[form["kind"] for _, form in DECAY_FORMS])
def test_the_serialized_form_of_a_decay(decay, form):
    schedule = Schedule(1.0, decay)
    assert schedule.to_dict() == {"base_lr": 1.0, "warmup": None, "decay": form, "restarts": None, "step_every": 1}
    assert Schedule.from_dict(json.loads(json.dumps(schedule.to_dict()))) == schedule


def test_absent_parts_and_documented_defaults():
    short = Schedule.from_dict(
        {"base_lr": 1, "decay": {"kind": "cosine"}, "warmup": {"kind": "linear", "fraction": 0.1}}
    )
    assert short == Schedule(1.0, Cosine(0.0, 1.0), Warmup("linear", 0.1, 0.01), None, 1)


def test_the_caller_s_dictionary_is_left_alone():
    given = copy.deepcopy(FULL_FORM)
    Schedule.from_dict(given).to_dict()["decay"]["power"] = 7
    assert given == FULL_FORM


def test_numbers_of_any_type_make_the_same_schedule():
    whole = Schedule(1, Cosine(0, 2), Warmup("cosine", np.float64(0.5), 0.25), Restarts(np.int64(3), 2, 1), np.int32(4))
    same = Schedule(1.0, Cosine(-0.0, 2.0), Warmup("cosine", 0.5, np.float32(0.25)), Restarts(3, 2.0, 1.0), 4)
    assert whole == same
    assert whole.key() == same.key()
    assert json.dumps(whole.to_dict()) == json.dumps(same.to_dict())
    assert MultiStep([np.float64(0.5)], 0.1) == MultiStep((0.5,), 0.1)


def test_the_key_is_stable_and_tells_schedules_apart():
    assert FULL.key() == "156b3c57c297d7a0"
    others = [FULL.with_base_lr(0.2), dataclasses.replace(FULL, step_every=1), dataclasses.replace(FULL, warmup=None)]
    assert len({one.key() for one in (FULL, *others)}) == 4


def test_values_are_frozen_and_travel():
    with pytest.raises(dataclasses.FrozenInstanceError):
        FULL.base_lr = 0.2
    with pytest.raises(dataclasses.FrozenInstanceError):
        FULL.decay.power = 2.0
    assert pickle.loads(pickle.dumps(FULL)) == FULL  # noqa: S301  # our own bytes
    assert FULL.with_base_lr(0.2) == dataclasses.replace(FULL, base_lr=0.2)


WORDS = [
    (
        FULL,
        "linear warm-up 5 %, cosine to 5 %, 3 cycles, each 2 times longer, peaks x 0.7, stepped every epoch; "
        "base LR 0.1",
    ),
    (Schedule(0.001, Cosine(), Warmup(), Restarts(3)), "linear warm-up 5 %, cosine to 0, 3 cycles; base LR 0.001"),
    (Schedule(1, Constant(), step_every=10), "constant, stepped every 10 updates; base LR 1"),
    (Schedule(1, Step(3, 0.2)), "3 equal steps x 0.2; base LR 1"),
    (Schedule(1, Step(1, 0.1)), "1 equal step x 0.1; base LR 1"),
    (Schedule(1, MultiStep((0.5, 0.75), 0.1)), "steps x 0.1 at 50, 75 %; base LR 1"),
    (Schedule(1, Exponential(0.01)), "exponential to 1 %; base LR 1"),
    (Schedule(1, Cosine(0.1, 2)), "cosine to the power 2 to 10 %; base LR 1"),
    (Schedule(1, Linear()), "linear to 0; base LR 1"),
    (Schedule(1, Polynomial(0, 2)), "polynomial of power 2 to 0; base LR 1"),
    (Schedule(1, Rex()), "REX of beta 0.5 to 0; base LR 1"),
    (Schedule(1, Wsd(0.2, "sqrt")), "hold, then sqrt cooldown over the last 20 % to 0; base LR 1"),
    (Schedule(1, InverseSqrt(0.05)), "inverse square root of timescale 5 %; base LR 1"),
    (Schedule(1, Spline(0.3, 0.7, 0.8, 0.4)), "free shape through 80 % at 30 % and 40 % at 70 %, to 0; base LR 1"),
]


@pytest.mark.parametrize(("schedule", "words"), WORDS, ids=[words for _, words in WORDS])
def test_one_line_that_a_person_would_say(schedule, words):
    assert schedule.describe() == words


def test_the_example_in_the_docstring_is_true():
    assert doctest.testmod(model) == doctest.TestResults(failed=0, attempted=2)


def test_importing_a_schedule_imports_no_engine():
    code = "import sys; from schedsearch import Schedule; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert "numpy" in loaded
    assert not loaded & {"torch", "optuna", "botorch", "scipy", "sqlalchemy", "mlflow", "click", "pydantic"}
