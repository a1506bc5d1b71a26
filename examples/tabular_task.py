"""A task of one's own, complete: how fast diabetes advances, from ten measurements of a patient (scikit-learn).

    schedsearch launch --task examples/tabular_task.py:Diabetes --space quick --trials 24
"""

from collections.abc import Mapping

import torch
from sklearn.datasets import load_diabetes
from torch import Tensor, nn

from schedsearch.task import Batch, Splits, Task, option


class Diabetes(Task):
    """442 patients; disease progression a year later, in standard deviations, from ten measurements."""

    total_updates = 300
    batch_size = 32
    optimizer = "adamw"
    weight_decay = 0.01
    width: int = option(32, "hidden units", at_least=1)

    def model(self) -> nn.Module:
        return nn.Sequential(nn.Linear(10, self.width), nn.ReLU(), nn.Linear(self.width, 1))

    def data(self) -> Splits:
        given, target = load_diabetes(return_X_y=True, scaled=False)
        x, y = torch.tensor(given, dtype=torch.float32), torch.tensor(target, dtype=torch.float32)[:, None]
        rows = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
        train, validation, test = rows[:260], rows[260:350], rows[350:]
        x = (x - x[train].mean(0)) / x[train].std(0)
        y = (y - y[train].mean()) / y[train].std()
        return Splits((x[train], y[train]), (x[validation], y[validation]), (x[test], y[test]))

    def loss(self, output: Tensor, batch: Batch) -> Tensor:
        return nn.functional.mse_loss(output, batch[1])

    def metrics(self, output: Tensor, batch: Batch) -> Mapping[str, Tensor]:
        return {"mean_absolute_error": (output - batch[1]).abs().mean()}
