"""The results store: the facts of every study, and the queue of its runs. The only door to SQL."""

from schedsearch.store.engine import redact, tune_engine
from schedsearch.store.migrations import check, upgrade
from schedsearch.store.records import (
    AnswerRow,
    Candidate,
    Claim,
    ComparisonRow,
    MeasurementRow,
    ModelCheck,
    NewCandidate,
    NewRun,
    NewStudy,
    Phase,
    Probe,
    Run,
    RunResult,
    RunState,
    SchemaStatus,
    StandingRow,
    Study,
    StudyState,
    Verdict,
)
from schedsearch.store.store import Store

__all__ = [
    "AnswerRow",
    "Candidate",
    "Claim",
    "ComparisonRow",
    "MeasurementRow",
    "ModelCheck",
    "NewCandidate",
    "NewRun",
    "NewStudy",
    "Phase",
    "Probe",
    "Run",
    "RunResult",
    "RunState",
    "SchemaStatus",
    "StandingRow",
    "Store",
    "Study",
    "StudyState",
    "Verdict",
    "check",
    "redact",
    "tune_engine",
    "upgrade",
]
