"""What a study must know of its task: found by the child that tries it, read by `launch`. Never imports torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Together:
    """How many runs are quicker as one batched model than one by one: from `fewest` to `most` of one seed, and likewise
    of several seeds (`mixed`); `most` = 1: none. gain: at `most` of one seed, runs a second over those of single runs.
    reason: why no runs can be trained together, if that is so."""

    fewest: int = 1
    most: int = 1
    mixed_fewest: int = 1
    mixed_most: int = 1
    gain: float = 1.0
    reason: str | None = None

    def of(self, waiting: int, *, mixed: bool) -> int:
        """How many of these waiting runs to train together; 1: better one by one."""
        fewest, most = (self.mixed_fewest, self.mixed_most) if mixed else (self.fewest, self.most)
        return min(waiting, most) if waiting >= fewest else 1


@dataclass(frozen=True)
class TaskFacts:
    """What the child found. parameters: those that are trained. Times in seconds, on the first of the devices;
    seconds_to_start: of every run, where each is a script that is started anew. together: on that device."""

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
    together: Together = Together()

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TaskFacts:
        """What a child wrote as JSON, where tuples are lists."""
        pairs = {name: tuple(values[name]) for name in ("base_lr_range", "devices")}
        return cls(**{**values, **pairs, "together": Together(**values["together"])})
