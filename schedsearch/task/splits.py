"""The data of a task: three splits, each in memory or as an iterable of batches. Never imports torch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from torch import Tensor

Tensors: TypeAlias = "tuple[Tensor, ...]"
"""A split in memory: one row an example in every tensor."""

Batch: TypeAlias = Any
"""A tuple of tensors from splits in memory; whatever the user's own iterable yields otherwise."""


@dataclass(frozen=True)
class Splits:
    """What a task trains on, is scored on, and is confirmed on.

    Each split is either a tuple of tensors with one row an example (in memory: batches of the task's `batch_size` are
    drawn from it, every epoch in a new order that the run's seed decides) or any iterable of batches that can be walked
    again and again, such as a DataLoader. The test split is optional and is never looked at before the confirmation.
    """

    train: Tensors | Iterable[Batch]
    validation: Tensors | Iterable[Batch]
    test: Tensors | Iterable[Batch] | None = None

    def items(self) -> list[tuple[str, Tensors | Iterable[Batch]]]:
        """The splits that are there, with their names."""
        named = [("train", self.train), ("validation", self.validation)]
        return named if self.test is None else [*named, ("test", self.test)]
