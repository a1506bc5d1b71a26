"""Probes: where to look for the base LR of a task, found before a study."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

EXACT_TEXT = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}


def upgrade() -> None:
    """One table; it may be there already, from an upgrade that was killed."""
    op.create_table(
        "schedsearch_probe",
        sa.Column("task_fingerprint", sa.String(64), nullable=False),
        sa.Column("task", sa.Text(), nullable=False),
        sa.Column("task_options", sa.JSON(), nullable=False),
        sa.Column("total_updates", sa.Integer(), nullable=False),
        sa.Column("base_lr_low", sa.Double(), nullable=False),
        sa.Column("base_lr_high", sa.Double(), nullable=False),
        sa.Column("best_lr", sa.Double(), nullable=False),
        sa.Column("edge_lr", sa.Double(), nullable=False),
        sa.Column("warmup_matters", sa.Boolean(), nullable=False),
        sa.Column("sentence", sa.Text(), nullable=False),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.Column("code_version", sa.String(40), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("task_fingerprint", name="pk_schedsearch_probe"),
        if_not_exists=True,
        **EXACT_TEXT,
    )
