"""The rows of a verdict: written together, read together."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from sqlalchemy import Connection, Table, delete, insert, select

from schedsearch.store.engine import epoch_now
from schedsearch.store.records import AnswerRow, ComparisonRow, StandingRow, Verdict
from schedsearch.store.rows import plain
from schedsearch.store.tables import answer, comparison, standing, verdict

TABLES: tuple[tuple[str, Table, type[Any], str], ...] = (
    ("standings", standing, StandingRow, "rank_position"),
    ("comparisons", comparison, ComparisonRow, "against_id"),
    ("answers", answer, AnswerRow, "question"),
)


def write(connection: Connection, study_id: int, new: Verdict) -> None:
    """Replace whatever verdict the study had."""
    for name, table, _, _ in TABLES:
        connection.execute(delete(table).where(table.c.study_id == study_id))
        rows = [{"study_id": study_id, **plain(vars(one))} for one in getattr(new, name)]
        if rows:
            connection.execute(insert(table), rows)
    connection.execute(delete(verdict).where(verdict.c.study_id == study_id))
    own = {"recommended_id": new.recommended_id, "winner_id": new.winner_id, "is_tie": new.is_tie, "text": new.text}
    details = plain(new.details)
    connection.execute(insert(verdict).values(study_id=study_id, **own, details=details, created_at=epoch_now()))


def read(connection: Connection, study_id: int) -> Verdict | None:
    """The study's verdict, or None while it has none."""
    row = connection.execute(select(verdict).where(verdict.c.study_id == study_id)).one_or_none()
    if row is None:
        return None
    parts = {name: _rows(connection, study_id, table, kind, order) for name, table, kind, order in TABLES}
    return Verdict(row.recommended_id, row.winner_id, row.is_tie, row.text, row.details, **parts)


def _rows(connection: Connection, study_id: int, table: Table, kind: type[Any], order: str) -> tuple[Any, ...]:
    columns = [table.c[one.name] for one in fields(kind)]
    found = connection.execute(select(*columns).where(table.c.study_id == study_id).order_by(table.c[order]))
    return tuple(kind(**row._mapping) for row in found)
