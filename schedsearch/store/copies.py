"""What was trained once: a run that would only repeat an earlier one is written with that one's result.

Two runs are the same training when the task, its fingerprint (source, options, data), the version of schedsearch, what
is scored, the schedule, the seed and the horizon are equal. A test score is taken in the confirmation alone, so that a
run of the confirmation is copied only from another study's confirmation. A study whose runs are to be trained each
alone takes none that was trained together with others, whose rounding differs.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, update

from schedsearch.store.engine import epoch_now
from schedsearch.store.records import NewRun, Phase, RunResult, RunState
from schedsearch.store.tables import candidate, measurement, run, study

ENDED = (RunState.COMPLETED.value, RunState.DIVERGED.value)
SAME_STUDY = (
    "task", "task_fingerprint", "code_version", "metric", "direction", "updates_per_epoch",
)  # fmt: skip
OF_ATTEMPTS = ("failure", "log_tail")
COPIED = (*(one.name for one in fields(RunResult) if one.name not in OF_ATTEMPTS), "device")
NOTHING_YET: Mapping[str, None] = dict.fromkeys((*COPIED, "copied_from"))
KEYS_A_QUERY = 500

Training = tuple[str, int, int]
Found = Row[*tuple[Any, ...]]


def earlier_results(connection: Connection, study_id: int, new: Collection[NewRun]) -> list[dict[str, Any]]:
    """For each of these runs of a study (one or more): the columns of the newest run that trained the same; none where
    none did. A query for all of them together, through the indexes by schedule and by candidate."""
    keys = _schedule_keys(connection, study_id, {one.candidate_id for one in new})
    wanted = [(keys[one.candidate_id], one.seed, one.total_updates) for one in new]
    trained = list(_trained(connection, study_id, wanted))
    anywhere = {_training(row): row for row in trained}
    confirmed = {_training(row): row for row in trained if row.phase == Phase.CONFIRM.value}
    return [
        _columns((confirmed if one.phase is Phase.CONFIRM else anywhere).get(training), one.phase)
        for one, training in zip(new, wanted, strict=True)
    ]


def _schedule_keys(connection: Connection, study_id: int, candidate_ids: Collection[int]) -> Mapping[int, str]:
    asked = select(candidate.c.id, candidate.c.schedule_key).where(candidate.c.study_id == study_id)
    return {row.id: row.schedule_key for row in connection.execute(asked) if row.id in candidate_ids}


def _trained(connection: Connection, study_id: int, wanted: Sequence[Training]) -> Iterator[Found]:
    """Runs that were trained to a result, oldest first, of these schedules at one of these seeds and horizons; those
    that were copied themselves are left out."""
    this = connection.execute(select(*(study.c[name] for name in SAME_STUDY)).where(study.c.id == study_id)).one()
    budget = connection.execute(select(study.c.budget).where(study.c.id == study_id)).scalar_one()
    alone = [] if budget.get("arrays", True) else [func.coalesce(run.c.trained_together, 1) == 1]
    keys, seeds, horizons = (sorted(set(values)) for values in zip(*wanted, strict=True))
    same_study = [study.c[name] == value for name, value in this._mapping.items()]
    columns = (candidate.c.schedule_key, run.c.id, run.c.phase, run.c.seed, run.c.total_updates)
    asked = (
        select(*columns, *(run.c[name] for name in COPIED))
        .join(candidate, run.c.candidate_id == candidate.c.id)
        .join(study, candidate.c.study_id == study.c.id)
        .where(*same_study, run.c.seed.in_(seeds), run.c.total_updates.in_(horizons))
        .where(run.c.state.in_(ENDED), run.c.copied_from.is_(None), *alone)
        .order_by(run.c.id)
    )
    for start in range(0, len(keys), KEYS_A_QUERY):
        chunk = keys[start : start + KEYS_A_QUERY]
        yield from connection.execute(asked.where(candidate.c.schedule_key.in_(chunk)))


def _training(row: Found) -> Training:
    return row.schedule_key, row.seed, row.total_updates


def _columns(row: Found | None, phase: Phase) -> dict[str, Any]:
    """What the run takes over; of a test score only the confirmation knows."""
    if row is None:
        return {}
    values = {name: row._mapping[run.c[name]] for name in COPIED}
    if phase is not Phase.CONFIRM:
        values["test_score"] = None
    return {**values, "copied_from": row.id}


def complete_copies(connection: Connection, study_id: int) -> None:
    """Give the runs that were just written as copies their measurements, and the moment at which they were finished."""
    just_written = (run.c.study_id == study_id, run.c.copied_from.is_not(None), run.c.finished_at.is_(None))
    kept = [column for column in measurement.c if column.name not in ("run_id", "attempt")]
    copies = (
        select(run.c.id, run.c.attempt, *kept)
        .join(measurement, measurement.c.run_id == run.c.copied_from)
        .where(*just_written)
    )
    names = ["run_id", "attempt", *(one.name for one in kept)]
    connection.execute(insert(measurement).from_select(names, copies))
    connection.execute(update(run).where(*just_written).values(finished_at=epoch_now()))
