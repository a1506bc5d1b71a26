"""What a run is asked for and what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from schedsearch.schedule import Schedule


@dataclass(frozen=True)
class RunSpec:
    """One training of one schedule. seed: initialisation and data order. with_test: score the test split too."""

    schedule: Schedule
    seed: int
    total_updates: int
    device: str = "cpu"
    with_test: bool = False


@dataclass(frozen=True)
class Measurement:
    """After update number `update` (from 0): the LR it used, the mean training loss since the one before, validation.

    Every number is finite; a loss that was not is None, a metric that was not is left out.
    """

    update: int
    lr: float
    train_loss: float | None
    val_loss: float | None
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    score: the task's metric on the validation split at the end of the full horizon, finite; None where it diverged.
    initial_loss: training loss of update 0. diverged_at: the update (from 0) whose loss was not finite, or the first of
    the stretch in which it stayed far above its start. updates_done: optimizer updates, the last one included.
    duration_s: of training and evaluating, without the loading of the data that the process does once.
    """

    status: Literal["completed", "diverged"]
    score: float | None
    test_score: float | None
    updates_done: int
    initial_loss: float | None
    diverged_at: int | None
    reason: str | None
    duration_s: float
