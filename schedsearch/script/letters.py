"""What a study and an attached script say to each other: a folder with one order and a file of reports, JSON lines.

Files rather than pipes, so that launchers such as torchrun may stand in between. Imports nothing heavy.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

VARIABLE = "SCHEDSEARCH_RUN"
ORDER, REPORTS, STOP = "order.json", "reports.jsonl", "stop"
BEGIN, STATE = "begin.pt", "state.pt"


@dataclass(frozen=True)
class ScriptOrder:
    """What a script shall do. schedule: its serialized form; None: a rehearsal, which ends after a few updates.
    checkpoint_every_s: between two states that it saves; None: nowhere to keep them."""

    schedule: Mapping[str, Any] | None
    seed: int
    total_updates: int | None
    device: str
    checkpoint_every_s: float | None = None


@dataclass
class Folder:
    """The folder of one run. The study writes the order, the state to begin with and the wish to stop; the script its
    reports and its state. What else the script writes there is gone after the run."""

    path: Path
    _read: int = 0

    @classmethod
    def of_environment(cls) -> Folder | None:
        """The folder that this process was started with; None where it was started by hand."""
        given = os.environ.get(VARIABLE)
        return None if given is None else cls(Path(given))

    def write_order(self, order: ScriptOrder) -> None:
        (self.path / ORDER).write_text(json.dumps(asdict(order)))

    def order(self) -> ScriptOrder:
        return ScriptOrder(**json.loads((self.path / ORDER).read_text()))

    def report(self, kind: str, **values: Any) -> None:
        """Add one line."""
        with (self.path / REPORTS).open("a") as file:
            file.write(json.dumps({"kind": kind, **values}) + "\n")

    def told(self) -> str:
        """All reports so far, as text."""
        path = self.path / REPORTS
        return path.read_text() if path.exists() else ""

    def tell_again(self, reports: str) -> None:
        """Add what was told before."""
        with (self.path / REPORTS).open("a") as file:
            file.write(reports)

    def new_reports(self) -> list[dict[str, Any]]:
        """The whole lines that were added since the last call."""
        path = self.path / REPORTS
        if not path.exists():
            return []
        with path.open("rb") as file:
            file.seek(self._read)
            added = file.read()
        whole = added[: added.rfind(b"\n") + 1]
        self._read += len(whole)
        return [json.loads(line) for line in whole.splitlines()]

    def ask_to_stop(self) -> None:
        (self.path / STOP).touch()

    @property
    def is_asked_to_stop(self) -> bool:
        return (self.path / STOP).exists()
