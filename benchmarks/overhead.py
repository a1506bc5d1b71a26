"""The service's own cost: how much of a study's wall time the same runs do not need without it.

    python benchmarks/overhead.py [--runs 200] [--seconds 1.0] [--workers 2] [--task digits] [--mlflow] [--repeats 3]

Runs `schedsearch launch` with a horizon chosen so that one run takes about `--seconds`, timed from the shell's prompt
to the next: interpreters, preflight, asks, race, verdict, report, export. Then the runs that it trained, the same
schedules, seeds, updates and evaluations, are trained again by `--workers` bare processes, each a loop over its share
without store, search or any other service: import torch, load the data, train one run after the other, end.

    cost = 1 - bare wall / wall of the study
    outside = 1 - seconds in training runs / (workers x wall of the study), in which starting torch counts as service

Both are timed in one call, in turn `--repeats` times, and a row is printed for each turn and for all; the machine is
shared, so read the shares, not the seconds.
"""

from __future__ import annotations

import argparse
import json
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
from typing import NamedTuple

SCHEDSEARCH = Path(sys.executable).with_name("schedsearch")
PROBE_UPDATES = 1000
RUNS = """
    select schedule, run.seed, run.total_updates, run.phase, study.task, study.task_options
    from schedsearch_run as run join schedsearch_candidate as candidate on candidate.id = run.candidate_id
    join schedsearch_study as study on study.id = run.study_id order by run.id
"""


def launch(folder: Path, task: str, *arguments: str) -> float:
    """Wall seconds of one `launch`."""
    started = time.perf_counter()
    subprocess.run(
        [SCHEDSEARCH, "launch", "--task", task, "--space", "quick", "--no-arrays", *arguments],
        cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    return time.perf_counter() - started


def trained(folder: Path) -> tuple[int, float]:
    """How many runs were trained, and their seconds together."""
    with closing(sqlite3.connect(folder / "schedsearch.db")) as connection:
        count, seconds = connection.execute("select count(*), sum(duration_s) from schedsearch_run").fetchone()
    return int(count), float(seconds)


def train_share(folder: Path, index: int, workers: int) -> None:
    """What one bare process does: every `workers`-th run of the study, from number `index` on."""
    import torch

    from schedsearch import Schedule
    from schedsearch.task import load_task
    from schedsearch.training.loop import train
    from schedsearch.training.spec import RunSpec

    torch.set_num_threads(max(1, (os.cpu_count() or 1) // workers))
    with closing(sqlite3.connect(folder / "schedsearch.db")) as connection:
        runs = connection.execute(RUNS).fetchall()
    task = load_task(runs[0][4], json.loads(runs[0][5]))
    for schedule, seed, updates, phase, *_ in runs[index::workers]:
        given = Schedule.from_dict(json.loads(schedule))
        train(task, RunSpec(given, seed, updates, with_test=phase == "confirm"), lambda _: None, lambda: False)


def bare(folder: Path, workers: int) -> float:
    """Wall seconds of the study's runs, trained by bare processes side by side."""
    started = time.perf_counter()
    command = [sys.executable, __file__, "--workers", str(workers), "--share", str(folder)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // workers))}
    shares = [subprocess.Popen([*command, str(index)], env=environment) for index in range(workers)]
    if sum(one.wait() for one in shares):
        raise SystemExit("A bare process failed.")
    return time.perf_counter() - started


def horizon(task: str, seconds: float, workers: int) -> int:
    """Updates of a run that takes about so long while `workers` train side by side."""
    fixed = ("--total-updates", str(PROBE_UPDATES))
    with tempfile.TemporaryDirectory() as folder:
        launch(Path(folder), task, "--trials", "4", "--mlflow", "none", "--workers", str(workers), *fixed)
        count, total = trained(Path(folder))
    return max(20, round(PROBE_UPDATES * seconds * count / total))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--task", default="digits")
    parser.add_argument("--mlflow", action="store_true", help="mirror to MLflow (an SQLite file) as well")
    parser.add_argument("--keep", type=Path, help="leave the last study in this folder")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--share", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.share:
        train_share(Path(given.share[0]), int(given.share[1]), given.workers)
        return
    updates = horizon(given.task, given.seconds, given.workers)
    print(f"\n{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {os.cpu_count()} cores, Python {platform.python_version()}\n")
    print("| task | MLflow | workers | runs | updates a run | s a run | wall, s | bare wall, s | cost | outside |")
    print("|---|---|--:|--:|--:|--:|--:|--:|--:|--:|", flush=True)
    turns = [one_turn(given, updates) for _ in range(given.repeats)]
    if len(turns) > 1:
        print(row(given, updates, Turn(*(sum(values) for values in zip(*turns, strict=True)))))


class Turn(NamedTuple):
    """A study and the same runs in bare processes. seconds: in training runs; wall, bare_wall: from start to end."""

    count: int
    seconds: float
    wall: float
    bare_wall: float


def one_turn(given: argparse.Namespace, updates: int) -> Turn:
    """Run both and print their row."""
    with tempfile.TemporaryDirectory() as name:
        folder = given.keep or Path(name)
        for old in folder.glob("schedsearch.db*"):
            old.unlink()
        budget = ("--updates", str(given.runs * updates), "--total-updates", str(updates))
        mlflow = () if given.mlflow else ("--mlflow", "none")
        wall = launch(folder, given.task, *budget, "--workers", str(given.workers), *mlflow)
        turn = Turn(*trained(folder), wall, bare(folder, given.workers))
    print(row(given, updates, turn), flush=True)
    return turn


def row(given: argparse.Namespace, updates: int, turn: Turn) -> str:
    """A row of the table."""
    outside = 1 - turn.seconds / (given.workers * turn.wall)
    return (
        f"| {given.task} | {'yes' if given.mlflow else 'no'} | {given.workers} | {turn.count} | {updates} "
        f"| {turn.seconds / turn.count:.2f} | {turn.wall:.0f} | {turn.bare_wall:.0f} "
        f"| {1 - turn.bare_wall / turn.wall:.1%} | {outside:.1%} |"
    )


if __name__ == "__main__":
    main()
