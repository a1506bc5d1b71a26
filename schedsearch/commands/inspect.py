"""The verbs that only look: status, studies, spaces, tasks, db, doctor."""

from __future__ import annotations

import platform
import secrets
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from schedsearch.errors import SchedsearchError, StoreError
from schedsearch.privacy import redact as without_credentials
from schedsearch.space import SearchSpace, builtin_spaces, load_space
from schedsearch.store import SchemaStatus, Store, check, redact, upgrade
from schedsearch.task.registry import TaskInfo, builtin_tasks
from schedsearch.task.script import shown_task
from schedsearch.workers.safety import checkpoint_place

LIBRARIES = (
    "torch",
    "optuna",
    "botorch",
    "mlflow",
    "sqlalchemy",
    "alembic",
    "numpy",
    "scipy",
    "pydantic",
    "click",
)
CLOCKS_APART_S = 5.0
LEAST_FREE_BYTES = 1_000_000_000


@dataclass(frozen=True)
class Finding:
    """One thing the doctor looked at."""

    subject: str
    healthy: bool
    detail: str


def studies(storage: str) -> list[dict[str, Any]]:
    """One row a study, oldest first."""
    require_file_store(storage)
    with Store.open(storage) as store:
        return [
            {
                "name": study.name,
                "task": shown_task(study.task),
                "space": study.space_name,
                "state": study.state.value,
                "phase": study.phase.value,
                "runs": sum(sum(states.values()) for states in store.counts(study.id).values()),
                "created_at": datetime.fromtimestamp(study.created_at, UTC).isoformat(" ", "seconds"),
            }
            for study in store.studies()
        ]


def spaces(name_or_path: str | None) -> list[SearchSpace]:
    """The spaces that ship with the project, or the one named."""
    return list(builtin_spaces()) if name_or_path is None else [load_space(name_or_path)]


def tasks() -> list[TaskInfo]:
    """The tasks that ship with the project."""
    return list(builtin_tasks())


def db_upgrade(storage: str) -> str:
    """Bring the store's schema to this code's, Optuna's tables included; one sentence about what was done."""
    from schedsearch.search.history import make_tables

    upgrade(storage)
    make_tables(storage)
    return f"The store {redact(storage)} is at this version's schema."


def db_check(storage: str) -> dict[str, Any]:
    """The store's schema version against this code's."""
    require_file_store(storage)
    return {"storage": redact(storage), **asdict(check(storage))}


def doctor(storage: str, mlflow_uri: str, checkpoints: str | None = None) -> list[Finding]:
    """Look at everything a study needs: interpreter, libraries, store, its schema and clock, MLflow, checkpoints,
    devices, free disk. checkpoints: as `launch --checkpoints`."""
    return [
        Finding("python", True, platform.python_version()),
        *(_library(name) for name in LIBRARIES),
        *_store(storage),
        _mlflow(mlflow_uri),
        _checkpoints(checkpoint_place(checkpoints, storage)),
        *_devices(),
        _disk(),
    ]


def _library(name: str) -> Finding:
    try:
        return Finding(name, True, metadata.version(name))
    except metadata.PackageNotFoundError:
        return Finding(name, False, "not installed")


def _store(storage: str) -> list[Finding]:
    if not store_exists(storage):
        return [Finding("store", True, f"{redact(storage)} (will be made by the first launch)")]
    try:
        schema = check(storage)
        with Store.open(storage) as store:
            found = Finding("store", True, f"{redact(storage)}, {len(store.studies())} studies")
            return [found, Finding("schema", schema.fits, _schema(schema)), _clock(store)]
    except SchedsearchError as error:
        return [Finding("store", False, str(error))]


def _schema(schema: SchemaStatus) -> str:
    behind = "" if schema.fits else "; `schedsearch db upgrade` brings it up to date"
    return f"version {schema.found}, this code's is {schema.expected}{behind}"


def _clock(store: Store) -> Finding:
    """Leases go by the database's clock alone, so that a wrong one here only confuses whoever reads times."""
    before = time.time()
    apart = store.clock() - (before + time.time()) / 2
    return Finding("clock", abs(apart) < CLOCKS_APART_S, f"the database's is {apart:+.1f} s from this machine's")


def _checkpoints(where: str | None) -> Finding:
    """Whether a file can be written there, read back and removed again."""
    if where is None:
        return Finding("checkpoints", True, "switched off")
    from schedsearch.training.places import open_place

    name, content = f"doctor-{secrets.token_hex(8)}.ckpt", secrets.token_bytes(64)
    try:
        place = open_place(where)
        place.write(name, content)
        healthy = place.read(name) == content
        place.remove(name)
    except Exception as error:
        return Finding("checkpoints", False, without_credentials(f"{where} cannot be used: {error}"))
    return Finding("checkpoints", healthy, f"{without_credentials(where)} can be written, by this user on this machine")


def _disk() -> Finding:
    free = shutil.disk_usage(Path.cwd()).free
    return Finding("disk", free > LEAST_FREE_BYTES, f"{free / 1e9:.1f} GB free here")


def _mlflow(uri: str) -> Finding:
    if uri == "none":
        return Finding("mlflow", True, "switched off")
    if not uri.startswith("http"):
        return Finding("mlflow", True, redact(uri))
    from schedsearch.tracking import ping

    try:
        return Finding("mlflow", True, ping(uri))
    except SchedsearchError as error:
        return Finding("mlflow", False, str(error))


def _devices() -> list[Finding]:
    from schedsearch.training import nvml
    from schedsearch.training.devices import default_devices, describe_device

    found = default_devices()
    gpus = nvml.names()
    unseen = [Finding("device", False, _unseen(gpus))] if gpus and found == ["cpu"] else []
    return [*(Finding("device", True, describe_device(name)) for name in found), *unseen]


def _unseen(gpus: Sequence[str]) -> str:
    return (
        f"the driver knows {len(gpus)} GPU{'s' if len(gpus) > 1 else ''} ({', '.join(sorted(set(gpus)))}), but torch "
        "sees none: this may be torch's build for CPUs, or CUDA_VISIBLE_DEVICES hides them"
    )


def store_exists(storage: str) -> bool:
    """False for an SQLite file that is not there; anything else is taken to be there."""
    prefix = "sqlite:///"
    return not storage.startswith(prefix) or Path(storage.removeprefix(prefix)).exists()


def require_file_store(storage: str) -> None:
    """Reading verbs never create a database: refuse an SQLite file that is not there."""
    if not store_exists(storage):
        raise StoreError(f"There is no store at {storage}; `schedsearch launch` makes one.")
