"""States of unfinished runs on disk (or wherever fsspec reaches), written so that a crash at any moment loses nothing.

A file belongs to one training: its name begins with a digest of the task's fingerprint, the schedule, the seed, the
horizon and the versions of code and torch. A run that is tried again finds its file by that name and no other's. The
content is what `torch.save` writes and nothing that could run code, followed by its sha256.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch

logger = logging.getLogger(__name__)

SUFFIX = ".ckpt"
DIGEST_BYTES = 64
KEPT = 2
FORMAT = 1


def training_key(**identity: Any) -> str:
    """The name of a training: 32 hexadecimal digits of a digest of everything that its result depends on."""
    text = json.dumps({**identity, "torch": torch.__version__, "format": FORMAT}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


class Place(Protocol):
    """Where files are: whole or not at all."""

    def names(self, prefix: str) -> list[str]:
        """The names of the files that begin like this."""

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
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle, unfinished = tempfile.mkstemp(dir=self.path, prefix=".", suffix=".part")
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
        if self._system.exists(f"{self._path}/{name}"):
            self._system.rm_file(f"{self._path}/{name}")


class Checkpoints:
    """The checkpoints of one training. Nothing here ever ends a run: what goes wrong is logged, and the run goes on.

    every_s: how long to train between two of them. attempt: part of the name, so that a worker that lost the run cannot
    write over the files of the one that has it now.
    """

    def __init__(self, place: Place, key: str, attempt: int, every_s: float) -> None:
        self._place = place
        self._key = key
        self._attempt = attempt
        self._every_s = every_s
        self._next_at = time.monotonic() + every_s
        self._proven = False
        self._may_exist = False

    @property
    def every_s(self) -> float:
        """Seconds of training between two."""
        return self._every_s

    @property
    def are_due(self) -> bool:
        """Whether it is time for the next one."""
        return time.monotonic() >= self._next_at

    def save(self, state: Mapping[str, Any], updates_done: int) -> bool:
        """Write a state of this training and remove all but the newest two; False where that did not work."""
        self._next_at = time.monotonic() + self._every_s
        try:
            content = to_bytes(state)
            if not self._proven:
                from_bytes(content)  # an optimizer may hold what cannot be read back without running code
                self._proven = True
            self._may_exist = True
            self._place.write(f"{self._key}-{updates_done:010d}-{self._attempt}{SUFFIX}", content)
            for name in self._newest_first()[KEPT:]:
                self._place.remove(name)
        except Exception as error:  # a full disk, a store out of reach: whatever its driver raises
            logger.warning("no checkpoint after %s updates, training goes on: %s", updates_done, error)
            return False
        return True

    def newest(self) -> dict[str, Any] | None:
        """The newest state that is whole; damaged files are passed over. None where there is none."""
        try:
            names = self._newest_first()
        except Exception as error:  # as above
            logger.warning("the checkpoints cannot be read, training starts from the beginning: %s", error)
            return None
        self._may_exist = bool(names)
        for name in names:
            try:
                return from_bytes(self._place.read(name))
            except Exception as error:  # truncated, flipped, foreign: torch raises many kinds
                logger.warning("the checkpoint %s is damaged and passed over: %s", name, error)
        return None

    def clear(self) -> None:
        """Remove those that were found or written: the training has its result."""
        if not self._may_exist:  # of most runs there are none, and asking a remote place takes time
            return
        try:
            for name in self._place.names(self._key):
                self._place.remove(name)
        except Exception as error:  # as above
            logger.warning("old checkpoints could not be removed: %s", error)

    def _newest_first(self) -> list[str]:
        return sorted(self._place.names(self._key), reverse=True)


def to_bytes(state: Mapping[str, Any]) -> bytes:
    """What `torch.save` writes, and its sha256 in hexadecimal."""
    buffer = io.BytesIO()
    torch.save(dict(state), buffer)
    content = buffer.getvalue()
    return content + hashlib.sha256(content).hexdigest().encode()


def from_bytes(content: bytes) -> dict[str, Any]:
    """The state again. Raises ValueError when the content is not what was written; no code in it is ever run."""
    body, digest = content[:-DIGEST_BYTES], content[-DIGEST_BYTES:]
    if hashlib.sha256(body).hexdigest().encode() != digest:
        raise ValueError("its content does not fit its sha256")
    found: dict[str, Any] = torch.load(io.BytesIO(body), weights_only=True, map_location="cpu")
    return found
