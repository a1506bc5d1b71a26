"""Child runs: every finished training run in MLflow, once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from schedsearch.store import Candidate, Phase, Run, Store, Study
from schedsearch.tracking import facts
from schedsearch.tracking.client import log
from schedsearch.tracking.curves import lr_points, measured_points
from schedsearch.tracking.parents import Parent

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run as MlflowRun

BATCH = 100
PAGE = 500
RUNNING = "RUNNING"


class ChildRuns:
    """The child runs of one MLflow. Methods raise what MLflow raises; the mirror turns it into sentences."""

    def __init__(self, client: MlflowClient, store: Store) -> None:
        self._client = client
        self._store = store

    def write_finished(self, study: Study, parent: Parent) -> int:
        """Mirror the finished runs that MLflow lacks; returns how many were written."""
        there = self._in_doubt(parent)
        candidates: dict[int, Candidate] = {}
        written = 0
        for run in self._to_mirror(study, parent):
            child = there.pop(run.id, None)
            if child is not None and child.info.status != RUNNING:
                self._store.mark_mirrored(run.id, str(child.info.run_id))
                continue
            if run.candidate_id not in candidates:  # the study may grow while this goes on
                candidates = {one.id: one for one in self._store.candidates(study.id)}
            candidate = candidates[run.candidate_id]
            child_id = self._create(run, candidate, parent) if child is None else str(child.info.run_id)
            self._write(study, run, candidate, child_id)
            written += 1
        self._settle(study, there)
        return written

    def remove_twins(self, study: Study, parent: Parent, move_to: str | None = None) -> None:
        """Delete this parent's children whose run the store knows under another id; move the others to `move_to`."""
        named = {run.id: run.mlflow_run_id for run in self._store.runs(study.id)}
        for number, child in self._children(parent):
            child_id = str(child.info.run_id)
            if named.get(number) != child_id:
                self._client.delete_run(child_id)
            elif move_to is not None:
                self._client.set_tag(child_id, facts.PARENT, move_to)

    def color_recommended(self, study: Study) -> None:
        """The recommended schedule's confirmation runs stand out in every chart."""
        verdict = self._store.verdict(study.id)
        if verdict is None:
            return
        for run in self._store.runs(study.id, phase=Phase.CONFIRM):
            if run.candidate_id == verdict.recommended_id and run.mlflow_run_id is not None:
                self._client.set_tag(run.mlflow_run_id, facts.COLOR, facts.WINNER_COLOR)

    def _to_mirror(self, study: Study, parent: Parent) -> Iterator[Run]:
        """Finished runs without a mark; all of them where the marks are about another parent run than this one."""
        if not parent.is_known:
            yield from [run for run in self._store.runs(study.id) if run.state.is_finished]
        while batch := self._store.unmirrored(study.id, BATCH):
            yield from batch

    def _create(self, run: Run, candidate: Candidate, parent: Parent) -> str:
        tags = facts.run_tags(run, candidate, parent.run_id)
        start, name = facts.milliseconds(_begun(run)), facts.run_name(run, candidate)
        return str(self._client.create_run(parent.experiment_id, start, tags, name).info.run_id)

    def _write(self, study: Study, run: Run, candidate: Candidate, child_id: str) -> None:
        """Everything of the run, then the store's mark, then the status: see the contract of `Mirror`."""
        start, end = _begun(run) or study.created_at, run.finished_at or study.created_at
        curves = measured_points(self._store.measurements(run.id))
        curves += lr_points(candidate.schedule, run.total_updates, study.updates_per_epoch, run.updates_done or 0)
        pace = (end - start) / max(run.updates_done or run.total_updates, 1)
        points = [(point, start + pace * (point.step + 1)) for point in curves]
        points += [(point, end) for point in facts.score_points(run)]
        log(self._client, child_id, points, facts.run_params(run, candidate), {})
        self._store.mark_mirrored(run.id, child_id)
        self._end(run, child_id)

    def _end(self, run: Run, child_id: str) -> None:
        self._client.set_terminated(child_id, facts.RUN_STATUS[run.state], facts.milliseconds(run.finished_at))

    def _in_doubt(self, parent: Parent) -> dict[int, MlflowRun]:
        """Children that may not agree with the store's marks, by the store's number of their run: those that a crash
        left RUNNING; all of them where the marks are about another parent run."""
        return dict(self._children(parent, f"attributes.status = '{RUNNING}'" if parent.is_known else ""))

    def _settle(self, study: Study, left: Mapping[int, MlflowRun]) -> None:
        """Children still RUNNING although their run has its mark: end the one the store names, delete any other."""
        if not left:
            return
        runs = {run.id: run for run in self._store.runs(study.id)}
        for number, child in left.items():
            run = runs.get(number)
            if run is None or (run.mirrored and run.mlflow_run_id != child.info.run_id):
                self._client.delete_run(child.info.run_id)
            elif run.mirrored:
                self._end(run, str(child.info.run_id))

    def _children(self, parent: Parent, condition: str = "") -> list[tuple[int, MlflowRun]]:
        where = f"tags.`{facts.PARENT}` = '{parent.run_id}'" + (f" and {condition}" if condition else "")
        found: list[tuple[int, MlflowRun]] = []
        token = None
        while True:
            page = self._client.search_runs([parent.experiment_id], where, max_results=PAGE, page_token=token)
            found += [(int(run.data.tags[facts.RUN_ID]), run) for run in page if facts.RUN_ID in run.data.tags]
            token = page.token
            if not token:
                return found


def _begun(run: Run) -> float | None:
    """When its training began; one that was copied took no time."""
    return run.finished_at if run.copied_from is not None else run.claimed_at
