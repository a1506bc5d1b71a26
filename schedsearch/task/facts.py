"""What a study must know of its task: found by the child that tries it, read by `launch`. Never imports torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class TaskFacts:
    """What the child found. parameters: those that are trained. Times in seconds, on the first of the devices;
    seconds_to_start: of every run, where each is a script that is started anew."""

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
    seconds_to_start: float = 0.0

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TaskFacts:
        """What a child wrote as JSON, where tuples are lists."""
        pairs = {name: tuple(values[name]) for name in ("base_lr_range", "devices")}
        return cls(**{**values, **pairs})
