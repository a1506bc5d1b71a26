"""Parent runs: a study in MLflow, found again or made, and kept up with the store."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from schedsearch.errors import TrackingError
from schedsearch.store import Phase, Run, Store, Study, StudyState
from schedsearch.tracking import facts
from schedsearch.tracking.address import charts_link
from schedsearch.tracking.client import artifact_location, log
from schedsearch.tracking.curves import Point
from schedsearch.tracking.views import view_links, view_tags

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run as MlflowRun

SETTLED_S = 5.0
MADE_AT = "schedsearch.made_at_ns"


@dataclass(frozen=True)
class Parent:
    """A study's run in MLflow. is_known: the store names it, so that the store's `mirrored` marks are about it."""

    run: MlflowRun
    is_known: bool

    @property
    def run_id(self) -> str:
        return str(self.run.info.run_id)

    @property
    def experiment_id(self) -> str:
        return str(self.run.info.experiment_id)


class ParentRuns:
    """The parent runs of one MLflow. Methods raise what MLflow raises; the mirror turns it into sentences."""

    def __init__(self, client: MlflowClient, tracking_uri: str, store: Store) -> None:
        self._client = client
        self._uri = tracking_uri
        self._store = store

    def take(self, study: Study) -> Parent:
        """The study's parent run: the one the store names, or one that carries its key, or a new one."""
        known = None if study.mlflow_run_id is None else self._find(study.mlflow_run_id)
        if known is not None:
            return Parent(known, is_known=True)
        experiment_id = self._experiment(study)
        found = self._with_key(experiment_id, study)
        if not found:
            self._create(experiment_id, study)
            found = self._with_key(experiment_id, study)
        self._store.set_mlflow_ids(study.id, experiment_id, str(found[0].info.run_id))
        return Parent(found[0], is_known=False)

    def twins(self, study: Study, parent: Parent) -> list[Parent]:
        """Other parent runs of the same study, made by a sync that ran at the same time."""
        found = self._with_key(parent.experiment_id, study)
        return [Parent(run, is_known=False) for run in found if run.info.run_id != parent.run_id]

    def write(self, study: Study, parent: Parent) -> None:
        """Params, best-so-far curve, phase, verdict and status: whatever MLflow has not got yet."""
        verdict = self._store.verdict(study.id)
        candidates = {} if verdict is None else {one.id: one for one in self._store.candidates(study.id)}
        curve = _settled(study, self._store.runs(study.id))
        charts = charts_link(parent.experiment_id, parent.run_id, ascending=study.direction == "minimize")
        views = [] if verdict is None else view_links(study, parent.experiment_id)
        tags = facts.study_state_tags(study, verdict, candidates, charts, views)
        tags[facts.CURVE_LENGTH] = str(len(curve))
        points = curve[int(parent.run.data.tags.get(facts.CURVE_LENGTH, "0")) :]
        if verdict is not None and study.finished_at is not None:
            points += [(point, study.finished_at) for point in facts.verdict_points(verdict)]
        params = {} if parent.run.data.params else facts.study_params(study)
        changed = {key: value for key, value in tags.items() if parent.run.data.tags.get(key) != value}
        log(self._client, parent.run_id, points, params, changed)
        self._set_status(study, parent)

    def save_views(self, study: Study, parent: Parent) -> None:
        """Saved views of a finished study in MLflow's menu: a nicety that never fails a sync."""
        from mlflow.exceptions import MlflowException

        with suppress(MlflowException):
            for key, value in view_tags(study, parent.run_id).items():
                self._client.set_experiment_tag(parent.experiment_id, key, value)

    def _set_status(self, study: Study, parent: Parent) -> None:
        status = facts.STUDY_STATUS[study.state]
        if parent.run.info.status == status:
            return
        if study.state is StudyState.RUNNING:
            self._client.update_run(parent.run_id, status=status)
        else:
            self._client.set_terminated(parent.run_id, status, facts.milliseconds(study.finished_at))

    def _find(self, run_id: str) -> MlflowRun | None:
        from mlflow.exceptions import MlflowException

        try:
            run = self._client.get_run(run_id)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return None
            raise
        return run if run.info.lifecycle_stage == "active" else None

    def _create(self, experiment_id: str, study: Study) -> None:
        tags = {**facts.study_tags(study), MADE_AT: f"{time.time_ns():020d}"}
        self._client.create_run(experiment_id, facts.milliseconds(study.created_at), tags, study.name)

    def _with_key(self, experiment_id: str, study: Study) -> list[MlflowRun]:
        """Parent runs of this study, oldest first, so that two syncs at once agree on one."""
        where = f"tags.`{facts.STUDY_KEY}` = '{facts.study_key(study)}'"
        found = list(self._client.search_runs([experiment_id], where))
        return sorted(found, key=lambda run: (run.data.tags.get(MADE_AT, ""), str(run.info.run_id)))

    def _experiment(self, study: Study) -> str:
        name = facts.experiment_name(study)
        found = self._client.get_experiment_by_name(name)
        if found is None:
            return self._create_experiment(name)
        if found.lifecycle_stage != "active":
            raise TrackingError(f"MLflow's experiment {name!r} was deleted; restore it there, then sync again.")
        return str(found.experiment_id)

    def _create_experiment(self, name: str) -> str:
        from mlflow.exceptions import MlflowException

        try:
            return str(self._client.create_experiment(name, artifact_location(self._uri), facts.EXPERIMENT_TAGS))
        except MlflowException:
            there = self._client.get_experiment_by_name(name)  # made by another sync a moment ago
            if there is None:
                raise
            return str(there.experiment_id)


def _settled(study: Study, runs: Sequence[Run]) -> list[tuple[Point, float]]:
    """The best-so-far curve as far as it is settled. While workers search, its last seconds wait: a run that ended a
    moment earlier may still become visible, and would shift the steps after it."""
    curve = facts.best_so_far(runs, study.direction)
    if study.state is not StudyState.RUNNING or study.phase not in (Phase.NOISE, Phase.SEARCH):
        return curve
    newest = max((run.finished_at or 0.0 for run in runs), default=0.0)
    return [(point, at) for point, at in curve if at < newest - SETTLED_S]
