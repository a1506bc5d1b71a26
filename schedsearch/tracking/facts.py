"""What MLflow is told of a study and its runs, as plain values: names, params, tags, notes. Pure functions of rows."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from importlib import metadata
from itertools import accumulate
from pathlib import PurePath
from typing import Any, TypeGuard

import schedsearch
from schedsearch.privacy import redact
from schedsearch.schedule import Schedule
from schedsearch.store import Candidate, Phase, Run, RunState, Study, StudyState, Verdict
from schedsearch.task.script import is_script, read_script, shown_task
from schedsearch.tracking.curves import MOST_POINTS, Point

NOTE = "mlflow.note.content"
PARENT = "mlflow.parentRunId"
COLOR = "mlflow.runColor"
STUDY_KEY = "schedsearch.study_key"
RUN_ID = "schedsearch.run_id"
COPIED_FROM = "schedsearch.copied_from"
CURVE_LENGTH = "schedsearch.search_runs"
WINNER_COLOR = "#e0752d"
OBJECTIVE = "objective"
BEST = "best/objective"
EXPERIMENT_TAGS = {"mlflow.experiment.primaryMetric.name": OBJECTIVE}
LIBRARIES = ("torch", "optuna", "botorch", "mlflow", "numpy")
LONGEST_PARAM = 500
LONGEST_NOTE = 4000

RUN_STATUS = {RunState.COMPLETED: "FINISHED", RunState.DIVERGED: "FINISHED", RunState.FAILED: "FAILED"}
STUDY_STATUS = {
    StudyState.RUNNING: "RUNNING",
    StudyState.STOPPED: "KILLED",
    StudyState.FINISHED: "FINISHED",
    StudyState.FAILED: "FAILED",
}


def milliseconds(seconds: float | None) -> int | None:
    """MLflow's clock: whole milliseconds since 1970."""
    return None if seconds is None else round(seconds * 1000)


def experiment_name(study: Study) -> str:
    """One experiment a task. A task in a file of the user's is named without its folders."""
    if is_script(study.task):
        return f"schedsearch/{read_script(study.task).name}"
    path, colon, attribute = study.task.rpartition(":")
    task = f"{PurePath(path).name}{colon}{attribute}" if path.endswith(".py") else study.task
    return f"schedsearch/{task}"


def study_key(study: Study) -> str:
    """Names this very study, in whatever database, with nothing but hexadecimal digits (fit for MLflow's filters)."""
    return hashlib.sha256(f"{study.id}|{study.name}|{study.created_at:.3f}".encode()).hexdigest()[:24]


def study_tags(study: Study) -> dict[str, str]:
    """Tags of a parent run from its birth: what it is and which versions made it."""
    versions = {f"schedsearch.version.{name}": metadata.version(name) for name in LIBRARIES}
    return {
        STUDY_KEY: study_key(study),
        "schedsearch.study": study.name,
        "schedsearch.version": study.code_version,
        "schedsearch.task_fingerprint": study.task_fingerprint,
        "mlflow.source.name": f"schedsearch {schedsearch.__version__}",
        **versions,
    }


def study_params(study: Study) -> dict[str, str]:
    """Params of a parent run: what was asked. Never changes once the study is written."""
    budget = {f"budget.{key}": value for key, value in study.budget.items() if not isinstance(value, Mapping)}
    options = {f"task.{key}": value for key, value in study.task_options.items()}
    asked = {
        "task": redact(shown_task(study.task)),
        "metric": study.metric,
        "direction": study.direction,
        "space": study.space_name,
        "space.version": study.space_version,
        "strategy": study.strategy,
        "seed": study.seed,
        "total_updates": study.total_updates,
        "updates_per_epoch": study.updates_per_epoch,
    }
    return _texts({**asked, **budget, **options})


def study_state_tags(
    study: Study, verdict: Verdict | None, candidates: Mapping[int, Candidate], charts: str, views: Sequence[str] = ()
) -> dict[str, str]:
    """Tags of a parent run that follow the study: phase, outcome, and the note with the verdict in its first line.
    charts: a link to all runs; views: links to the saved views of a finished study."""
    tags = {"schedsearch.phase": study.phase.value, "schedsearch.outcome": study.state.value}
    link = f"[All runs as charts, the best first]({charts})"
    if verdict is not None:
        links = " | ".join([*views, link])
        note = [" ".join(verdict.text.split()), "", links, "", *_findings(verdict, candidates, study.metric)]
        return {**tags, "schedsearch.tie": str(verdict.is_tie).lower(), NOTE: _note(note)}
    reason = f": {study.reason}" if study.reason else "."
    state = f"No verdict yet: the study is {study.state.value} in phase {study.phase.value}{reason}"
    return {**tags, NOTE: _note([state, "", link])}


def _note(lines: Sequence[str]) -> str:
    return redact("\n".join(lines))[:LONGEST_NOTE]


def _findings(verdict: Verdict, candidates: Mapping[int, Candidate], metric: str) -> list[str]:
    """Markdown: the three answers, then the finalists."""
    answers = [f"- {one.sentence}" for one in verdict.answers if one.is_chosen]
    head = [f"| rank | schedule | base LR | {metric} | 95 % | P(best) |", "|--:|---|--:|--:|---|--:|"]
    return [*answers, "", *head, *(_standing(one, candidates[one.candidate_id]) for one in verdict.standings)]


