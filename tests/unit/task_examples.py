"""Small tasks on made data for the tests of the task and training rooms: quick, and each breakable in one place."""

import torch
from torch import nn

from schedsearch.schedule import Constant, Schedule
from schedsearch.task import Splits, Task, option
from schedsearch.training.spec import RunSpec

TOTAL = 40


def rows(count, seed):
    """Points on a noisy plane: x of shape (count, 3), y of shape (count, 1)."""
    drawn = torch.Generator().manual_seed(seed)
    x = torch.randn(count, 3, generator=drawn)
    return x, x @ torch.tensor([[1.0], [-2.0], [0.5]]) + 0.1 * torch.randn(count, 1, generator=drawn)


class Plane(Task):
    """A linear regression that every optimizer solves."""

    total_updates = TOTAL
    batch_size = 8
    optimizer = "sgd"
    scale: float = option(1.0, "of the loss", above=0)

    def model(self):
        return nn.Linear(3, 1)

    def data(self):
        return Splits(rows(50, 1), rows(30, 2), rows(20, 3))

    def loss(self, output, batch):
        return self.scale * nn.functional.mse_loss(output, batch[1])

    def metrics(self, output, batch):
        return {"closeness": 1 / (1 + (output - batch[1]).abs().mean())}


class ScriptedLosses(Plane):
    """The training loss of update t is `script[t]`, whatever the model does; validation is always 1."""

    script: tuple[float, ...] = ()

    def model(self):
        self.seen = 0
        return nn.Linear(3, 1)

    def loss(self, output, batch):
        still = 0 * output.sum()
        if not torch.is_grad_enabled():
            return still + 1
        self.seen += 1
        return still + self.script[self.seen - 1]


def scripted(losses, **options):
    """A task of as many updates as losses."""
    task = ScriptedLosses(total_updates=len(losses), **options)
    task.script = tuple(losses)
    return task


def spec(base_lr=0.05, seed=1, total=TOTAL, decay=None, **other):
    return RunSpec(Schedule(base_lr, decay or Constant()), seed, total, **other)


def never():
    return False


def nothing(measurements):
    """A record that keeps nothing."""
