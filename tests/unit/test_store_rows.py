"""Values on their way into the store: what is refused, what is cleaned, what is kept to the last digit."""

import math
from types import MappingProxyType

import pytest

from schedsearch.errors import InvalidInput
from schedsearch.schedule import Schedule
from schedsearch.store import NewCandidate
from schedsearch.store.rows import candidate_values, check_fits, clean_text, plain
from schedsearch.store.tables import candidate, run


def test_plain_values_are_what_json_has() -> None:
    given = MappingProxyType({"a": (1, 2.5, None), "b": {"c": math.nan, "d": [math.inf, -math.inf, True, "x"]}})
    assert plain(given) == {"a": [1, 2.5, None], "b": {"c": None, "d": [None, None, True, "x"]}}
    assert plain(1 / 3) == 1 / 3


def test_text_that_no_database_refuses() -> None:
    assert clean_text(None) is None
    assert clean_text("a\x00b\udcffc 🔥") == "a\ufffdb?c 🔥"
    assert len(clean_text("x" * 20_000) or "") == 10_000


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ({"label": "x" * 101}, "`label` must have at most 100 characters, but has 101 instead."),
        ({"schedule_key": "x" * 17}, "`schedule_key` must have at most 16 characters, but has 17 instead."),
        ({"trial_number": 2**31}, "`trial_number` must be at most 2147483647, but is 2147483648 instead."),
    ],
)
def test_what_does_not_fit_is_named(values: dict[str, object], fault: str) -> None:
    with pytest.raises(InvalidInput) as told:
        check_fits(candidate, values)
    assert told.value.faults == (fault,)


def test_what_fits_passes() -> None:
    check_fits(
        candidate, {"label": "x" * 100, "trial_number": 2**31 - 1, "description": "x" * 100_000, "base_lr": 1e99}
    )
    check_fits(run, {"told": True, "reason": None})


def test_a_schedule_as_columns() -> None:
    schedule = Schedule.from_dict(
        {
            "base_lr": 0.3,
            "warmup": {"kind": "linear", "fraction": 0.05, "start_factor": 0.01},
            "decay": {"kind": "cosine", "final_factor": 0.1},
            "restarts": {"cycles": 3, "growth": 2.0, "peak_decay": 0.5},
            "step_every": "epoch",
        }
    )
    values = candidate_values(7, NewCandidate("search", None, schedule, 4, "an arm", "yes", "cosine", "yes"))
    assert set(values) == {column.name for column in candidate.c} - {"id"}
    assert values | {"schedule": None, "schedule_key": None, "description": None} == {
        "study_id": 7,
        "kind": "search",
        "label": None,
        "trial_number": 4,
        "arm": "an arm",
        "answer_warmup": "yes",
        "answer_decay": "cosine",
        "answer_restarts": "yes",
        "base_lr": 0.3,
        "warmup_kind": "linear",
        "warmup_fraction": 0.05,
        "warmup_start_factor": 0.01,
        "decay_kind": "cosine",
        "decay_final_factor": 0.1,
        "restarts_cycles": 3,
        "restarts_growth": 2.0,
        "restarts_peak_decay": 0.5,
        "step_every": "epoch",
        "schedule": None,
        "schedule_key": None,
        "description": None,
    }
    assert Schedule.from_dict(values["schedule"]) == schedule
    assert (values["schedule_key"], values["description"]) == (schedule.key(), schedule.describe())


def test_a_schedule_without_warmup_and_restarts_leaves_their_columns_empty() -> None:
    schedule = Schedule.from_dict({"base_lr": 0.02, "decay": {"kind": "constant"}})
    values = candidate_values(1, NewCandidate("baseline", "constant", schedule, None, "c", "no", "constant", "no"))
    empty = {name for name, value in values.items() if value is None}
    assert empty == {
        "trial_number", "warmup_kind", "warmup_fraction", "warmup_start_factor", "decay_final_factor",
        "restarts_cycles", "restarts_growth", "restarts_peak_decay",
    }  # fmt: skip
