"""Runs say how they failed, what they printed last, and how much memory they took."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

RUN = "schedsearch_run"


def upgrade() -> None:
    """Three columns; some may be there already, from an upgrade that was killed."""
    there = {column["name"] for column in sa.inspect(op.get_bind()).get_columns(RUN)}
    columns = [
        sa.Column("failure", sa.String(10)),
        sa.Column("log_tail", sa.Text()),
        sa.Column("peak_memory_bytes", sa.BigInteger()),
    ]
    for column in columns:
        if column.name not in there:
            op.add_column(RUN, column)