def _standing(row: Any, candidate: Candidate) -> str:
    interval = "" if row.ci_low is None else f"{row.ci_low:.4g} .. {row.ci_high:.4g}"
    mean = "diverged" if row.mean is None else f"{row.mean:.4g}"
    name = _cell(candidate.schedule)
    shown = f"**{name}**" if row.is_recommended else name
    lr = f"{candidate.schedule.base_lr:.3g}"
    return f"| {row.rank_position} | {shown} | {lr} | {mean} | {interval} | {row.probability_best:.2f} |"


def _cell(schedule: Schedule) -> str:
    return schedule.describe().rpartition("; base LR")[0].replace("|", "/")


def verdict_points(verdict: Verdict) -> list[Point]:
    """The confirmed score of the recommended schedule, as metrics of the parent run."""
    row = next(one for one in verdict.standings if one.candidate_id == verdict.recommended_id)
    values = {"mean": row.mean, "ci_low": row.ci_low, "ci_high": row.ci_high}
    return [Point(f"confirmed/{key}", 0, value) for key, value in values.items() if _is_finite(value)]


def run_name(run: Run, candidate: Candidate) -> str:
    """What a child run is called: phase, number and decay (`search-0017 cosine`); every baseline by its name."""
    what = candidate.label or str(candidate.schedule.to_dict()["decay"]["kind"])
    return f"{run.phase.value}-{run.id:04d} {what}"


def run_tags(run: Run, candidate: Candidate, parent_id: str) -> dict[str, str]:
    """Tags of a child run."""
    tags = {
        PARENT: parent_id,
        RUN_ID: str(run.id),
        "schedsearch.candidate_id": str(candidate.id),
        "schedsearch.outcome": run.state.value,
        "schedsearch.attempts": str(run.attempt),
        "schedsearch.device": run.device or "",
        COPIED_FROM: "" if run.copied_from is None else str(run.copied_from),
        "mlflow.source.name": f"schedsearch {schedsearch.__version__}",
        NOTE: run_note(run, candidate),
    }
    return {key: value for key, value in tags.items() if value}


def run_note(run: Run, candidate: Candidate) -> str:
    """One line for a person, and why the run ended early if it did."""
    lines = [f"{candidate.schedule.describe()} (seed {run.seed})"]
    if run.state is RunState.DIVERGED:
        lines += ["", f"Diverged at update {run.diverged_at}."]
    if run.reason:
        lines += ["", run.reason]
    if run.copied_from is not None:
        lines += ["", f"Not trained here: the same as run {run.copied_from} of an earlier study."]
    return _note(lines)


def run_params(run: Run, candidate: Candidate) -> dict[str, str]:
    """The three answers as flat params, so that MLflow groups and filters by them; and where the run belongs."""
    values = candidate.schedule.to_dict()
    warmup = values["warmup"] or {"kind": "none"}
    restarts = values["restarts"] or {"cycles": 1}
    parts = {"warmup": warmup, "decay": values["decay"], "restarts": restarts}
    flat = {f"{part}.{key}": value for part, inner in parts.items() for key, value in inner.items()}
    place = {
        "schedule": candidate.schedule.describe(),
        "base_lr": values["base_lr"],
        "step_every": values["step_every"],
        "arm": candidate.arm,
        "candidate": candidate.id,
        "kind": candidate.kind,
        "phase": run.phase.value,
        "seed": run.seed,
        "total_updates": run.total_updates,
    }
    return _texts({**flat, **place})


def score_points(run: Run) -> list[Point]:
    """The run's results, under names by which only children rank. At step 0: MLflow draws such metrics as bars."""
    scores = {OBJECTIVE: run.score, f"test/{OBJECTIVE}": run.test_score}
    return [Point(key, 0, value) for key, value in scores.items() if _is_finite(value)]


def best_so_far(runs: Sequence[Run], direction: str) -> list[tuple[Point, float]]:
    """The best search score after each search run that ended with one, in the order of their ends, with the time of
    each end in seconds. Beyond 200 runs only improvements are kept."""
    ends = sorted(
        (run.finished_at, run.id, run.score)
        for run in runs
        if run.phase is Phase.SEARCH and run.finished_at is not None and _is_finite(run.score)
    )
    better = min if direction == "minimize" else max
    best = list(accumulate((score for _, _, score in ends), better))
    return [
        (Point(BEST, number, new), at)
        for number, ((at, _, _), new) in enumerate(zip(ends, best, strict=True), start=1)
        if number <= MOST_POINTS or new != best[number - 2]
    ]


def _is_finite(value: float | None) -> TypeGuard[float]:
    return value is not None and math.isfinite(value)


def _texts(values: Mapping[str, Any]) -> dict[str, str]:
    """MLflow's params are texts; None is left out, and so is what MLflow would cut without a word."""
    texts = {key: _text(value) for key, value in values.items() if value is not None}
    return {key: text for key, text in texts.items() if len(text) <= LONGEST_PARAM}


def _text(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
