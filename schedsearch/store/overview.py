"""A study at one moment in a handful of grouped queries, whatever its size: for `status`, `launch` and metrics."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, case, func, select

from schedsearch.store.engine import epoch_now
from schedsearch.store.queue import counts
from schedsearch.store.records import Activity, Failure, Overview, Phase, RunState
from schedsearch.store.tables import run

RECENT_S = 600.0
RUNNING = RunState.RUNNING.value


def read(connection: Connection, study_id: int, *, lowest_is_best: bool) -> Overview:
    """The overview of this study."""
    mine, trained = run.c.study_id == study_id, run.c.copied_from.is_(None)
    ended = connection.execute(
        select(
            func.count(run.c.copied_from),
            func.avg(run.c.duration_s),
            func.sum(case((trained, run.c.duration_s))),
            func.max(run.c.peak_memory_bytes),
            func.avg(run.c.utilization),
            func.sum(case((trained, run.c.energy_j))),
        ).where(mine)
    ).one()
    lately = run.c.finished_at > epoch_now() - RECENT_S
    recent = connection.scalar(select(func.count()).where(mine, trained, lately))
    first = connection.scalar(select(epoch_now() - func.min(run.c.claimed_at)).where(mine))
    return Overview(
        counts=counts(connection, study_id),
        failures=_failures(connection, mine),
        retried=connection.scalar(select(func.count()).where(mine, run.c.attempt > 1)) or 0,
        trained_s=float(ended[2] or 0.0),
        copied=int(ended[0]),
        run_s=None if ended[1] is None else float(ended[1]),
        peak_memory_bytes=None if ended[3] is None else int(ended[3]),
        utilization=None if ended[4] is None else float(ended[4]),
        energy_j=None if ended[5] is None else float(ended[5]),
        recent=recent or 0,
        recent_s=min(RECENT_S, float(first or 0.0)),
        best=_best(connection, mine, lowest_is_best=lowest_is_best),
        active=_active(connection, mine),
    )


def _failures(connection: Connection, mine: Any) -> dict[Failure, int]:
    """Runs by the class of their last attempt without a result, also those that ended well after it."""
    rows = connection.execute(
        select(run.c.failure, func.count()).where(mine, run.c.failure.is_not(None)).group_by(run.c.failure)
    )
    return {Failure(failure): number for failure, number in rows}


def _best(connection: Connection, mine: Any, *, lowest_is_best: bool) -> tuple[int, float] | None:
    """Candidate and score of the best run at the full horizon."""
    order = run.c.score if lowest_is_best else run.c.score.desc()
    row = connection.execute(
        select(run.c.candidate_id, run.c.score)
        .where(mine, run.c.score.is_not(None), run.c.phase != Phase.SCREEN.value)
        .order_by(order, run.c.id)
        .limit(1)
    ).one_or_none()
    return None if row is None else (row.candidate_id, row.score)


def _active(connection: Connection, mine: Any) -> tuple[Activity, ...]:
    rows = connection.execute(
        select(
            run.c.id,
            run.c.candidate_id,
            run.c.worker_id,
            run.c.device,
            run.c.attempt,
            run.c.updates_done,
            run.c.total_updates,
            epoch_now() - run.c.claimed_at,
            run.c.lease_expires_at - epoch_now(),
        )
        .where(mine, run.c.state == RUNNING)
        .order_by(run.c.id)
    )
    return tuple(
        Activity(one[0], one[1], one[2] or "", one[3] or "", one[4], one[5] or 0, one[6], one[7] or 0.0, one[8] or 0.0)
        for one in rows
    )


def clock(connection: Connection) -> float:
    """Seconds since 1970 by the database's clock."""
    return float(connection.scalar(select(epoch_now())) or 0.0)
