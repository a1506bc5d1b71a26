"""A small study in a real store, with every way that a run can end, for the tests of the mirror."""

import math
from pathlib import Path

from schedsearch.schedule import Schedule
from schedsearch.store import (
    AnswerRow,
    Claim,
    MeasurementRow,
    NewCandidate,
    NewRun,
    NewStudy,
    Phase,
    RunResult,
    RunState,
    StandingRow,
    Store,
    Verdict,
)

NAME = "a-study"
UPDATES = 100
WARMUP = {"kind": "linear", "fraction": 0.1, "start_factor": 0.01}
COSINE = {"base_lr": 0.1, "warmup": WARMUP, "decay": {"kind": "cosine"}}
CONSTANT = {"base_lr": 0.02, "decay": {"kind": "constant"}}


def open_store(folder: Path) -> Store:
    return Store.open(f"sqlite:///{folder / 'schedsearch.db'}")


def make_study(store: Store, name: str = NAME) -> int:
    """A study with two candidates and no run yet."""
    study = store.create_study(
        NewStudy(
            name=name, task="digits", task_options={"batch_size": 32}, task_fingerprint="abc", metric="loss",
            direction="minimize", space_name="quick", space_version="0123456789ab", space={}, strategy="curve",
            seed=0, total_updates=UPDATES, updates_per_epoch=10, budget={"trials": 24}, plan={}, code_version="0.1.0",
            optuna_study=name,
        )
    )
    for kind, label, values in (("search", None, COSINE), ("baseline", "constant", CONSTANT)):
        schedule = Schedule.from_dict(values)
        decay = values["decay"]["kind"]
        warmup = "yes" if "warmup" in values else "no"
        store.add_candidate(
            study.id, NewCandidate(kind, label, schedule, None, f"{decay}, single", warmup, decay, "no")
        )
    return study.id


def candidates(store: Store, study_id: int) -> tuple[int, int]:
    """Numbers of the cosine candidate and of the constant baseline."""
    by_kind = {one.kind: one.id for one in store.candidates(study_id)}
    return by_kind["search"], by_kind["baseline"]


def queue(store: Store, study_id: int, count: int, phase: Phase = Phase.SEARCH, first_seed: int = 0) -> None:
    """Queue `count` runs, the two candidates in turn."""
    both = candidates(store, study_id)
    store.add_runs(study_id, [NewRun(both[one % 2], phase, 0, first_seed + one // 2, UPDATES) for one in range(count)])


def rows(count: int = 20) -> list[MeasurementRow]:
    """A curve with `count` points; the last one is always at the horizon."""
    steps = [round((one + 1) * UPDATES / count) - 1 for one in range(count)]
    return [MeasurementRow(one, 0.1, 2.0 / (1 + one), 2.1 / (1 + one), {"accuracy": one / UPDATES}) for one in steps]


def claim(store: Store) -> Claim:
    found = store.claim("tester", lease_s=60.0, device="cpu")
    assert found is not None
    return found


def complete(store: Store, score: float) -> int:
    """Train the next waiting run, so to speak, to its horizon."""
    one = claim(store)
    done = RunResult(RunState.COMPLETED, score, score + 0.01, UPDATES, 2.3, duration_s=1.0)
    store.finish(one, done, rows())
    return one.run_id


def diverge(store: Store) -> int:
    one = claim(store)
    measured = [MeasurementRow(9, 0.1, 50.0, 60.0, {}), MeasurementRow(19, 0.1, math.inf, math.nan, {})]
    finite = [MeasurementRow(9, 0.1, 50.0, 60.0, {}), MeasurementRow(19, 0.1, None, None, {})]
    try:
        store.finish(one, RunResult(RunState.DIVERGED, None, None, 20, 2.3, diverged_at=19, duration_s=0.2), measured)
    except ValueError:
        store.finish(one, RunResult(RunState.DIVERGED, None, None, 20, 2.3, diverged_at=19, duration_s=0.2), finite)
    return one.run_id


def fail(store: Store, reason: str) -> int:
    one = claim(store)
    store.finish(one, RunResult(RunState.FAILED, reason=reason, duration_s=0.1), [])
    return one.run_id


def conclude(store: Store, study_id: int) -> Verdict:
    """Give the study its verdict: the cosine candidate is recommended."""
    cosine, constant = candidates(store, study_id)
    token = store.take_planner(study_id, "tester", 60.0)
    assert token is not None
    standings = (
        StandingRow(cosine, "winner", 2, 0, 0.2, 0.18, 0.22, 0.97, 0.21, 1, True, False),
        StandingRow(constant, "baseline", 2, 0, 0.3, 0.28, 0.32, 0.03, 0.31, 2, False, False),
    )
    sentence = "Warm-up: yes, lowers the loss by 0.1 (95 % 0.06 .. 0.14)."
    answer = AnswerRow(
        "warmup", "yes", cosine, "confirm", 2, 0.2, 0.18, 0.22, -0.1, -0.14, -0.06, 0.1, True, sentence
    )
    text = "Recommended: linear warm-up 10 %, cosine to 0; loss 0.2 (95 % 0.18 .. 0.22)."
    verdict = Verdict(cosine, cosine, False, text, {}, standings, (), (answer,))
    store.save_verdict(study_id, token, verdict)
    return verdict
