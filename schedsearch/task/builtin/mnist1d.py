"""MNIST-1D: ten digits as noisy, shifted, stretched curves of 40 points, made by mnist1d's own procedure."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import torch
from torch import Tensor, nn

from schedsearch.task.builtin.data import accuracy, cut
from schedsearch.task.options import option
from schedsearch.task.splits import Batch, Splits
from schedsearch.task.task import Task


class Mnist1d(Task):
    """5,000 curves in 10 classes; three convolutions and AdamW. A warm-up makes higher base LRs usable here."""

    base_lr_range = (0.001, 0.2)
    total_updates = 600
    batch_size = 100
    optimizer = "adamw"
    weight_decay = 0.01
    channels: int = option(25, "of every convolution", at_least=1)

    def model(self) -> nn.Module:
        width = self.channels
        return nn.Sequential(
            nn.Conv1d(1, width, 5, stride=2, padding=1), nn.ReLU(),
            nn.Conv1d(width, width, 3, stride=2, padding=1), nn.ReLU(),
            nn.Conv1d(width, width, 3, stride=2, padding=1), nn.ReLU(),
            nn.Flatten(), nn.Linear(5 * width, 10),
        )  # fmt: skip

    def data(self) -> Splits:
        return _mnist1d()

    def loss(self, output: Tensor, batch: Batch) -> Tensor:
        return nn.functional.cross_entropy(output, batch[1])

    def metrics(self, output: Tensor, batch: Batch) -> Mapping[str, Tensor]:
        return {"accuracy": accuracy(output, batch[1])}


@lru_cache(maxsize=1)
def _mnist1d() -> Splits:
    from mnist1d.data import get_dataset_args, make_dataset  # needed by this task only

    made = make_dataset(get_dataset_args())
    curves = torch.tensor(made["x"], dtype=torch.float32)[:, None]
    fitted = cut(curves, torch.tensor(made["y"]), validation=0.2, test=0.0)
    test = torch.tensor(made["x_test"], dtype=torch.float32)[:, None], torch.tensor(made["y_test"])
    return Splits(fitted.train, fitted.validation, test)
