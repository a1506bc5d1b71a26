"""The tables, as SQLAlchemy metadata. Names begin with `schedsearch_`, so that Optuna's can share the database."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

PREFIX = "schedsearch_"
QUEUE_INDEX = f"ix_{PREFIX}run_state_study_id"
# On every database names differ when any character does, and any character can be stored.
EXACT_TEXT: dict[str, Any] = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}
metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _study_key() -> Column[int]:
    return Column("study_id", ForeignKey(f"{PREFIX}study.id", ondelete="CASCADE"), nullable=False)


def _candidate_key(name: str = "candidate_id", *, primary: bool = False) -> Column[int]:
    target = ForeignKey(f"{PREFIX}candidate.id", ondelete="CASCADE")
    return Column(name, target, nullable=False, primary_key=primary)


study = Table(
    f"{PREFIX}study",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(100), nullable=False, unique=True),
    Column("task", Text, nullable=False),
    Column("task_options", JSON, nullable=False),
    Column("task_fingerprint", String(64), nullable=False),
    Column("metric", String(100), nullable=False),
    Column("direction", String(8), nullable=False),
    Column("space_name", String(100), nullable=False),
    Column("space_version", String(12), nullable=False),
    Column("space", JSON, nullable=False),
    Column("strategy", String(20), nullable=False),
    Column("seed", Integer, nullable=False),
    Column("total_updates", Integer, nullable=False),
    Column("updates_per_epoch", Integer, nullable=False),
    Column("budget", JSON, nullable=False),
    Column("plan", JSON, nullable=False),
    Column("code_version", String(40), nullable=False),
    Column("optuna_study", String(200), nullable=False),
    Column("phase", String(10), nullable=False),
    Column("state", String(10), nullable=False),
    Column("reason", Text),
    Column("created_at", Double, nullable=False),
    Column("finished_at", Double),
    Column("planner_id", String(200)),
    Column("planner_expires_at", Double),
    Column("planner_token", Integer, nullable=False),
    Column("mlflow_experiment_id", String(64)),
    Column("mlflow_run_id", String(64)),
    **EXACT_TEXT,
)

candidate = Table(
    f"{PREFIX}candidate",
    metadata,
    Column("id", Integer, primary_key=True),
    _study_key(),
    Column("kind", String(10), nullable=False),
    Column("label", String(100)),
    Column("trial_number", Integer),
    Column("arm", String(100), nullable=False),
    Column("answer_warmup", String(20), nullable=False),
    Column("answer_decay", String(20), nullable=False),
    Column("answer_restarts", String(20), nullable=False),
    Column("base_lr", Double, nullable=False),
    Column("warmup_kind", String(20)),
    Column("warmup_fraction", Double),
    Column("warmup_start_factor", Double),
    Column("decay_kind", String(20), nullable=False),
    Column("decay_final_factor", Double),
    Column("restarts_cycles", Integer),
    Column("restarts_growth", Double),
    Column("restarts_peak_decay", Double),
    Column("step_every", String(10), nullable=False),
    Column("schedule", JSON, nullable=False),
    Column("schedule_key", String(16), nullable=False),
    Column("description", Text, nullable=False),
    UniqueConstraint("study_id", "schedule_key"),
    Index(None, "schedule_key"),
    **EXACT_TEXT,
)

run = Table(
    f"{PREFIX}run",
    metadata,
    Column("id", Integer, primary_key=True),
    _study_key(),
    _candidate_key(),
    Column("phase", String(10), nullable=False),
    Column("round", Integer, nullable=False),
    Column("seed", Integer, nullable=False),
    Column("total_updates", Integer, nullable=False),
    Column("state", String(10), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("leases_lost", Integer, nullable=False),
    Column("worker_id", String(200)),
    Column("device", String(40)),
    Column("lease_expires_at", Double),
    Column("created_at", Double, nullable=False),
    Column("claimed_at", Double),
    Column("finished_at", Double),
    Column("duration_s", Double),
    Column("updates_done", Integer),
    Column("initial_loss", Double),
    Column("score", Double),
    Column("test_score", Double),
    Column("diverged_at", Integer),
    Column("reason", Text),
    Column("failure", String(10)),
    Column("log_tail", Text),
    Column("peak_memory_bytes", BigInteger),
    Column("utilization", Double),
    Column("energy_j", Double),
    Column("trained_together", Integer),
    Column("told", Boolean, nullable=False),
    Column("mirrored", Boolean, nullable=False),
    Column("mlflow_run_id", String(64)),
    Column("copied_from", Integer),
    UniqueConstraint("candidate_id", "phase", "seed", "total_updates"),
    Index(QUEUE_INDEX, "state", "study_id", "id"),
    Index(None, "study_id", "phase", "state"),
    **EXACT_TEXT,
)

measurement = Table(
    f"{PREFIX}measurement",
    metadata,
    Column("run_id", ForeignKey(f"{PREFIX}run.id", ondelete="CASCADE"), primary_key=True),
    Column("update_number", Integer, primary_key=True, autoincrement=False),
    Column("attempt", Integer, nullable=False),
    Column("lr", Double, nullable=False),
    Column("train_loss", Double),
    Column("val_loss", Double),
    Column("metrics", JSON, nullable=False),
    **EXACT_TEXT,
)

verdict = Table(
    f"{PREFIX}verdict",
    metadata,
    Column("study_id", ForeignKey(f"{PREFIX}study.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    _candidate_key("recommended_id"),
    _candidate_key("winner_id"),
    Column("is_tie", Boolean, nullable=False),
    Column("text", Text, nullable=False),
    Column("details", JSON, nullable=False),
    Column("created_at", Double, nullable=False),
    **EXACT_TEXT,
)

standing = Table(
    f"{PREFIX}standing",
    metadata,
    _study_key(),
    _candidate_key(primary=True),
    Column("role", String(20), nullable=False),
    Column("seeds", Integer, nullable=False),
    Column("diverged", Integer, nullable=False),
    Column("mean", Double),
    Column("ci_low", Double),
    Column("ci_high", Double),
    Column("probability_best", Double, nullable=False),
    Column("test_mean", Double),
    Column("rank_position", Integer, nullable=False),
    Column("is_recommended", Boolean, nullable=False),
    Column("is_tied", Boolean, nullable=False),
    **EXACT_TEXT,
)

comparison = Table(
    f"{PREFIX}comparison",
    metadata,
    _study_key(),
    _candidate_key(primary=True),
    _candidate_key("against_id", primary=True),
    Column("difference", Double),
    Column("ci_low", Double),
    Column("ci_high", Double),
    Column("p_value", Double),
    Column("paired", Boolean, nullable=False),
    Column("seeds", Integer, nullable=False),
    Column("p_permutation", Double),
    **EXACT_TEXT,
)

answer = Table(
    f"{PREFIX}answer",
    metadata,
    Column("study_id", ForeignKey(f"{PREFIX}study.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("question", String(20), primary_key=True),
    Column("answer", String(20), primary_key=True),
    _candidate_key(),
    Column("phase", String(10), nullable=False),
    Column("runs", Integer, nullable=False),
    Column("mean", Double),
    Column("ci_low", Double),
    Column("ci_high", Double),
    Column("difference", Double),
    Column("diff_low", Double),
    Column("diff_high", Double),
    Column("best_base_lr", Double, nullable=False),
    Column("is_chosen", Boolean, nullable=False),
    Column("sentence", Text, nullable=False),
    Column("p_permutation", Double),
    **EXACT_TEXT,
)

model_check = Table(
    f"{PREFIX}model_check",
    metadata,
    Column("study_id", ForeignKey(f"{PREFIX}study.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("runs", Integer, primary_key=True, autoincrement=False),
    Column("rank_agreement", Double),
    **EXACT_TEXT,
)

probe = Table(
    f"{PREFIX}probe",
    metadata,
    Column("task_fingerprint", String(64), primary_key=True),
    Column("task", Text, nullable=False),
    Column("task_options", JSON, nullable=False),
    Column("total_updates", Integer, nullable=False),
    Column("base_lr_low", Double, nullable=False),
    Column("base_lr_high", Double, nullable=False),
    Column("best_lr", Double, nullable=False),
    Column("edge_lr", Double, nullable=False),
    Column("warmup_matters", Boolean, nullable=False),
    Column("sentence", Text, nullable=False),
    Column("details", JSON, nullable=False),
    Column("code_version", String(40), nullable=False),
    Column("created_at", Double, nullable=False),
    **EXACT_TEXT,
)
