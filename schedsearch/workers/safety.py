"""What guards a run against what may happen to it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from schedsearch.errors import InvalidInput

STALL_TIMEOUT_S = 900.0
CHECKPOINT_EVERY_S = 60.0
LEASE_S, LEAST_LEASE_S = 30.0, 3.0
FOLDER = "schedsearch-checkpoints"
VARIABLE = "SCHEDSEARCH_SAFETY"


@dataclass(frozen=True)
class Safety:
    """stall_timeout_s: so long without an update, an evaluation or a printed line, and a run is taken to hang.
    checkpoints: a folder or an fsspec URL that all workers see, None for none. checkpoint_every_s: seconds of training
    between two of them. lease_s: so long a run stays with a worker that has gone silent. Raises InvalidInput unless the
    first two times are above 0 and the lease is at least LEAST_LEASE_S."""

    stall_timeout_s: float = STALL_TIMEOUT_S
    checkpoints: str | None = None
    checkpoint_every_s: float = CHECKPOINT_EVERY_S
    lease_s: float = LEASE_S

    def __post_init__(self) -> None:
        times = {"stall_timeout": self.stall_timeout_s, "checkpoint_every": self.checkpoint_every_s}
        wrong = [f"`{name}` must be above 0, but is {s:g} instead." for name, s in times.items() if not s > 0]
        if not self.lease_s >= LEAST_LEASE_S:
            wrong.append(f"`lease` must be at least {LEAST_LEASE_S:g}, but is {self.lease_s:g} instead.")
        if wrong:
            raise InvalidInput(wrong)

    def in_environment(self) -> dict[str, str]:
        """For a process that is started: not among its arguments, which everybody on the machine may read, because the
        URL of checkpoints may hold a password."""
        return {VARIABLE: json.dumps(asdict(self))}

    @classmethod
    def of_environment(cls, environment: Mapping[str, str] = os.environ) -> Safety:
        """What whoever started this process has put there; the defaults where that is nothing."""
        return cls(**json.loads(environment.get(VARIABLE, "{}")))


def checkpoint_place(given: str | None, storage: str) -> str | None:
    """What `--checkpoints` means: a folder or URL, nowhere for "none", else a folder of the default's name beside the
    file of an SQLite store or in the current folder (then only the workers of this machine see it)."""
    if given == "none":
        return None
    if given is not None:
        return given if "://" in given else str(Path(given).absolute())
    kind, _, path = storage.partition(":///")
    return str((Path(path).parent if kind.startswith("sqlite") else Path()).absolute() / FOLDER)
