"""`init`: a task of one's own that trains as it is written, and a study file beside it, to be made one's own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from string import Template

from schedsearch.errors import InvalidInput

TASK = Template('''"""$name: a task for schedsearch. It trains as it is, on made-up data: put your own in.

    schedsearch check $file:$name     # what it is, what a study costs, whether it repeats itself
    schedsearch launch study.yaml
"""

import torch
from torch import Tensor, nn

from schedsearch.task import Batch, Splits, Task, option


class $name(Task):
    """What it learns, in one line."""

    total_updates = $updates  # optimizer updates of one run: the horizon that the schedule is for
    batch_size = 64
    optimizer = "$optimizer"  # or write make_optimizer(self, model)
    width: int = option(64, "hidden units", at_least=1)  # an option: --task-option width=128

    def data(self) -> Splits:
        """(inputs, targets) of training, validation and test; DataLoaders or Datasets will do as well. Never draw from
        the global generator here: every run of a study sees the same data."""
        draws = torch.Generator().manual_seed(0)
        x = torch.randn(3000, 20, generator=draws)
$target
        return Splits((x[:2000], y[:2000]), (x[2000:2500], y[2000:2500]), (x[2500:], y[2500:]))

    def model(self) -> nn.Module:
        """A fresh model; the run's seed decides its initialisation."""
        return nn.Sequential(nn.Linear(20, self.width), nn.ReLU(), nn.Linear(self.width, $outputs))

    def loss(self, output: Tensor, batch: Batch) -> Tensor:
        """The training loss of a batch, a scalar; `batch` is one of data()'s, inputs first."""
        return nn.functional.$loss(output, batch[1])
''')
TARGETS = {
    "classification": "        y = (x[:, :4].sin().sum(1) > 0).long()",
    "regression": "        y = x[:, :4].sin().sum(1, keepdim=True)",
}
LOSSES = {"classification": ("cross_entropy", 2), "regression": ("mse_loss", 1)}
STUDY = Template('''# schedsearch launch study.yaml   (every key is an option of `launch`; a flag goes before it)
task: $file:$name
space: quick          # a first look; `framework` asks all three questions (see `schedsearch spaces`)
trials: 24            # or updates: / hours: -- one budget, never overshot
# base_lr: [0.001, 1.0]
# resolution: 0.01    # the smallest difference that must show; the measured noise decides the seeds
# incumbent: mine.json
''')


@dataclass(frozen=True)
class Begun:
    """The files that were written."""

    task: Path
    study: Path


def init(folder: Path, *, name: str, kind: str, optimizer: str, updates: int) -> Begun:
    """Write a task and a study file into `folder`. Raises InvalidInput where one is there already; nothing is written
    then."""
    if not (name.isidentifier() and name[:1].isupper()):
        raise InvalidInput(f"`name` must be a class name such as MyTask, but is {name!r} instead.")
    snake = "".join(f"_{one.lower()}" if one.isupper() else one for one in name).strip("_")
    begun = Begun(folder / f"{snake}.py", folder / "study.yaml")
    there = [str(path) for path in (begun.task, begun.study) if path.exists()]
    if there:
        raise InvalidInput(f"{' and '.join(there)} would be overwritten; choose another folder or name.")
    loss, outputs = LOSSES[kind]
    values = {
        "name": name,
        "file": begun.task.name,
        "updates": updates,
        "optimizer": optimizer,
        "target": TARGETS[kind],
        "loss": loss,
        "outputs": outputs,
    }
    folder.mkdir(parents=True, exist_ok=True)
    begun.task.write_text(TASK.substitute(values))
    begun.study.write_text(STUDY.substitute(values))
    return begun
