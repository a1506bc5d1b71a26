"""A made-up study of `report_example` in a real store, as its workers would have left it."""

from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

from report_example import Example, example_rows

from schedsearch.report.rows import StudyRows
from schedsearch.search.importance import Importances, importances
from schedsearch.store import NewCandidate, NewRun, NewStudy, Phase, RunResult, Store, Verdict


def stored(folder: Path, *examples: Example, finished: bool = True, **changed: Any) -> str:
    """The URL of a store with these studies; `changed`: columns of the last one that shall be different."""
    url = f"sqlite:///{folder / 'schedsearch.db'}"
    with Store.open(url) as store:
        for given in examples:
            rows = example_rows(given, finished=finished)
            last = given is examples[-1]
            put(store, replace(rows, study=replace(rows.study, **changed)) if last and changed else rows)
    return url


def put(store: Store, rows: StudyRows) -> None:
    """Write the study with its candidates, runs, measurements and verdict."""
    study_id = store.create_study(_as(NewStudy, rows.study)).id
    ids = {one.id: store.add_candidate(study_id, _as(NewCandidate, one)) for one in rows.candidates}
    runs = {(ids[run.candidate_id], run.phase, run.seed): run for run in rows.runs}
    store.add_runs(study_id, [replace(_as(NewRun, run), candidate_id=ids[run.candidate_id]) for run in runs.values()])
    for _ in runs:
        claim = store.claim("worker", lease_s=60.0, device="cpu", study_id=study_id)
        assert claim is not None
        run = runs[claim.candidate.id, claim.phase, claim.seed]
        store.finish(claim, _as(RunResult, run), rows.measurements[run.id])
    for check in rows.model_checks:
        store.add_model_check(study_id, check.runs, check.rank_agreement)
    if rows.verdict is not None:
        token = store.take_planner(study_id, "worker", 60.0)
        assert token is not None
        store.save_verdict(study_id, token, _renumbered(rows, rows.verdict, ids))


def _as(kind: type[Any], value: Any) -> Any:
    """The value's fields that `kind` has."""
    return kind(**{one.name: getattr(value, one.name) for one in fields(kind)})


def _importances(rows: StudyRows) -> Importances:
    kinds = {one.id: one.kind for one in rows.candidates}
    searched = [run for run in rows.ended(Phase.SEARCH) if kinds[run.candidate_id] != "freeform"]
    return importances([(rows.by_id[run.candidate_id].schedule, run.score) for run in searched], rows.study.direction)


def _renumbered(rows: StudyRows, verdict: Verdict, ids: dict[int, int]) -> Verdict:
    return replace(
        verdict,
        recommended_id=ids[verdict.recommended_id],
        winner_id=ids[verdict.winner_id],
        details={**verdict.details, "predictions": [], "shape": None, "importances": asdict(_importances(rows))},
        standings=tuple(replace(one, candidate_id=ids[one.candidate_id]) for one in verdict.standings),
        comparisons=tuple(
            replace(one, candidate_id=ids[one.candidate_id], against_id=ids[one.against_id])
            for one in verdict.comparisons
        ),
        answers=tuple(replace(one, candidate_id=ids[one.candidate_id]) for one in verdict.answers),
    )
