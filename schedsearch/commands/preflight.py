"""Try the task for two updates in a child process before any row exists, so that a broken task costs nothing."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from schedsearch.errors import InvalidTask
from schedsearch.task.facts import TaskFacts

__all__ = ["TaskFacts", "try_task"]


def try_task(reference: str, options: Mapping[str, Any]) -> TaskFacts:
    """Load and try the task in a child. Raises InvalidTask with the child's one sentence."""
    with tempfile.TemporaryDirectory(prefix="schedsearch-") as folder:
        answer = Path(folder) / "facts.json"
        command = [
            sys.executable, "-m", "schedsearch.training", reference,
            "--options", json.dumps(dict(options)), "--answer", str(answer),
        ]  # fmt: skip
        child = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
        if not answer.exists():
            tail = "\n".join(child.stderr.strip().splitlines()[-8:])
            raise InvalidTask(f"Trying the task {reference!r} ended with exit code {child.returncode}:\n{tail}")
        found = json.loads(answer.read_text())
    if "fault" in found:
        raise InvalidTask(found["fault"])
    return TaskFacts(**{**found, "base_lr_range": tuple(found["base_lr_range"]), "devices": tuple(found["devices"])})
