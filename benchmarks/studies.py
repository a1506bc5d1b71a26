"""The main job on the built-in tasks: whole studies, and what they concluded.

    python benchmarks/studies.py [--tasks charlm mnist1d digits] [--trials 48] [--seed 0] [--folder FOLDER]

Launches one study a task with the default space and writes each command's own output to
benchmarks/results/studies.md. Takes ten minutes to an hour and a half on two cores. The folder (a temporary one unless
named) keeps the databases, so that a run that was interrupted goes on.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

SCHEDSEARCH = Path(sys.executable).with_name("schedsearch")
RESULTS = Path(__file__).parent / "results" / "studies.md"
VERSIONS = ("schedsearch", "torch", "optuna", "botorch")


def study(task: str, trials: int, seed: int, folder: Path) -> str:
    """What `launch` printed for this task; a study that was begun in `folder` goes on."""
    name = f"{task}-{trials}-{seed}"
    fresh = ["--task", task, "--study", name, "--trials", str(trials), "--seed", str(seed)]
    begun = ["--resume", name] if known(name, folder) else fresh
    command = [SCHEDSEARCH, "launch", *begun, "--mlflow", "none"]
    done = subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE, text=True)
    return f"## {task}\n\n    $ schedsearch launch {' '.join(fresh)} --mlflow none\n" + "".join(
        f"    {line}\n" if line else "\n" for line in done.stdout.splitlines()
    )


def known(name: str, folder: Path) -> bool:
    """Whether a study of this name was begun in the folder."""
    if not (folder / "schedsearch.db").exists():
        return False
    command = [SCHEDSEARCH, "studies", "--json"]
    listed = subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE, text=True)
    return f'"name": "{name}"' in listed.stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", nargs="+", default=["charlm", "mnist1d", "digits"])
    parser.add_argument("--trials", type=int, default=48)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=None)
    given = parser.parse_args()
    folder = given.folder or Path(tempfile.mkdtemp(prefix="schedsearch-studies-"))
    folder.mkdir(parents=True, exist_ok=True)
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in VERSIONS)
    head = (
        "# Whole studies on the built-in tasks\n\n"
        f"Written by `python benchmarks/studies.py` on {datetime.now(UTC):%Y-%m-%d}: {os.cpu_count()} cores, "
        f"Python {platform.python_version()}, {versions}; space `framework`, {given.trials} candidates, "
        f"study seed {given.seed}.\n\n"
    )
    texts = [study(task, given.trials, given.seed, folder) for task in given.tasks]
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(head + "\n".join(texts))
    print(RESULTS.read_text())


if __name__ == "__main__":
    main()
