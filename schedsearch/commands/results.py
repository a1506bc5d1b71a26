"""What a finished study says: in words for a person, as values for a program, as files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from schedsearch.commands.inspect import require_file_store
from schedsearch.commands.mirroring import OFF
from schedsearch.commands.outputs import export_winner, write_report
from schedsearch.commands.running import Launched
from schedsearch.report.values import copies_sentence
from schedsearch.space import SearchSpace
from schedsearch.store import Candidate, Store
from schedsearch.tracking import serve_command


def report(storage: str, name: str, output: Path | None) -> Path:
    """Write the HTML report; returns where it is."""
    require_file_store(storage)
    with Store.open(storage) as store:
        return write_report(store, name, output or Path("schedsearch-results") / name / "report.html")


def export(storage: str, name: str, kind: str, candidate_id: int | None) -> str:
    """The recommended schedule (or another candidate's) as text."""
    require_file_store(storage)
    with Store.open(storage) as store:
        return export_winner(store, name, kind, candidate_id)


def final_words(storage: str, done: Launched, mlflow_uri: str) -> str:
    """The end of `launch` for a person: answers and caveats, where everything is, and the verdict last."""
    with Store.open(storage) as store:
        study = store.study(done.study)
        verdict = store.verdict(study.id)
        copied = sum(run.copied_from is not None for run in store.runs(study.id))
    if verdict is None:
        return f"The study {done.study!r} has no verdict."
    chosen = {one.question: one.sentence for one in verdict.answers if one.is_chosen}
    sentences = [chosen[question] for question in SearchSpace.from_dict(study.space).asked if question in chosen]
    warnings = [f"Note: {one}" for one in verdict.details.get("warnings", ())]
    known = [copies_sentence(copied)] if copied else []
    return "\n".join(["", *sentences, *warnings, *known, "", *_places(done, mlflow_uri), "", verdict.text])


def _places(done: Launched, mlflow_uri: str) -> list[str]:
    """Where report, exports and MLflow page are, and what to type to see the page where nobody serves it yet."""
    outputs = done.outputs
    lines = [
        f"report  {outputs.report}",
        f"export  {outputs.winner_torch} (PyTorch), {outputs.winner_json}",
    ]
    if mlflow_uri == OFF:
        return lines
    if outputs.mlflow_url is None:
        return [*lines, f"MLflow  did not answer; `schedsearch sync {done.study}` mirrors the study later"]
    command = serve_command(mlflow_uri)
    served = "" if command is None else f"\n        after: {command}"
    return [*lines, f"MLflow  {outputs.mlflow_url}{served}"]


def result_values(storage: str, done: Launched) -> dict[str, Any]:
    """The verdict as plain values, for `--json`."""
    with Store.open(storage) as store:
        study = store.study(done.study)
        verdict = store.verdict(study.id)
        candidates = {one.id: one for one in store.candidates(study.id)}
    return {
        "study": study.name,
        "state": study.state.value,
        "metric": study.metric,
        "direction": study.direction,
        "recommended": None if verdict is None else _schedule_values(candidates[verdict.recommended_id]),
        "tie": None if verdict is None else verdict.is_tie,
        "verdict": None if verdict is None else verdict.text,
        "standings": [] if verdict is None else [_standing_values(one, candidates) for one in verdict.standings],
        "comparisons": [] if verdict is None else [vars(one) for one in verdict.comparisons],
        "answers": [] if verdict is None else [vars(one) for one in verdict.answers],
        "details": {} if verdict is None else dict(verdict.details),
        "files": {
            "report": str(done.outputs.report),
            "json": str(done.outputs.winner_json),
            "torch": str(done.outputs.winner_torch),
        },
        "mlflow_url": done.outputs.mlflow_url,
    }


def _schedule_values(candidate: Candidate) -> dict[str, Any]:
    return {
        "candidate": candidate.id,
        "description": candidate.schedule.describe(),
        "schedule": candidate.schedule.to_dict(),
    }


def _standing_values(standing: Any, candidates: dict[int, Candidate]) -> dict[str, Any]:
    return {**vars(standing), "description": candidates[standing.candidate_id].schedule.describe()}
