"""The files a finished study leaves: the report, and the winner as JSON and as a self-contained scheduler."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import schedsearch
from schedsearch.errors import InvalidInput, SchedsearchError
from schedsearch.privacy import make_folder
from schedsearch.report.exports import EXPORTERS
from schedsearch.store import Candidate, Store, Study
from schedsearch.task.script import shown_task

WRITTEN = {"json": "winner.json", "torch": "winner_torch.py"}  # by every launch; the others when asked for


@dataclass(frozen=True)
class Outputs:
    """Where the results of a study are."""

    report: Path
    winner_json: Path
    winner_torch: Path
    mlflow_url: str | None = None


def write_outputs(store: Store, name: str, folder: Path) -> Outputs:
    """Write report and exports of a finished study into `folder`."""
    report = write_report(store, name, folder / "report.html")
    paths = {kind: folder / file for kind, file in WRITTEN.items()}
    for kind, path in paths.items():
        write_result(path, export_winner(store, name, kind))
    return Outputs(report, paths["json"], paths["torch"])


def write_report(store: Store, name: str, path: Path) -> Path:
    """Render the HTML report to `path`. Raises SchedsearchError when it cannot be written."""
    from schedsearch.report.data import load_report_data
    from schedsearch.report.html import render_report

    write_result(path, render_report(load_report_data(store, name)))
    return path


def write_result(path: Path, text: str) -> None:
    """Write a file of results. Raises SchedsearchError where that is not possible."""
    try:
        make_folder(path.parent)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise SchedsearchError(f"{path} cannot be written: {error.strerror}.") from error


def export_winner(store: Store, name: str, kind: str, candidate_id: int | None = None) -> str:
    """The recommended schedule (or another candidate's) of a study as text of the given kind."""
    study = store.study(name)
    candidate = _candidate(store, study, candidate_id)
    export = EXPORTERS[kind]
    return export(
        candidate.schedule, study.total_updates, study.updates_per_epoch, _provenance(store, study, candidate)
    )


def _candidate(store: Store, study: Study, candidate_id: int | None) -> Candidate:
    verdict = store.verdict(study.id)
    if candidate_id is None and verdict is None:
        raise InvalidInput(
            f"The study {study.name!r} has no verdict yet (it is {study.state.value}); name a `candidate`."
        )
    wanted = candidate_id if candidate_id is not None else verdict.recommended_id if verdict else None
    found = next((one for one in store.candidates(study.id) if one.id == wanted), None)
    if found is None:
        raise InvalidInput(f"The study {study.name!r} has no candidate {wanted}.")
    return found


def _provenance(store: Store, study: Study, candidate: Candidate) -> Mapping[str, Any]:
    verdict = store.verdict(study.id)
    standing = next((one for one in verdict.standings if one.candidate_id == candidate.id), None) if verdict else None
    provenance: dict[str, Any] = {
        "study": study.name,
        "task": shown_task(study.task),
        "candidate": candidate.id,
        "metric": study.metric,
        "space": f"{study.space_name} ({study.space_version})",
        "schedsearch": schedsearch.__version__,
    }
    if standing is not None:
        provenance["confirmed_mean"] = standing.mean
        provenance["confirmed_95_percent"] = [standing.ci_low, standing.ci_high]
        provenance["confirmed_seeds"] = standing.seeds
    return provenance
