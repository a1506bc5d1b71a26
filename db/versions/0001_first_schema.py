"""The first schema: studies, candidates, runs, measurements, verdicts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

EXACT_TEXT = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}
INDEXES = {
    "ix_schedsearch_run_state_study_id": ["state", "study_id"],
    "ix_schedsearch_run_study_id_phase_state": ["study_id", "phase", "state"],
}


def upgrade() -> None:
    """MySQL cannot undo half a migration: every step finds out whether it was done by one that was killed."""
    for make in (_study, _candidate, _run, _measurement, _verdict, _standing, _comparison, _answer, _model_check):
        make()
    there = {index["name"] for index in sa.inspect(op.get_bind()).get_indexes("schedsearch_run")}
    for name, columns in INDEXES.items():
        if name not in there:
            op.create_index(name, "schedsearch_run", columns)


def _reference(table: str, column: str, to: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [f"{to}.id"], f"fk_{table}_{column}", ondelete="CASCADE")


def _study() -> None:
    op.create_table(
        "schedsearch_study",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("task", sa.Text(), nullable=False),
        sa.Column("task_options", sa.JSON(), nullable=False),
        sa.Column("task_fingerprint", sa.String(64), nullable=False),
        sa.Column("metric", sa.String(100), nullable=False),
        sa.Column("direction", sa.String(8), nullable=False),
        sa.Column("space_name", sa.String(100), nullable=False),
        sa.Column("space_version", sa.String(12), nullable=False),
        sa.Column("space", sa.JSON(), nullable=False),
        sa.Column("strategy", sa.String(20), nullable=False),
        sa.Column("seed", sa.Integer(), nullable=False),
        sa.Column("total_updates", sa.Integer(), nullable=False),
        sa.Column("updates_per_epoch", sa.Integer(), nullable=False),
        sa.Column("budget", sa.JSON(), nullable=False),
        sa.Column("plan", sa.JSON(), nullable=False),
        sa.Column("code_version", sa.String(40), nullable=False),
        sa.Column("optuna_study", sa.String(200), nullable=False),
        sa.Column("phase", sa.String(10), nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("finished_at", sa.Double()),
        sa.Column("planner_id", sa.String(200)),
        sa.Column("planner_expires_at", sa.Double()),
        sa.Column("planner_token", sa.Integer(), nullable=False),
        sa.Column("mlflow_experiment_id", sa.String(64)),
        sa.Column("mlflow_run_id", sa.String(64)),
        sa.PrimaryKeyConstraint("id", name="pk_schedsearch_study"),
        sa.UniqueConstraint("name", name="uq_schedsearch_study_name"),
        if_not_exists=True,
        **EXACT_TEXT,
    )


def _candidate() -> None:
    op.create_table(
        "schedsearch_candidate",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("study_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(10), nullable=False),
        sa.Column("label", sa.String(100)),
        sa.Column("trial_number", sa.Integer()),
        sa.Column("arm", sa.String(100), nullable=False),
        sa.Column("answer_warmup", sa.String(20), nullable=False),
        sa.Column("answer_decay", sa.String(20), nullable=False),
        sa.Column("answer_restarts", sa.String(20), nullable=False),
        sa.Column("base_lr", sa.Double(), nullable=False),
        sa.Column("warmup_kind", sa.String(20)),
        sa.Column("warmup_fraction", sa.Double()),
        sa.Column("warmup_start_factor", sa.Double()),
        sa.Column("decay_kind", sa.String(20), nullable=False),
        sa.Column("decay_final_factor", sa.Double()),
        sa.Column("restarts_cycles", sa.Integer()),
        sa.Column("restarts_growth", sa.Double()),
        sa.Column("restarts_peak_decay", sa.Double()),
        sa.Column("step_every", sa.String(10), nullable=False),
        sa.Column("schedule", sa.JSON(), nullable=False),
        sa.Column("schedule_key", sa.String(16), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        _reference("schedsearch_candidate", "study_id", "schedsearch_study"),
        sa.PrimaryKeyConstraint("id", name="pk_schedsearch_candidate"),
        sa.UniqueConstraint("study_id", "schedule_key", name="uq_schedsearch_candidate_study_id_schedule_key"),
        if_not_exists=True,
        **EXACT_TEXT,
    )


def _run() -> None:
    op.create_table(
        "schedsearch_run",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("study_id", sa.Integer(), nullable=False),
        sa.Column("candidate_id", sa.Integer(), nullable=False),
        sa.Column("phase", sa.String(10), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("seed", sa.Integer(), nullable=False),
        sa.Column("total_updates", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("leases_lost", sa.Integer(), nullable=False),
        sa.Column("worker_id", sa.String(200)),
        sa.Column("device", sa.String(40)),
        sa.Column("lease_expires_at", sa.Double()),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("claimed_at", sa.Double()),
        sa.Column("finished_at", sa.Double()),
        sa.Column("duration_s", sa.Double()),
        sa.Column("updates_done", sa.Integer()),
        sa.Column("initial_loss", sa.Double()),
        sa.Column("score", sa.Double()),
        sa.Column("test_score", sa.Double()),
        sa.Column("diverged_at", sa.Integer()),
        sa.Column("reason", sa.Text()),
        sa.Column("told", sa.Boolean(), nullable=False),
        sa.Column("mirrored", sa.Boolean(), nullable=False),
        sa.Column("mlflow_run_id", sa.String(64)),
        _reference("schedsearch_run", "candidate_id", "schedsearch_candidate"),
        _reference("schedsearch_run", "study_id", "schedsearch_study"),
        sa.PrimaryKeyConstraint("id", name="pk_schedsearch_run"),
        sa.UniqueConstraint(
            "candidate_id",
            "phase",
            "seed",
            "total_updates",
            name="uq_schedsearch_run_candidate_id_phase_seed_total_updates",
        ),
        if_not_exists=True,
        **EXACT_TEXT,
    )


def _measurement() -> None:
    op.create_table(
        "schedsearch_measurement",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("update_number", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("lr", sa.Double(), nullable=False),
        sa.Column("train_loss", sa.Double()),
        sa.Column("val_loss", sa.Double()),
        sa.Column("metrics", sa.JSON(), nullable=False),
        _reference("schedsearch_measurement", "run_id", "schedsearch_run"),
        sa.PrimaryKeyConstraint("run_id", "update_number", name="pk_schedsearch_measurement"),
        if_not_exists=True,
        **EXACT_TEXT,
    )


def _verdict() -> None:
    op.create_table(
        "schedsearch_verdict",
        sa.Column("study_id", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("recommended_id", sa.Integer(), nullable=False),
        sa.Column("winner_id", sa.Integer(), nullable=False),
        sa.Column("is_tie", sa.Boolean(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        _reference("schedsearch_verdict", "recommended_id", "schedsearch_candidate"),
        _reference("schedsearch_verdict", "study_id", "schedsearch_study"),
        _reference("schedsearch_verdict", "winner_id", "schedsearch_candidate"),
        sa.PrimaryKeyConstraint("study_id", name="pk_schedsearch_verdict"),
        if_not_exists=True,
        **EXACT_TEXT,
    )


def _standing() -> None:
    op.create_table(
        "schedsearch_standing",
        sa.Column("study_id", sa.Integer(), nullable=False),
        sa.Column("candidate_id", sa.Integer(), nullable=False),
        sa.Column("role", sa.String(20), nullable=False),
        sa.Column("seeds", sa.Integer(), nullable=False),
        sa.Column("diverged", sa.Integer(), nullable=False),
        sa.Column("mean", sa.Double()),
        sa.Column("ci_low", sa.Double()),
        sa.Column("ci_high", sa.Double()),
        sa.Column("probability_best", sa.Double(), nullable=False),
        sa.Column("test_mean", sa.Double()),
        sa.Column("rank_position", sa.Integer(), nullable=False),
        sa.Column("is_recommended", sa.Boolean(), nullable=False),
        sa.Column("is_tied", sa.Boolean(), nullable=False),
        _reference("schedsearch_standing", "candidate_id", "schedsearch_candidate"),
        _reference("schedsearch_standing", "study_id", "schedsearch_study"),
        sa.PrimaryKeyConstraint("candidate_id", name="pk_schedsearch_standing"),
        if_not_exists=True,
        **EXACT_TEXT,
    )


def _comparison() -> None:
    op.create_table(
        "schedsearch_comparison",
        sa.Column("study_id", sa.Integer(), nullable=False),
        sa.Column("candidate_id", sa.Integer(), nullable=False),
        sa.Column("against_id", sa.Integer(), nullable=False),
        sa.Column("difference", sa.Double()),
        sa.Column("ci_low", sa.Double()),
        sa.Column("ci_high", sa.Double()),
        sa.Column("p_value", sa.Double()),
        sa.Column("paired", sa.Boolean(), nullable=False),
        sa.Column("seeds", sa.Integer(), nullable=False),
        _reference("schedsearch_comparison", "against_id", "schedsearch_candidate"),
        _reference("schedsearch_comparison", "candidate_id", "schedsearch_candidate"),
        _reference("schedsearch_comparison", "study_id", "schedsearch_study"),
        sa.PrimaryKeyConstraint("candidate_id", "against_id", name="pk_schedsearch_comparison"),
        if_not_exists=True,
        **EXACT_TEXT,
    )


def _answer() -> None:
    op.create_table(
        "schedsearch_answer",
        sa.Column("study_id", sa.Integer(), nullable=False),
        sa.Column("question", sa.String(20), nullable=False),
        sa.Column("answer", sa.String(20), nullable=False),
        sa.Column("candidate_id", sa.Integer(), nullable=False),
        sa.Column("phase", sa.String(10), nullable=False),
        sa.Column("runs", sa.Integer(), nullable=False),
        sa.Column("mean", sa.Double()),
        sa.Column("ci_low", sa.Double()),
        sa.Column("ci_high", sa.Double()),
        sa.Column("difference", sa.Double()),
        sa.Column("diff_low", sa.Double()),
        sa.Column("diff_high", sa.Double()),
        sa.Column("best_base_lr", sa.Double(), nullable=False),
        sa.Column("is_chosen", sa.Boolean(), nullable=False),
        sa.Column("sentence", sa.Text(), nullable=False),
        _reference("schedsearch_answer", "candidate_id", "schedsearch_candidate"),
        _reference("schedsearch_answer", "study_id", "schedsearch_study"),
        sa.PrimaryKeyConstraint("study_id", "question", "answer", name="pk_schedsearch_answer"),
        if_not_exists=True,
        **EXACT_TEXT,
    )


def _model_check() -> None:
    op.create_table(
        "schedsearch_model_check",
        sa.Column("study_id", sa.Integer(), nullable=False),
        sa.Column("runs", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("rank_agreement", sa.Double()),
        _reference("schedsearch_model_check", "study_id", "schedsearch_study"),
        sa.PrimaryKeyConstraint("study_id", "runs", name="pk_schedsearch_model_check"),
        if_not_exists=True,
        **EXACT_TEXT,
    )
