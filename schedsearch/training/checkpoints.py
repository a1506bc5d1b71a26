"""States of unfinished runs on disk (or wherever fsspec reaches), written so that a crash at any moment loses nothing.

A file belongs to one training: its name begins with a digest of the task's fingerprint, the schedule, the seed and the
horizon, and another one of the device and the versions of code and torch. A run that is tried again finds its file by
that name and no other's. The content is what `torch.save` writes and nothing that could run code, followed by its
sha256.
"""

from __future__ import annotations

import hashlib
import io
import logging
import time
from collections.abc import Mapping
from typing import Any

import torch

from schedsearch.privacy import redact
from schedsearch.training.places import SUFFIX, Place, digest

logger = logging.getLogger(__name__)

DIGEST_BYTES = 64
KEPT = 2
FORMAT = 1


def training_key(mark: str, **version: Any) -> str:
    """The name of a training: its mark (`places.training_mark`) and 16 hexadecimal digits of a digest of what else its
    numbers depend on: the versions, and the kind of device."""
    return mark + digest({**version, "torch": torch.__version__, "format": FORMAT})


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
            logger.warning("no checkpoint after %s updates, training goes on: %s", updates_done, redact(str(error)))
            return False
        return True

    def newest(self) -> dict[str, Any] | None:
        """The newest state that is whole; damaged files are passed over. None where there is none."""
        try:
            names = self._newest_first()
        except Exception as error:  # as above
            logger.warning("the checkpoints cannot be read, training starts from the beginning: %s", redact(str(error)))
            return None
        self._may_exist = bool(names)
        for name in names:
            try:
                return from_bytes(self._place.read(name))
            except Exception as error:  # truncated, flipped, foreign: torch raises many kinds
                logger.warning("the checkpoint %s is damaged and passed over: %s", name, redact(str(error)))
        return None

    def clear(self) -> None:
        """Remove those that were found or written: the training has its result."""
        if not self._may_exist:  # of most runs there are none, and asking a remote place takes time
            return
        try:
            for name in self._place.names(self._key):
                self._place.remove(name)
        except Exception as error:  # as above
            logger.warning("old checkpoints could not be removed: %s", redact(str(error)))

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
