"""What a worker and the process that trains for it say to each other: one JSON object a line. Imports nothing heavy."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import IO, Any


@dataclass(frozen=True)
class Order:
    """Train one run. task_fingerprint: of the task that is meant; schedule: its serialized form; checkpoints: where
    they are kept (None: nowhere). memory_share: of an accelerator's memory, that this run may take."""

    task: str
    task_options: Mapping[str, Any]
    task_fingerprint: str
    schedule: Mapping[str, Any]
    seed: int
    total_updates: int
    device: str
    with_test: bool
    attempt: int
    checkpoints: str | None = None
    checkpoint_every_s: float = 60.0
    memory_share: float = 1.0


@dataclass(frozen=True)
class Answer:
    """How an order ended, in the words of the process that trained, or of the worker that saw it end.

    kind: completed, diverged, interrupted, refused (the task is not here, or another one), or a failure: error (the
    task raised), exit (it ended its process), memory, crash, stall; or apart: these runs cannot be trained together.
    values: of a result, the fields of `training.Outcome` and `training.Usage`. log: the last lines it printed.
    """

    kind: str
    reason: str | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    log: str | None = None


def send(stream: IO[bytes], kind: str, **values: Any) -> None:
    """Write one line. Raises BrokenPipeError when nobody listens any more."""
    stream.write(json.dumps({"kind": kind, **values}).encode() + b"\n")
    stream.flush()


def read(line: bytes) -> dict[str, Any]:
    """The object of one line."""
    found: dict[str, Any] = json.loads(line)
    return found
