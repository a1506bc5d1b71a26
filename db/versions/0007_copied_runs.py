"""Runs say from which one they were copied; the views for analysis show it; schedules are found in all studies. The
queue's index is in the order of the runs on every database, so that a claim passes by those that have ended.

The newest migration that changes a column of a view makes the views: they are one text for the newest tables.
"""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

VIEWS = Path(__file__).resolve().parent.parent / "views.sql"
RUN, CANDIDATE = "schedsearch_run", "schedsearch_candidate"
BY_SCHEDULE = "ix_schedsearch_candidate_schedule_key"
QUEUE, IN_ORDER = "ix_schedsearch_run_state_study_id", ["state", "study_id", "id"]


def upgrade() -> None:
    """A column, two indexes and the views; some may be there already, from an upgrade that was killed."""
    there = sa.inspect(op.get_bind())
    if "copied_from" not in {column["name"] for column in there.get_columns(RUN)}:
        op.add_column(RUN, sa.Column("copied_from", sa.Integer()))
    if BY_SCHEDULE not in {index["name"] for index in there.get_indexes(CANDIDATE)}:
        op.create_index(BY_SCHEDULE, CANDIDATE, ["schedule_key"])
    queue = [index["column_names"] for index in there.get_indexes(RUN) if index["name"] == QUEUE]
    if queue and queue != [IN_ORDER]:
        op.drop_index(QUEUE, RUN)
    if queue != [IN_ORDER]:
        op.create_index(QUEUE, RUN, IN_ORDER)
    for statement in VIEWS.read_text(encoding="utf-8").split(";"):
        if statement.strip():
            op.execute(sa.text(statement))
