"""The service's own cost: how much of a study's wall time is not training.

    python benchmarks/overhead.py [--runs 200] [--seconds 1.0] [--workers 2] [--mlflow]

Runs `schedsearch launch` on the digits task with a horizon chosen so that one run takes about `--seconds`, and compares
the wall time of the whole command, from the shell's prompt to the next (interpreter starts, preflight, asks, race,
verdict, report, export), with the time that its workers spent training. cost = 1 - training / (workers x wall).
Results go to stdout as Markdown; the machine is shared, so read the share, not the seconds.
"""

from __future__ import annotations

import argparse
import os
import platform
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

SCHEDSEARCH = Path(sys.executable).with_name("schedsearch")
PROBE_UPDATES = 3000


def launch(folder: Path, *arguments: str) -> float:
    """Wall seconds of one `launch`."""
    started = time.perf_counter()
    subprocess.run(
        [SCHEDSEARCH, "launch", "--task", "digits", "--space", "quick", *arguments],
        cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    return time.perf_counter() - started


def trained(folder: Path) -> tuple[int, float]:
    """How many runs were trained, and their seconds together."""
    with closing(sqlite3.connect(folder / "schedsearch.db")) as connection:
        count, seconds = connection.execute("select count(*), sum(duration_s) from schedsearch_run").fetchone()
    return int(count), float(seconds)


def horizon(seconds: float, workers: int) -> int:
    """Updates of a run that takes about so long while `workers` train side by side."""
    fixed = ("--total-updates", str(PROBE_UPDATES))
    with tempfile.TemporaryDirectory() as folder:
        launch(Path(folder), "--trials", "4", "--mlflow", "none", "--workers", str(workers), *fixed)
        count, total = trained(Path(folder))
    return max(20, round(PROBE_UPDATES * seconds * count / total))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--mlflow", action="store_true", help="mirror to MLflow (an SQLite file) as well")
    given = parser.parse_args()
    updates = horizon(given.seconds, given.workers)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        budget = ("--updates", str(given.runs * updates), "--total-updates", str(updates))
        mlflow = () if given.mlflow else ("--mlflow", "none")
        wall = launch(folder, *budget, "--workers", str(given.workers), *mlflow)
        count, seconds = trained(folder)
    print(f"\n{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {os.cpu_count()} cores, Python {platform.python_version()}\n")
    print("| MLflow | workers | runs | updates a run | s a run | training, s | wall, s | cost |")
    print("|---|--:|--:|--:|--:|--:|--:|--:|")
    share = 1 - seconds / (given.workers * wall)
    print(
        f"| {'yes' if given.mlflow else 'no'} | {given.workers} | {count} | {updates} | {seconds / count:.2f} "
        f"| {seconds:.0f} | {wall:.0f} | {share:.1%} |"
    )


if __name__ == "__main__":
    main()
