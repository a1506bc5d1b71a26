"""The mirror: one parent run a study, one child run a finished training run, written from the store alone."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from schedsearch.store import Store
from schedsearch.tracking.address import run_page
from schedsearch.tracking.children import ChildRuns
from schedsearch.tracking.client import answering, connect
from schedsearch.tracking.parents import ParentRuns


@dataclass(frozen=True)
class SyncResult:
    """How many runs this sync mirrored, and how many finished ones MLflow still lacks."""

    runs_mirrored: int
    pending: int


class Mirror:
    """Shows studies in MLflow. The store is the truth: a sync reads it and writes whatever MLflow lacks.

    - Only finished runs are mirrored; they never change, and their points carry the store's times, so that writing a
      run twice leaves every point once.
    - A child is RUNNING in MLflow from its creation until everything of it is written *and* the store knows its id.
      Children that a crash left RUNNING are therefore the only ones in doubt; the next sync takes them up again, ends
      them, or deletes them when the store names another run instead.
    - When MLflow does not know the study's parent run (a new server, a lost database), everything is written anew.
    - Every method raises TrackingError when MLflow does not answer; nothing is lost, the next sync goes on.
    """

    def __init__(self, tracking_uri: str, store: Store) -> None:
        self._uri = tracking_uri
        self._store = store
        self._client = connect(tracking_uri)
        self._parents = ParentRuns(self._client, tracking_uri, store)
        self._children = ChildRuns(self._client, store)

    def sync(self, study_name: str, *, final: bool = False, artifacts: Mapping[str, Path] | None = None) -> SyncResult:
        """Bring MLflow up to the store. `final` also removes twins of runs, marks the winner's and saves views;
        `artifacts` (name in MLflow -> file here) are attached to the parent run. Raises TrackingError."""
        study = self._store.study(study_name)
        with answering(self._uri):
            parent = self._parents.take(study)
            mirrored = self._children.write_finished(study, parent)
            self._parents.write(self._store.study(study_name), parent)
            if final:
                self._remove_twins(study_name)
                self._children.color_recommended(study)
                self._parents.save_views(self._store.study(study_name), parent)
            if artifacts:
                self._attach(parent.run_id, artifacts)
        return SyncResult(mirrored, len(self._store.unmirrored(study.id, 1_000_000)))

    def url(self, study_name: str) -> str | None:
        """The study's page in MLflow; None before its first sync. For a database that nobody serves yet, the page that
        `address.serve_command` will show."""
        study = self._store.study(study_name)
        if study.mlflow_experiment_id is None or study.mlflow_run_id is None:
            return None
        return run_page(self._uri, study.mlflow_experiment_id, study.mlflow_run_id)

    def _remove_twins(self, study_name: str) -> None:
        """Two syncs at the same time may both have made a parent or a child: those that the store names stay."""
        study = self._store.study(study_name)
        parent = self._parents.take(study)
        self._children.remove_twins(study, parent)
        for twin in self._parents.twins(study, parent):
            self._children.remove_twins(study, twin, move_to=parent.run_id)
            self._client.delete_run(twin.run_id)

    def _attach(self, parent_id: str, artifacts: Mapping[str, Path]) -> None:
        with tempfile.TemporaryDirectory(prefix="schedsearch-") as folder:
            for name, path in artifacts.items():
                shutil.copyfile(path, Path(folder) / name)
            self._client.log_artifacts(parent_id, folder)
