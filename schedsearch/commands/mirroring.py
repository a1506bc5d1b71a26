"""The MLflow mirror beside a running study: a process of its own, so that nothing of it touches training."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from schedsearch.errors import TrackingError
from schedsearch.privacy import make_folder
from schedsearch.store import Store, StudyState

FOLLOW_S = 3.0
FINISH_S = 120.0
BEHIND_TRAINING = 10  # added to the niceness of the process
OFF = "none"
ARTIFACTS = ("report.html", "winner.json", "winner_torch.py")


def sync(store: Store, name: str, tracking_uri: str, artifacts: Mapping[str, Path]) -> dict[str, object]:
    """Mirror everything that the store has and MLflow has not. Raises TrackingError when MLflow does not answer."""
    from schedsearch.tracking import Mirror

    study = store.study(name)
    final = study.state is not StudyState.RUNNING
    mirror = Mirror(tracking_uri, store)
    ours = {key: path for key, path in artifacts.items() if path.is_file() and not path.is_symlink()}
    result = mirror.sync(name, final=final, artifacts=ours)
    return {"mirrored": result.runs_mirrored, "pending": result.pending, "url": mirror.url(name)}


def sync_command(
    storage: str, name: str, tracking_uri: str, folder: Path | None, *, follow: bool, until_told: bool = False
) -> dict[str, object]:
    """`schedsearch sync`: once; again and again until the study has ended; or until stdin is closed."""
    artifacts = {} if folder is None else {one: folder / one for one in ARTIFACTS}
    with Store.open(storage) as store:
        if until_told:
            os.nice(BEHIND_TRAINING)
            _follow(store, name, tracking_uri, _is_told)
        elif follow:
            _follow(store, name, tracking_uri, lambda: _has_ended(store, name))
        return sync(store, name, tracking_uri, artifacts)


def _follow(store: Store, name: str, tracking_uri: str, is_over: Callable[[], bool]) -> None:
    """Mirror again and again until it is over, which may take its time to tell; a failure is tried again at the next
    turn."""
    while not is_over():
        try:
            sync(store, name, tracking_uri, {})
        except TrackingError as error:
            print(error, file=sys.stderr)  # noqa: T201 - this process's stderr is its log file


def _has_ended(store: Store, name: str) -> bool:
    time.sleep(FOLLOW_S)
    return store.study(name).state is not StudyState.RUNNING


def _is_told() -> bool:
    """Whether stdin was closed: at once when it is, else after FOLLOW_S."""
    readable, _, _ = select.select([sys.stdin], [], [], FOLLOW_S)
    return bool(readable)


class MirrorProcess:
    """The follower, at low priority: it mirrors while the study runs, and at the end once more with the artifacts."""

    def __init__(self, storage: str, study: str, tracking_uri: str, folder: Path) -> None:
        self._storage = storage
        self._study = study
        self._uri = tracking_uri
        self._folder = folder
        self._follower: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Begin to follow the study; nothing when MLflow is off."""
        if self._uri != OFF:
            self._follower = self._spawn()

    def stop(self) -> None:
        """End the follower, if it has not ended by itself."""
        if self._follower is not None:
            self._follower.terminate()
            self._follower.communicate()

    def finish(self) -> None:
        """The last sync, with report and exports. MLflow being away never fails a study: `sync` heals it later."""
        if self._uri == OFF:
            return
        if self._follower is None or self._follower.poll() is not None:
            self._follower = self._spawn()
        try:
            self._follower.communicate(timeout=FINISH_S)  # closes its stdin
        except subprocess.TimeoutExpired:
            self._follower.kill()
            self._follower.communicate()

    def url(self) -> str | None:
        """Where to look in MLflow; None when the mirror is off or MLflow was away."""
        if not self._answer.exists():
            return None
        found = json.loads(self._answer.read_text()).get("url")
        return None if found is None else str(found)

    @property
    def _answer(self) -> Path:
        return self._folder / "logs" / "mlflow.json"

    def _spawn(self) -> subprocess.Popen[bytes]:
        command = [
            sys.executable,
            "-m",
            "schedsearch",
            "sync",
            self._study,
            "--folder",
            str(self._folder),
            "--until-told",
            "--answer",
            str(self._answer),
        ]
        environment = {**os.environ, "SCHEDSEARCH_STORAGE": self._storage, "SCHEDSEARCH_MLFLOW": self._uri}
        log = self._folder / "logs" / "mlflow.log"
        make_folder(log.parent)
        with log.open("ab") as stream:
            return subprocess.Popen(  # noqa: S603 - our own interpreter and module
                command,
                stdout=stream,
                stderr=stream,
                stdin=subprocess.PIPE,
                env=environment,
                start_new_session=True,
            )
