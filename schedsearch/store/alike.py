"""Runs that may be trained together with one in hand: how many wait, for how many workers, and claiming them."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection, case, func, select, update

from schedsearch.errors import LeaseLost
from schedsearch.store.queue import RUNNING, WAITING, finish, leased
from schedsearch.store.records import Alike, Claim, MeasurementRow, Phase, RunResult
from schedsearch.store.rows import to_candidate
from schedsearch.store.tables import QUEUE_INDEX, candidate, run

LAST_RUNS = 200
"""Whoever trained one of a study's last so many runs is taken to be at work on it."""


def count(connection: Connection, claim: Claim) -> Alike:
    """How many runs wait that are like this one, and for how many workers."""
    of_its_seed = func.sum(case((run.c.seed == claim.seed, 1), else_=0))
    waiting = connection.execute(select(func.count(), of_its_seed).where(*_alike(claim))).one()
    latest = select(run.c.worker_id).where(run.c.study_id == claim.study_id).order_by(run.c.id.desc()).limit(LAST_RUNS)
    last = latest.subquery()
    workers = connection.scalar(select(func.count(last.c.worker_id.distinct())))
    running = connection.scalar(select(func.count()).where(run.c.state == RUNNING, run.c.study_id == claim.study_id))
    return Alike(int(waiting[1] or 0), int(waiting[0]), int(running or 0), int(workers or 0))


def claim_more(
    connection: Connection, first: Claim, most: int, lease_s: float, device: str, *, mixed: bool
) -> list[Claim]:
    """Take at most `most` of the oldest waiting runs, those of them that are like `first`, for its worker."""
    asked = (
        select(run.c.id.label("run_id"), run.c.phase, run.c.seed, candidate)
        .join(candidate, run.c.candidate_id == candidate.c.id)
        .where(run.c.id.in_(_locked(connection, first.study_id, most)), *_alike(first))
        .order_by(run.c.id)
    )
    rows = [row for row in connection.execute(asked) if mixed or row.seed == first.seed]
    taken = update(run).where(run.c.id.in_([row.run_id for row in rows]))
    connection.execute(taken.values(**leased(first.worker_id, device, lease_s)))
    return [
        Claim(
            run_id=row.run_id,
            attempt=1,
            worker_id=first.worker_id,
            study_id=first.study_id,
            candidate=to_candidate(row),
            phase=Phase(row.phase),
            seed=row.seed,
            total_updates=first.total_updates,
        )
        for row in rows
    ]


def finish_all(
    connection: Connection, ends: Sequence[tuple[Claim, RunResult, Sequence[MeasurementRow]]]
) -> list[Claim]:
    """Finish every run that is still its holder's; the claims of the others."""
    lost = []
    for claim, result, rows in sorted(ends, key=lambda one: one[0].run_id):  # in one order: nobody waits in a circle
        try:
            finish(connection, claim, result, rows)
        except LeaseLost:
            lost.append(claim)
    return lost


def _alike(claim: Claim) -> list[ColumnElement[bool]]:
    """Never tried: a run that was, is tried again alone, so that it is known whose fault it is."""
    return [
        run.c.state == WAITING,
        run.c.study_id == claim.study_id,
        run.c.total_updates == claim.total_updates,
        run.c.attempt == 0,
    ]


def _locked(connection: Connection, study_id: int, most: int) -> Sequence[int]:
    """The oldest runs of the study that nobody else is about to take: through an index in their order, see `queue`."""
    return connection.scalars(
        select(run.c.id)
        .where(run.c.state == WAITING, run.c.study_id == study_id)
        .order_by(run.c.id)
        .limit(most)
        .with_for_update(skip_locked=True)
        .with_hint(run, f"force index ({QUEUE_INDEX})", "mysql")
    ).all()
