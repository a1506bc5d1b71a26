"""Try the task in the process that will train it, before any row exists: a broken task costs nothing, and a good one is
loaded and warm when its study begins."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from schedsearch.errors import SchedsearchError
from schedsearch.task import Task, load_task
from schedsearch.training.preflight import examine


def rehearse(reference: str, options: Mapping[str, Any], threads: int | None, answer: Path) -> Task | None:
    """The task, tried and ready to train, or None; its facts, or `{"fault": "one sentence"}`, go to `answer`."""
    if threads is not None:
        torch.set_num_threads(threads)
    task: Task | None = None
    try:
        task = load_task(reference, options)
        found: dict[str, Any] = asdict(examine(task, reference))
    except SchedsearchError as error:
        task, found = None, {"fault": str(error)}
    _write(answer, found)
    return task


def _write(answer: Path, found: Mapping[str, Any]) -> None:
    """Whole or not at all: it is read as soon as it is there."""
    unfinished = answer.with_suffix(".part")
    unfinished.write_text(json.dumps(found))
    unfinished.replace(answer)
