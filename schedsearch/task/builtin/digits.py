"""Handwritten digits of 8 x 8 pixels, from scikit-learn: a smoke test on which good schedules tie."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import torch
from torch import Tensor, nn

from schedsearch.task.builtin.data import accuracy, cut
from schedsearch.task.options import option
from schedsearch.task.splits import Batch, Splits
from schedsearch.task.task import Task


class Digits(Task):
    """1,797 images in 10 classes; a perceptron with one hidden layer and momentum SGD."""

    base_lr_range = (0.003, 1.0)
    total_updates = 400
    width: int = option(48, "hidden units", at_least=1)

    def model(self) -> nn.Module:
        return nn.Sequential(nn.Linear(64, self.width), nn.ReLU(), nn.Linear(self.width, 10))

    def data(self) -> Splits:
        return _digits()

    def loss(self, output: Tensor, batch: Batch) -> Tensor:
        return nn.functional.cross_entropy(output, batch[1])

    def metrics(self, output: Tensor, batch: Batch) -> Mapping[str, Tensor]:
        return {"accuracy": accuracy(output, batch[1])}


@lru_cache(maxsize=1)
def _digits() -> Splits:
    from sklearn.datasets import load_digits  # needed by this task only

    pixels, labels = load_digits(return_X_y=True)
    return cut(torch.tensor(pixels / 16, dtype=torch.float32), torch.tensor(labels), validation=0.25, test=0.2)
