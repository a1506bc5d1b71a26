"""Speaking to MLflow: short timeouts, no chatter on stdout, and every failure as one sentence."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from schedsearch.errors import TrackingError
from schedsearch.privacy import make_folder, redact
from schedsearch.tracking.address import is_server, sqlite_path
from schedsearch.tracking.curves import Point

if TYPE_CHECKING:
    from mlflow import MlflowClient

# Read by MLflow at every call. Its own defaults block for minutes when a server is away. A user's values win.
ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "GIT_PYTHON_REFRESH": "quiet",
}
ARTIFACTS = "mlartifacts"
SQLITE_MAGIC = b"SQLite format 3\x00"
LONGEST_SENTENCE = 300


@contextmanager
def answering(tracking_uri: str) -> Iterator[None]:
    """Everything that MLflow raises becomes a TrackingError of one sentence, without credentials."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except (MlflowException, OSError) as error:
        first = redact(str(error)).strip().partition("\n")[0][:LONGEST_SENTENCE]
        raise TrackingError(f"MLflow at {redact(tracking_uri)} failed: {first}") from None


def connect(tracking_uri: str) -> MlflowClient:
    """A client for the address; makes MLflow's tables where an SQLite file is new. Raises TrackingError."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    path = sqlite_path(tracking_uri)
    if path is not None:
        _prepare(path)
    with answering(tracking_uri):
        return _client(tracking_uri)


def _client(tracking_uri: str) -> MlflowClient:
    from mlflow import MlflowClient

    for name in ("mlflow.store.db.utils", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    return MlflowClient(tracking_uri, registry_uri=tracking_uri)


def artifact_location(tracking_uri: str) -> str | None:
    """Where a new experiment keeps its files: in a folder beside an SQLite file, which is made; otherwise where the
    server says (None)."""
    path = sqlite_path(tracking_uri)
    if path is None:
        return None
    folder = path.resolve().parent / ARTIFACTS
    make_folder(folder)
    return folder.as_uri()


def _prepare(path: Path) -> None:
    """Find out at once what MLflow would retry for minutes, and let a new file appear with all its tables or not at
    all: MLflow cannot go on from tables that were half made when its process was killed, nor make them twice at once.
    """
    try:
        make_folder(path.parent)
        if not path.exists():
            _create(path)
        with path.open("r+b") as file:
            head = file.read(len(SQLITE_MAGIC))
    except OSError as error:
        raise TrackingError(f"MLflow's database {path} cannot be written: {error.strerror}.") from None
    if head not in (b"", SQLITE_MAGIC):
        raise TrackingError(f"MLflow's database {path} is not an SQLite file.")


def _create(path: Path) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.touch(mode=0o600)
    try:
        with answering(f"sqlite:///{path}"):
            _client(f"sqlite:///{draft}").search_experiments(max_results=1)
        _publish(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def _publish(draft: Path, path: Path) -> None:
    """Give the draft its name unless another process was faster. (Some file systems have no hard links.)"""
    try:
        path.hardlink_to(draft)
    except FileExistsError:
        return
    except OSError:
        draft.replace(path)


def ping(tracking_uri: str) -> str:
    """Ask for one experiment, as the mirror does (a health page answers even where the host check refuses us).

    Returns one line for a person; raises TrackingError.
    """
    client = connect(tracking_uri)
    with answering(tracking_uri):
        client.search_experiments(max_results=1)
    kind = "server" if is_server(tracking_uri) else "database"
    return f"{redact(tracking_uri)}: the {kind} answers"


def log(
    client: MlflowClient,
    run_id: str,
    points: Sequence[tuple[Point, float]],
    params: Mapping[str, str],
    tags: Mapping[str, str],
) -> None:
    """One call for all of it. `points` come with their times in seconds, which are the store's: MLflow keeps a point
    that is sent twice with the same time once."""
    from mlflow.entities import Metric, Param, RunTag

    if not (points or params or tags):
        return
    client.log_batch(
        run_id,
        [Metric(one.key, one.value, round(at * 1000), one.step) for one, at in points],
        [Param(key, value) for key, value in params.items()],
        [RunTag(key, value) for key, value in tags.items()],
        synchronous=True,
    )
