"""What training together is worth: runs a second of arrays over those of single runs, for every built-in task and size.

    OMP_NUM_THREADS=1 python benchmarks/arrays.py [--turns 3]

In every turn, for every size in turn, two runs are trained one by one and an array is trained right beside them, by
`training.loop.train` and `training.array.train_array`: guard and looks at validation included. Both are measured in
seconds of this process's own processor time, with one thread, because other work runs on the machine; a ratio is of
one turn. Horizons are shorter than the tasks' own and the validation data is thinned by as much, so that looks weigh as
in a study, and only the guard weighs more. Writes benchmarks/results/arrays.md.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import torch
from machine import about_machine

from schedsearch.schedule import Cosine, Schedule, Warmup
from schedsearch.task import Splits, Task, load_task
from schedsearch.training.array import train_array
from schedsearch.training.array_size import LADDER, fastest_size
from schedsearch.training.loop import train
from schedsearch.training.spec import RunSpec

HORIZONS = {"digits": 400, "mnist1d": 120, "mnist5k": 100, "charlm": 30}
SINGLES = 2
RESULT = Path(__file__).with_name("results") / "arrays.md"


@dataclass(frozen=True)
class Gain:
    """Runs a second of an array over those of single runs, one of each turn; difference: of the final validation loss,
    relative, the largest over the runs that were trained both ways."""

    task: str
    size: int
    mixed_seeds: bool
    ratios: tuple[float, ...]
    single_s: float
    difference: float


def shortened(name: str, updates: int) -> Task:
    """The task with a horizon of its own and as much of the validation data as that is of the usual one."""
    task = load_task(name, {"total_updates": updates})
    every = load_task(name).total_updates // updates
    task.splits = Splits(task.splits.train, tuple(one[::every] for one in task.splits.validation))
    return task


def specs(task: Task, size: int, mixed_seeds: bool) -> list[RunSpec]:
    """Runs of a cosine over the lower half of the task's base LRs, so that none diverges."""
    low, high = task.lr_range()
    top = math.sqrt(low * high)
    lrs = [low * (top / low) ** (k / max(1, size - 1)) for k in range(size)]
    shape = Warmup("linear", 0.1, 0.1)
    seeds = range(size) if mixed_seeds else [0] * size
    return [
        RunSpec(Schedule(lr, Cosine(), shape), seed, task.total_updates) for lr, seed in zip(lrs, seeds, strict=True)
    ]


def seconds(action: Callable[[], object]) -> float:
    """Of processor time."""
    started = time.process_time()
    action()
    return time.process_time() - started


def gain(task: Task, size: int, mixed_seeds: bool, turns: int) -> Gain:
    runs = specs(task, size, mixed_seeds)
    ratios, singles, differences = [], [], []
    for _ in range(turns):
        alone: list[float] = []
        together: list[float] = []

        def one_by_one(found: list[float] = alone) -> None:
            found.extend(train(task, one, lambda _: None, lambda: False).score or math.nan for one in runs[:SINGLES])

        def as_one(found: list[float] = together) -> None:
            found.extend(one.score or math.nan for one in train_array(task, runs, lambda *_: None, lambda: False))

        single, array = seconds(one_by_one) / SINGLES, seconds(as_one) / size
        ratios.append(single / array)
        singles.append(single)
        differences += [abs(a / b - 1) for a, b in zip(together, alone, strict=False)]
    return Gain(task.name, size, mixed_seeds, tuple(ratios), median(singles), max(differences))


def line(one: Gain) -> str:
    seeds = "each its own" if one.mixed_seeds else "one"
    spread = f"{min(one.ratios):.2f} .. {max(one.ratios):.2f}"
    numbers = f"{median(one.ratios):.2f} | {spread} | {one.single_s:.2f} s | {one.difference:.1e}"
    return f"| {one.task} | {one.size} | {seeds} | {numbers} |"


def chosen(name: str) -> str:
    task = load_task(name)
    found = fastest_size(task, [0] * LADDER[-1], task.total_updates, torch.device("cpu"))
    steps = ", ".join(f"{one.size}: {one.gain:.2f}" for one in found.steps if one.gain is not None)
    return f"| {name} | {found.size} | {steps} | {found.steps[-1].memory_bytes / 1e6:.0f} MB |"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--turns", type=int, default=3)
    turns = parser.parse_args().turns
    torch.set_num_threads(1)
    lines = [
        "# What training together is worth",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}. {about_machine()} One thread; other work ran on the machine.",
        "",
        "Runs a second of processor time of an array over those of single runs, guard and looks included: median and",
        f"range of {turns} turns, by `python benchmarks/arrays.py`. Above 1 the array is quicker. The last column is",
        f"how far the final validation losses of the first {SINGLES} runs are apart, trained alone and together.",
        "Updates a run: " + ", ".join(f"{updates} ({name})" for name, updates in HORIZONS.items()) + ".",
        "",
        "| task | runs together | seeds | gain | range | a run alone | difference |",
        "|---|---|---|---|---|---|---|",
    ]
    for task in (shortened(name, updates) for name, updates in HORIZONS.items()):
        gain(task, 2, False, 1)  # imports and loads
        for mixed_seeds in (False, True):
            for size in LADDER if not mixed_seeds else LADDER[1:3]:
                lines.append(line(gain(task, size, mixed_seeds, turns)))
                print(lines[-1], flush=True)
    lines += [
        "",
        "What `fastest_size` chooses at the tasks' own horizons, and the gains that it measured on the way:",
        "",
    ]
    lines += ["| task | chosen | gains | memory predicted for the largest timed |", "|---|---|---|---|"]
    for name in HORIZONS:
        lines.append(chosen(name))
        print(lines[-1], flush=True)
    RESULT.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
