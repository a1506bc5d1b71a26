"""The queue of runs: claim, renew, write, finish, release. Every write of a worker is fenced by its attempt number."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Connection, case, delete, func, select, update

from schedsearch.errors import InvalidInput, LeaseLost
from schedsearch.store.engine import epoch_now
from schedsearch.store.records import Claim, Failure, MeasurementRow, Phase, RunResult, RunState, StudyState
from schedsearch.store.rows import clean_text, insert_or_ignore, plain, to_candidate
from schedsearch.store.tables import QUEUE_INDEX, candidate, measurement, run, study

MOST_LEASES_LOST = 3
WAITING, RUNNING, FAILED = RunState.WAITING.value, RunState.RUNNING.value, RunState.FAILED.value


def reap(connection: Connection, study_id: int | None) -> int:
    """Runs whose lease has expired wait again; those that lost it too often have failed. Returns how many."""
    expired = [run.c.state == RUNNING, run.c.lease_expires_at < epoch_now()]
    if study_id is not None:
        expired.append(run.c.study_id == study_id)
    if connection.scalar(select(run.c.id).where(*expired).limit(1)) is None:
        return 0  # nearly always; an update would lock rows for nothing
    # Those that another worker is putting back at this moment are its own: after a crash of many, nobody waits in line.
    mine = connection.scalars(select(run.c.id).where(*expired).with_for_update(skip_locked=True)).all()
    given_up = run.c.leases_lost + 1 >= MOST_LEASES_LOST
    silent = "The worker died or went silent"
    final = f"{silent} {MOST_LEASES_LOST} times while it trained this run."
    found = connection.execute(
        update(run)
        .where(run.c.id.in_(mine), *expired)
        .ordered_values(  # MySQL assigns from left to right: what is read must be written last
            (run.c.state, case((given_up, FAILED), else_=WAITING)),
            (run.c.reason, case((given_up, final), else_=f"{silent} while it trained this run.")),
            (run.c.failure, Failure.LOST.value),
            (run.c.log_tail, None),
            (run.c.finished_at, case((given_up, epoch_now()), else_=None)),
            (run.c.lease_expires_at, None),
            (run.c.leases_lost, run.c.leases_lost + 1),
        )
    )
    return int(found.rowcount)


def claim(
    connection: Connection,
    worker_id: str,
    study_id: int | None,
    lease_s: float,
    device: str,
    without: Collection[int] = (),
) -> Claim | None:
    """Take the oldest waiting run of a running study, with its lease, in this one transaction."""
    reap(connection, study_id)
    run_id = _lock_next_waiting(connection, study_id, without)
    if run_id is None:
        return None
    connection.execute(
        update(run)
        .where(run.c.id == run_id)
        .values(**leased(worker_id, device, lease_s))
    )
    row = connection.execute(
        select(run.c.attempt, run.c.study_id, run.c.phase, run.c.seed, run.c.total_updates, run.c.failure, candidate)
        .join(candidate, run.c.candidate_id == candidate.c.id)
        .where(run.c.id == run_id)
    ).one()
    if row.attempt > 1:
        connection.execute(delete(measurement).where(measurement.c.run_id == run_id))
    values = row._mapping
    return Claim(
        run_id=run_id,
        attempt=row.attempt,
        worker_id=worker_id,
        study_id=values[run.c.study_id],
        candidate=to_candidate(row),
        phase=Phase(row.phase),
        seed=row.seed,
        total_updates=row.total_updates,
        last_failure=None if row.failure is None else Failure(row.failure),
    )


def leased(worker_id: str, device: str, lease_s: float) -> dict[str, Any]:
    """The columns of a run that this worker takes."""
    return {
        "state": RUNNING,
        "attempt": run.c.attempt + 1,
        "worker_id": worker_id,
        "device": device,
        "claimed_at": epoch_now(),
        "lease_expires_at": epoch_now() + lease_s,
        "updates_done": None,
    }


def _lock_next_waiting(connection: Connection, study_id: int | None, without: Collection[int]) -> int | None:
    """The oldest waiting run that nobody else is about to take, of none of the studies `without`.

    Studies are asked one by one, through an index that is in the order of the runs: InnoDB locks whatever it reads, so
    that a join with the studies, or a sort, would lock the whole queue and show an empty one to the other workers.
    """
    for one in _studies_that_wait(connection, study_id, without):
        run_id = connection.scalar(
            select(run.c.id)
            .where(run.c.state == WAITING, run.c.study_id == one)
            .order_by(run.c.id)
            .limit(1)
            .with_for_update(skip_locked=True)
            .with_hint(run, f"force index ({QUEUE_INDEX})", "mysql")
        )
        if run_id is not None:
            return int(run_id)
    return None


def _studies_that_wait(connection: Connection, study_id: int | None, without: Collection[int]) -> Sequence[int]:
    """Running studies with a waiting run, the one with the oldest first, without some; of one that is named only
    whether it is among them, for which a single waiting run is read, however many there are."""
    waiting, running = run.c.state == WAITING, study.c.state == StudyState.RUNNING.value
    if study_id in without:
        return []
    if study_id is not None:
        one_waits = select(run.c.id).where(waiting, run.c.study_id == study_id).exists()
        named = select(study.c.id).where(study.c.id == study_id, running, one_waits)
        return connection.scalars(named).all()
    joined = select(run.c.study_id).join(study, run.c.study_id == study.c.id).where(waiting, running)
    joined = joined.where(run.c.study_id.not_in(without)) if without else joined
    return connection.scalars(joined.group_by(run.c.study_id).order_by(func.min(run.c.id))).all()


def _mine(claim: Claim) -> list[Any]:
    return [run.c.id == claim.run_id, run.c.attempt == claim.attempt, run.c.state == RUNNING]


def _write_if_mine(connection: Connection, claim: Claim, **values: Any) -> None:
    changed = connection.execute(update(run).where(*_mine(claim)).values(**values))
    if changed.rowcount != 1:
        raise LeaseLost(f"Run {claim.run_id} is not held by attempt {claim.attempt} any more.")


def renew(connection: Connection, claim: Claim, lease_s: float, updates_done: int | None) -> bool:
    """Prolong the lease, and say how far the run is. Returns whether its study is still running."""
    progress = {} if updates_done is None else {"updates_done": updates_done}
    _write_if_mine(connection, claim, lease_expires_at=epoch_now() + lease_s, **progress)
    state = connection.scalar(select(study.c.state).where(study.c.id == claim.study_id))
    return bool(state == StudyState.RUNNING.value)


def write_measurements(connection: Connection, claim: Claim, rows: Sequence[MeasurementRow]) -> None:
    """Add measurements; one that is there already (the same update) stays as it is."""
    progress = {"updates_done": max(one.update for one in rows) + 1} if rows else {}
    _write_if_mine(connection, claim, worker_id=claim.worker_id, **progress)
    _insert_measurements(connection, claim, rows)


def _insert_measurements(connection: Connection, claim: Claim, rows: Sequence[MeasurementRow]) -> None:
    if not rows:
        return
    values = [
        {
            "run_id": claim.run_id,
            "update_number": one.update,
            "attempt": claim.attempt,
            "lr": one.lr,
            "train_loss": plain(one.train_loss),
            "val_loss": plain(one.val_loss),
            "metrics": {name: value for name, value in one.metrics.items() if math.isfinite(value)},
        }
        for one in rows
    ]
    connection.execute(insert_or_ignore(measurement, connection.dialect), values)


def finish(connection: Connection, claim: Claim, result: RunResult, rows: Sequence[MeasurementRow]) -> None:
    """The run's one accepted result, together with its last measurements. The same result again changes nothing."""
    values = _result_values(result)
    if _is_there(connection, claim, values):
        return
    try:
        _write_if_mine(connection, claim, **values, lease_expires_at=None, finished_at=epoch_now())
    except LeaseLost:
        if _is_there(connection, claim, values):  # the same, sent twice at a time: the other one waited less
            return
        raise
    _insert_measurements(connection, claim, rows)


