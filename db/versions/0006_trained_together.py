"""Runs say how many of them were trained together as one batched model."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

RUN = "schedsearch_run"
NAME = "trained_together"


def upgrade() -> None:
    """One column; it may be there already, from an upgrade that was killed."""
    if NAME not in {column["name"] for column in sa.inspect(op.get_bind()).get_columns(RUN)}:
        op.add_column(RUN, sa.Column(NAME, sa.Integer()))
