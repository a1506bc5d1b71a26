"""The installed command, run as a user runs it: in a folder of their own, with its output kept."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

SCHEDSEARCH = Path(sys.executable).with_name("schedsearch")
QUIET = {key: value for key, value in os.environ.items() if not key.startswith(("SCHEDSEARCH_", "MLFLOW_"))}
SMALL = ("--task", "digits", "--space", "quick", "--total-updates", "40", "--noise-seeds", "2", "--confirm-seeds", "2")

ONE_WORKER = ("--workers", "1")  # each more imports torch twice, which costs more than the runs of a small study
ONE_DECAY = """
name: one
title: one decay
description: One decay, so that a study is short.
warmup:
  kinds: [none]
decay:
  linear:
    final_factor: {low: 0.001, high: 0.2}
restarts:
  choices: [single]
baselines:
  constant:
    decay: {kind: constant}
"""


@dataclass(frozen=True)
class Done:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str


def environment(**more: str) -> dict[str, str]:
    """This process's environment without anything that would steer the command, and `more`."""
    return {**QUIET, "COLUMNS": "200", **more}


def schedsearch(*arguments: str | Path, cwd: Path, timeout: float = 240, **more: str) -> Done:
    """Run the command to its end."""
    done = subprocess.run(
        [SCHEDSEARCH, *map(str, arguments)],
        cwd=cwd,
        env=environment(**more),
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
    )
    return Done(done.returncode, done.stdout, done.stderr)
