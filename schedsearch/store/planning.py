"""The lease of a study's planner: at most one plans a study, and whoever lost the lease changes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, or_, select, update

from schedsearch.errors import LeaseLost, UnknownStudy
from schedsearch.store.engine import epoch_now
from schedsearch.store.records import Phase
from schedsearch.store.rows import plain
from schedsearch.store.tables import study


def take(connection: Connection, study_id: int, worker_id: str, lease_s: float) -> int | None:
    """A new token for this worker, unless another one holds the lease."""
    free = or_(study.c.planner_id.is_(None), study.c.planner_id == worker_id, study.c.planner_expires_at < epoch_now())
    taken = connection.execute(
        update(study)
        .where(study.c.id == study_id, free)
        .values(
            planner_id=worker_id,
            planner_expires_at=epoch_now() + lease_s,
            planner_token=study.c.planner_token + 1,
        )
    )
    if taken.rowcount != 1:
        return None
    return connection.scalar(select(study.c.planner_token).where(study.c.id == study_id))


def renew(connection: Connection, study_id: int, token: int, lease_s: float) -> None:
    """Prolong the lease of this token. Raises LeaseLost when it is void."""
    held = (study.c.id == study_id, study.c.planner_token == token, study.c.planner_id.is_not(None))
    renewed = connection.execute(update(study).where(*held).values(planner_expires_at=epoch_now() + lease_s))
    if renewed.rowcount != 1:
        raise LeaseLost(f"Study {study_id} is not planned with token {token} any more.")


def drop(connection: Connection, study_id: int, token: int) -> None:
    """Give the lease back, if it is still the one of this token."""
    mine = (study.c.id == study_id, study.c.planner_token == token)
    connection.execute(update(study).where(*mine).values(planner_id=None, planner_expires_at=None))


def advance(connection: Connection, study_id: int, token: int, phase: Phase, plan: Mapping[str, Any]) -> None:
    """Move the study on. Raises LeaseLost when the token is void."""
    require(connection, study_id, token)
    connection.execute(update(study).where(study.c.id == study_id).values(phase=phase.value, plan=plain(plan)))


def lock_study(connection: Connection, study_id: int) -> Any:
    """The study's row, held until the transaction ends: writers of one study's plan take turns."""
    asked = select(study.c.planner_id, study.c.planner_token).where(study.c.id == study_id).with_for_update()
    row = connection.execute(asked).one_or_none()
    if row is None:
        raise UnknownStudy(f"There is no study with number {study_id} in the store.")
    return row


def require(connection: Connection, study_id: int, token: int) -> None:
    """Lock the study for the holder of its planner's lease. Raises LeaseLost when the token is void."""
    row = lock_study(connection, study_id)
    if row.planner_id is None or row.planner_token != token:
        raise LeaseLost(f"Study {study_id} is not planned with token {token} any more.")