def check_result(result: RunResult) -> None:
    """Refuse a result that is none. Raises InvalidInput."""
    if not result.state.is_finished:
        raise InvalidInput(f"`state` of a result must be completed, diverged or failed, but is {result.state} instead.")
    has_score = result.score is not None and math.isfinite(result.score)
    if result.state is RunState.COMPLETED and not has_score:
        raise InvalidInput(f"`score` of a completed run must be a finite number, but is {result.score} instead.")


def _result_values(result: RunResult) -> dict[str, Any]:
    values = {name: plain(value) for name, value in vars(result).items()}
    return {
        **values,
        "state": result.state.value,
        "failure": None if result.failure is None else result.failure.value,
        "reason": clean_text(result.reason),
        "log_tail": clean_text(result.log_tail),
    }


def _is_there(connection: Connection, claim: Claim, values: dict[str, Any]) -> bool:
    columns = [run.c[name] for name in values]
    same_attempt = (run.c.id == claim.run_id, run.c.attempt == claim.attempt)
    row = connection.execute(select(*columns).where(*same_attempt)).one_or_none()
    return row is not None and dict(row._mapping) == values


def release(connection: Connection, claim: Claim) -> None:
    """Back to waiting: nobody is to blame, nothing is counted. A run given back already stays so."""
    given_back = (run.c.attempt == claim.attempt, run.c.state == WAITING, run.c.worker_id.is_(None))
    if connection.scalar(select(run.c.id).where(run.c.id == claim.run_id, *given_back)) is not None:
        return
    _write_if_mine(connection, claim, state=WAITING, lease_expires_at=None, worker_id=None)
    connection.execute(delete(measurement).where(measurement.c.run_id == claim.run_id))


