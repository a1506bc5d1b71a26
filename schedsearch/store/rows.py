"""Rows to values and back: the one place where a column's name meets a record's field."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Dialect, Insert, Integer, Row, String, Table, insert
from sqlalchemy.dialects import mysql, postgresql

from schedsearch.errors import InvalidInput
from schedsearch.schedule import Schedule
from schedsearch.store.records import (
    Candidate,
    Failure,
    MeasurementRow,
    NewCandidate,
    Phase,
    Run,
    RunState,
    Study,
    StudyState,
)
from schedsearch.store.tables import candidate, run

STUDY_ONLY_IN_STORE = ("planner_id", "planner_expires_at", "planner_token")
LARGEST_INTEGER = 2**31 - 1
MOST_CHARACTERS = 10_000
RUN_ONLY_IN_STORE = ("lease_expires_at", "created_at", "leases_lost")
RUN_COLUMNS = tuple(column for column in run.c if column.name not in RUN_ONLY_IN_STORE)
CANDIDATE_FIELDS = (
    "id", "study_id", "kind", "label", "trial_number", "arm", "answer_warmup", "answer_decay", "answer_restarts",
)  # fmt: skip


def to_study(row: Row[*tuple[Any, ...]]) -> Study:
    values = {key: value for key, value in row._mapping.items() if key not in STUDY_ONLY_IN_STORE}
    return Study(**{**values, "phase": Phase(values["phase"]), "state": StudyState(values["state"])})


def to_run(row: Row[*tuple[Any, ...]]) -> Run:
    values = {column.name: row._mapping[column] for column in RUN_COLUMNS}
    failure = None if values["failure"] is None else Failure(values["failure"])
    return Run(**{**values, "phase": Phase(values["phase"]), "state": RunState(values["state"]), "failure": failure})


def to_candidate(row: Row[*tuple[Any, ...]]) -> Candidate:
    values = {name: row._mapping[candidate.c[name]] for name in CANDIDATE_FIELDS}
    return Candidate(**values, schedule=Schedule.from_dict(row._mapping[candidate.c.schedule]))


def to_measurement(row: Row[*tuple[Any, ...]]) -> MeasurementRow:
    return MeasurementRow(row.update_number, row.lr, row.train_loss, row.val_loss, row.metrics)


def candidate_values(study_id: int, new: NewCandidate) -> dict[str, Any]:
    """The columns of a candidate: its schedule once as JSON and once as columns that SQL can ask about."""
    values = new.schedule.to_dict()
    warmup, restarts = values["warmup"] or {}, values["restarts"] or {}
    return {
        "study_id": study_id,
        **{name: getattr(new, name) for name in CANDIDATE_FIELDS[2:]},
        "base_lr": new.schedule.base_lr,
        "warmup_kind": warmup.get("kind"),
        "warmup_fraction": warmup.get("fraction"),
        "warmup_start_factor": warmup.get("start_factor"),
        "decay_kind": values["decay"]["kind"],
        "decay_final_factor": values["decay"].get("final_factor"),
        "restarts_cycles": restarts.get("cycles"),
        "restarts_growth": restarts.get("growth"),
        "restarts_peak_decay": restarts.get("peak_decay"),
        "step_every": str(new.schedule.step_every),
        "schedule": values,
        "schedule_key": new.schedule.key(),
        "description": new.schedule.describe(),
    }


def insert_or_ignore(table: Table, dialect: Dialect) -> Insert:
    """An insert that leaves rows alone which are there already (and hides no other fault)."""
    if dialect.name == "postgresql":
        return postgresql.insert(table).on_conflict_do_nothing()
    if dialect.name == "sqlite":
        return insert(table).prefix_with("OR IGNORE")
    key = next(iter(table.primary_key))
    return mysql.insert(table).on_duplicate_key_update({key.name: key})


def check_fits(table: Table, values: Mapping[str, Any]) -> None:
    """Raise InvalidInput for what not every database holds: texts longer than their column, integers over 32 bits."""
    faults = []
    for name, value in values.items():
        kind = table.c[name].type
        most = kind.length if isinstance(kind, String) else None
        if most is not None and isinstance(value, str) and len(value) > most:
            faults.append(f"`{name}` must have at most {most} characters, but has {len(value)} instead.")
        if isinstance(kind, Integer) and isinstance(value, int) and abs(value) > LARGEST_INTEGER:
            faults.append(f"`{name}` must be at most {LARGEST_INTEGER}, but is {value} instead.")
    if faults:
        raise InvalidInput(faults)


def plain(value: Any) -> Any:
    """The value as JSON and SQL hold it: dicts, lists, and None for a number that is not finite."""
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def clean_text(text: str | None) -> str | None:
    """Text that every database takes: no NUL, no half of a surrogate pair, not endless."""
    if text is None:
        return None
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()[:MOST_CHARACTERS]
