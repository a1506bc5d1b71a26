"""Comparisons and answers carry the p-value of a permutation test. The views that show it are made by a later one."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

TESTED = ("schedsearch_comparison", "schedsearch_answer")


def upgrade() -> None:
    """A column for each; it may be there already, from an upgrade that was killed."""
    for table in TESTED:
        there = {column["name"] for column in sa.inspect(op.get_bind()).get_columns(table)}
        if "p_permutation" not in there:
            op.add_column(table, sa.Column("p_permutation", sa.Double()))
