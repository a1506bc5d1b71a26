"""Splits of the built-in tasks: fixed by a seed of their own, which no run's seed touches."""

from __future__ import annotations

import torch
from torch import Tensor

from schedsearch.task.splits import Splits

SPLIT_SEED = 20_240_229


def shuffled(examples: int) -> Tensor:
    """The rows 0 .. examples-1 in the order that every split of a built-in task is cut from."""
    return torch.randperm(examples, generator=torch.Generator().manual_seed(SPLIT_SEED))


def cut(x: Tensor, y: Tensor, validation: float, test: float) -> Splits:
    """Disjoint splits of the rows; validation and test are fractions of all of them."""
    held_out, scored = round(test * len(x)), round(validation * len(x))
    rows = shuffled(len(x))
    train, rest = rows[: len(x) - scored - held_out], rows[len(x) - scored - held_out :]
    return Splits(*((x[one], y[one]) for one in (train, rest[:scored], rest[scored:])))


def accuracy(output: Tensor, labels: Tensor) -> Tensor:
    """The share of examples whose largest logit is the label's, in [0, 1]."""
    return (output.argmax(-1) == labels).float().mean()
