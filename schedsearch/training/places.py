"""Where checkpoints are: a folder, or whatever fsspec reaches; and the part of their names that a run gives them.

Imports neither torch nor fsspec to look: whoever sweeps the place does not train.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from schedsearch.privacy import make_folder

SUFFIX = ".ckpt"
UNFINISHED = ".part"
STALE_S = 3600.0  # a writer that lives adds to its file far more often
MARK_DIGITS = 16


def digest(values: Mapping[str, Any]) -> str:
    """16 hexadecimal digits that stand for these values."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:MARK_DIGITS]


def training_mark(task_fingerprint: str, schedule: Mapping[str, Any], seed: int, total_updates: int) -> str:
    """What the names of a run's checkpoints begin with: 16 hexadecimal digits that the store's row of the run gives,
    whichever machine and versions trained it. schedule: its serialized form."""
    return digest(
        {"task": task_fingerprint, "schedule": dict(schedule), "seed": seed, "total_updates": total_updates}
    )


class Place(Protocol):
    """Where files are: whole or not at all."""

    def names(self, prefix: str) -> list[str]:
        """The names of the files that begin like this."""

    def sweep(self) -> None:
        """Remove what writers that died left half written."""

    def read(self, name: str) -> bytes: ...

    def write(self, name: str, content: bytes) -> None: ...

    def remove(self, name: str) -> None:
        """Remove it if it is there."""


def open_place(where: str) -> Place:
    """A folder, or any URL that fsspec knows (`s3://bucket/folder`; its driver must be installed)."""
    return RemotePlace(where) if "://" in where else Folder(Path(where))


@dataclass(frozen=True)
class Folder:
    """A folder of this machine or of a shared file system; made with the first file, readable by its owner only."""

    path: Path

    def names(self, prefix: str) -> list[str]:
        return [one.name for one in self.path.glob(f"{prefix}*{SUFFIX}")]

    def read(self, name: str) -> bytes:
        return (self.path / name).read_bytes()

    def write(self, name: str, content: bytes) -> None:
        """Into a file beside it that takes its name once all of it is on the disk."""
        make_folder(self.path)
        handle, unfinished = tempfile.mkstemp(dir=self.path, prefix=".", suffix=UNFINISHED)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            Path(unfinished).replace(self.path / name)
        except BaseException:
            Path(unfinished).unlink(missing_ok=True)
            raise
        self._sync()

    def _sync(self) -> None:
        """The new name survives a power failure, too."""
        folder = os.open(self.path, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def remove(self, name: str) -> None:
        (self.path / name).unlink(missing_ok=True)

    def sweep(self) -> None:
        """Half-written files that have not grown for STALE_S, by the clock that stamps this folder's files."""
        left = list(self.path.glob(f".*{UNFINISHED}"))
        if not left:
            return
        handle, probe = tempfile.mkstemp(dir=self.path, prefix=".", suffix=UNFINISHED)
        os.close(handle)
        now = Path(probe).stat().st_mtime
        Path(probe).unlink()
        for one in left:
            with suppress(FileNotFoundError):  # its writer ended, or another worker sweeps
                if now - one.stat().st_mtime > STALE_S:
                    one.unlink()


class RemotePlace:
    """A folder behind an fsspec URL. Object stores show a file only once all of it is there."""

    def __init__(self, url: str) -> None:
        import fsspec

        self._system, self._path = fsspec.core.url_to_fs(url)

    def names(self, prefix: str) -> list[str]:
        self._system.invalidate_cache()
        found = self._system.glob(f"{self._path}/{prefix}*{SUFFIX}")
        return [str(one).rpartition("/")[2] for one in found]

    def read(self, name: str) -> bytes:
        return bytes(self._system.cat_file(f"{self._path}/{name}"))

    def write(self, name: str, content: bytes) -> None:
        self._system.makedirs(self._path, exist_ok=True)
        self._system.pipe_file(f"{self._path}/{name}", content)

    def remove(self, name: str) -> None:
        with suppress(FileNotFoundError):
            if self._system.exists(f"{self._path}/{name}"):
                self._system.rm_file(f"{self._path}/{name}")

    def sweep(self) -> None:
        """Nothing: what was not written whole is not there."""