def fail(
    connection: Connection, claim: Claim, result: RunResult, rows: Sequence[MeasurementRow], tries: int
) -> None:
    """An attempt that failed: the run waits for another one, or has failed for good if this was loss number `tries`."""
    values = _result_values(result)
    here = connection.execute(
        select(run.c.leases_lost, run.c.state, run.c.failure).where(
            run.c.id == claim.run_id, run.c.attempt == claim.attempt
        )
    ).one_or_none()
    if here is not None and (here.state, here.failure) == (WAITING, values["failure"]):
        return  # said before
    if here is None or here.leases_lost + 1 >= tries:
        finish(connection, claim, result, rows)
        return
    kept = {name: values[name] for name in ("reason", "failure", "log_tail")}
    freed = {"state": WAITING, "lease_expires_at": None, "worker_id": None, "leases_lost": here.leases_lost + 1}
    _write_if_mine(connection, claim, **kept, **freed)
    connection.execute(delete(measurement).where(measurement.c.run_id == claim.run_id))


def retry_failed(connection: Connection, study_id: int) -> int:
    """Runs that failed wait again at their place in the queue, with nothing of what they wrote. Returns how many."""
    failed = select(run.c.id).where(run.c.study_id == study_id, run.c.state == FAILED)
    ids = connection.scalars(failed).all()
    if ids:
        connection.execute(delete(measurement).where(measurement.c.run_id.in_(ids)))
        nothing = dict.fromkeys(("reason", "failure", "log_tail", "finished_at", "worker_id"))
        fresh = {**nothing, "state": WAITING, "leases_lost": 0}
        connection.execute(update(run).where(run.c.id.in_(ids)).values(**fresh, told=False, mirrored=False))
    return len(ids)


def counts(connection: Connection, study_id: int) -> dict[Phase, dict[RunState, int]]:
    """Runs by phase and state: one grouped query."""
    rows = connection.execute(
        select(run.c.phase, run.c.state, func.count())
        .where(run.c.study_id == study_id)
        .group_by(run.c.phase, run.c.state)
    )
    found: dict[Phase, dict[RunState, int]] = {phase: {} for phase in Phase}
    for phase, state, number in rows:
        found[Phase(phase)][RunState(state)] = number
    return found
