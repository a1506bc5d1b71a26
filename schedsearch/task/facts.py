"""What a study must know of its task: found by the child that tries it, read by `launch`. Never imports torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TaskFacts:
    """What the child found. parameters: those that are trained. Times in seconds, on the first of the devices."""

    name: str
    metric: str
    direction: str
    optimizer: str
    batch_size: int
    total_updates: int
    updates_per_epoch: int
    base_lr_range: tuple[float, float]
    fingerprint: str
    parameters: int
    seconds_per_update: float
    seconds_per_evaluation: float
    devices: tuple[str, ...]
