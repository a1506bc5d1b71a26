"""The rows of probes: one a task and its options."""

from __future__ import annotations

from dataclasses import fields

from sqlalchemy import Connection, delete, insert, select

from schedsearch.store.engine import epoch_now
from schedsearch.store.records import Probe
from schedsearch.store.rows import check_fits, plain
from schedsearch.store.tables import probe


def write(connection: Connection, new: Probe) -> None:
    """Replace whatever probe this task and these options had."""
    values = {one.name: plain(getattr(new, one.name)) for one in fields(Probe)}
    check_fits(probe, values)
    connection.execute(delete(probe).where(probe.c.task_fingerprint == new.task_fingerprint))
    connection.execute(insert(probe).values(**values, created_at=epoch_now()))


def read(connection: Connection, task_fingerprint: str) -> Probe | None:
    """The probe of this task and these options, or None."""
    columns = [probe.c[one.name] for one in fields(Probe)]
    row = connection.execute(select(*columns).where(probe.c.task_fingerprint == task_fingerprint)).one_or_none()
    return None if row is None else Probe(**row._mapping)
