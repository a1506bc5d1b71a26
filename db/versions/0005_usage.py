"""Runs say how busy their device was, and what energy it took."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

RUN = "schedsearch_run"


def upgrade() -> None:
    """Two columns; one may be there already, from an upgrade that was killed."""
    there = {column["name"] for column in sa.inspect(op.get_bind()).get_columns(RUN)}
    for name in ("utilization", "energy_j"):
        if name not in there:
            op.add_column(RUN, sa.Column(name, sa.Double()))
