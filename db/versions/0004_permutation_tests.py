"""Comparisons and answers carry the p-value of a permutation test; the views for analysis show it.

The newest migration that changes a column of a view makes the views: they are one text for the newest tables.
"""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

VIEWS = Path(__file__).resolve().parent.parent / "views.sql"
TESTED = ("schedsearch_comparison", "schedsearch_answer")


def upgrade() -> None:
    """A column for each; it may be there already, from an upgrade that was killed."""
    for table in TESTED:
        there = {column["name"] for column in sa.inspect(op.get_bind()).get_columns(table)}
        if "p_permutation" not in there:
            op.add_column(table, sa.Column("p_permutation", sa.Double()))
    for statement in VIEWS.read_text(encoding="utf-8").split(";"):
        if statement.strip():
            op.execute(sa.text(statement))
