"""Small values for the tests of the store."""

from dataclasses import replace

from schedsearch.schedule import Schedule
from schedsearch.store import (
    AnswerRow,
    Claim,
    ComparisonRow,
    MeasurementRow,
    NewCandidate,
    NewRun,
    NewStudy,
    Phase,
    RunResult,
    RunState,
    StandingRow,
    Store,
    Study,
    Verdict,
)

UPDATES = 100
COSINE = Schedule.from_dict(
    {
        "base_lr": 0.1,
        "warmup": {"kind": "linear", "fraction": 0.1, "start_factor": 0.01},
        "decay": {"kind": "cosine", "final_factor": 0.01},
        "restarts": {"cycles": 2, "growth": 2.0, "peak_decay": 0.5},
    }
)
CONSTANT = Schedule.from_dict({"base_lr": 0.02, "decay": {"kind": "constant"}})

STUDY = NewStudy(
    name="a-study",
    task="digits",
    task_options={"batch_size": 32, "name": "Übung – 学習率 🔥"},
    task_fingerprint="f" * 64,
    metric="loss",
    direction="minimize",
    space_name="quick",
    space_version="0123456789ab",
    space={"questions": ["warmup", "decay"], "base_lr": [1e-5, 0.30000000000000004]},
    strategy="curve",
    seed=7,
    total_updates=UPDATES,
    updates_per_epoch=10,
    budget={"trials": 24, "hours": None},
    plan={"trials": None},
    code_version="0.1.0",
    optuna_study="a-study",
)


def make_study(store: Store, name: str = "a-study", direction: str = "minimize") -> Study:
    return store.create_study(replace(STUDY, name=name, direction=direction))


def searched(schedule: Schedule = COSINE, trial: int | None = 3) -> NewCandidate:
    return NewCandidate("search", None, schedule, trial, "warm-up, cosine, restarts", "yes", "cosine", "yes")


def baseline(schedule: Schedule = CONSTANT, label: str = "constant") -> NewCandidate:
    return NewCandidate("baseline", label, schedule, None, "constant, single", "no", "constant", "no")


def queue_runs(store: Store, study_id: int, count: int, phase: Phase = Phase.SEARCH) -> int:
    """`count` runs of one candidate on as many seeds; gives the candidate's number."""
    candidate_id = store.add_candidate(study_id, searched())
    assert store.add_runs(study_id, [NewRun(candidate_id, phase, 0, seed, UPDATES) for seed in range(count)]) == count
    return candidate_id


def take(store: Store, worker: str = "worker-1", lease_s: float = 60.0, study_id: int | None = None) -> Claim:
    found = store.claim(worker, lease_s=lease_s, device="cpu", study_id=study_id)
    assert found is not None
    return found


def completed(score: float = 0.25) -> RunResult:
    return RunResult(RunState.COMPLETED, score, score + 0.0625, UPDATES, 2.302585092994046, None, None, 1.5)


def row(update: int, loss: float | None = 0.1) -> MeasurementRow:
    return MeasurementRow(update, 0.1 / 3, loss, loss, {"accuracy": 2 / 3})


def verdict_of(winner: int, other: int) -> Verdict:
    """A verdict with every kind of row, and gaps where gaps are allowed."""
    return Verdict(
        recommended_id=winner,
        winner_id=winner,
        is_tie=False,
        text="Recommended: linear warm-up 10 %, cosine.",
        details={"noise": {"sd": 0.1 / 3}, "warnings": ["one", "two"], "pairing": None},
        standings=(
            StandingRow(winner, "winner", 5, 0, 0.1, 0.05, 0.15, 0.9, 0.11, 1, True, False),
            StandingRow(other, "baseline", 5, 5, None, None, None, 0.1, None, 2, False, False),
        ),
        comparisons=(ComparisonRow(winner, other, -0.2, -0.3, -0.1, 0.01, True, 5, 0.0625),),
        answers=(
            AnswerRow(
                "decay", "cosine", winner, "confirm", 5, 0.1, 0.05, 0.15, -0.2, -0.3, -0.1, 0.1, True, "Cosine.", 0.0625
            ),
            AnswerRow("warmup", "no", other, "race", 2, None, None, None, None, None, None, 0.02, False, "No."),
        ),
    )
