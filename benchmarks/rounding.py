"""What one rounding is worth: whole runs alone, as one array, as one array in float64, and alone from moved weights.

    OMP_NUM_THREADS=1 python benchmarks/rounding.py

Where training is chaotic, any change of rounding (another number of threads, another machine, an array) grows until the
final loss of a seed is another one; this says how much, task by task. Writes benchmarks/results/rounding.md.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import torch
from machine import about_machine
from torch import nn

from schedsearch.schedule import Cosine, Schedule
from schedsearch.task import Splits, Task, load_task
from schedsearch.training.array import train_array
from schedsearch.training.loop import train
from schedsearch.training.spec import RunSpec

TASKS = ("digits", "mnist1d")
PLACES = (0.2, 0.35, 0.5, 0.65, 0.75, 0.85)
ONE_ROUNDING = 1 + torch.finfo(torch.float32).eps
RESULT = Path(__file__).with_name("results") / "rounding.md"


def scores_alone(task: Task, specs: list[RunSpec]) -> list[float | None]:
    return [train(task, one, lambda measured: None, lambda: False).score for one in specs]


def scores_together(task: Task, specs: list[RunSpec]) -> list[float | None]:
    return [one.score for one in train_array(task, specs, lambda run, measured: None, lambda: False)]


def moved(task: Task) -> Task:
    """The task with every start moved by one rounding."""
    made = task.model

    def model() -> nn.Module:
        module = made()
        with torch.no_grad():
            for one in module.parameters():
                one.mul_(ONE_ROUNDING)
        return module

    task.model = model  # type: ignore[method-assign]
    return task


def doubled(task: Task) -> Task:
    """The task in float64."""
    made, splits = task.model, task.splits
    task.model = lambda: made().double()  # type: ignore[method-assign]
    parts = [
        tuple(one.double() if one.is_floating_point() else one for one in part)
        for part in (splits.train, splits.validation)
    ]
    task.splits = Splits(*parts)
    return task


def difference(other: float | None, score: float | None) -> str:
    return "-" if other is None or score is None else f"{abs(other / score - 1):.1e}"


def rows(name: str) -> list[str]:
    task = load_task(name)
    low, high = task.lr_range()
    lrs = [low * (high / low) ** place for place in PLACES]
    specs = [RunSpec(Schedule(lr, Cosine()), 1, task.total_updates, "cpu", False) for lr in lrs]
    alone, together = scores_alone(task, specs), scores_together(task, specs)
    exact = doubled(load_task(name))
    alone64, together64 = scores_alone(exact, specs), scores_together(exact, specs)
    nudged = scores_alone(moved(task), specs)
    return [
        f"| {name} | {lrs[k]:.3g} | {alone[k]:.4f} | {difference(together[k], alone[k])} "
        f"| {difference(together64[k], alone64[k])} | {difference(nudged[k], alone[k])} |"
        for k in range(len(specs))
    ]


def main() -> None:
    torch.set_num_threads(1)
    lines = [
        "# What one rounding is worth",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}. {about_machine()} Made by `python benchmarks/rounding.py`.",
        "Relative differences of the final validation loss, whole horizon, cosine to 0; float32 unless said.",
        "",
        "| task | base LR | loss of a run alone | in an array | in an array, both in float64 "
        "| alone, its start moved by one rounding |",
        "|---|--:|--:|--:|--:|--:|",
        *(line for name in TASKS for line in rows(name)),
    ]
    RESULT.write_text("\n".join(lines) + "\n")
    print(RESULT.read_text())


if __name__ == "__main__":
    main()
