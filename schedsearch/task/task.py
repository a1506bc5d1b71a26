"""What a user brings: a class with a model, data and a loss. Imports torch only when a task is used."""

from __future__ import annotations

import hashlib
import inspect
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from schedsearch.errors import InvalidTask
from schedsearch.task.options import declared_options, option, read_options
from schedsearch.task.sources import imported_files
from schedsearch.task.splits import Batch, Splits

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

PRECISIONS = ("float32", "bfloat16")
OPTIMIZERS = ("sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamw")
USUAL_BASE_LRS = {
    "sgd": (1e-2, 3.0),
    "momentum": (1e-3, 1.0),
    "nesterov": (1e-3, 1.0),
    "adagrad": (1e-3, 1.0),
    "rmsprop": (1e-4, 1e-1),
    "adam": (1e-4, 1e-1),
    "adamw": (1e-4, 1e-1),
}


class Task(ABC):
    """One training task. Subclass it, say what is trained on what, and hand it to `schedsearch launch --task`.

    A whole task, launched with `--task diabetes.py:Diabetes`:

        import torch
        from sklearn.datasets import load_diabetes
        from torch import nn
        from schedsearch.task import Splits, Task, option

        class Diabetes(Task):
            total_updates = 300
            batch_size = 32
            optimizer = "adamw"
            width: int = option(32, "hidden units", at_least=1)

            def model(self):
                return nn.Sequential(nn.Linear(10, self.width), nn.ReLU(), nn.Linear(self.width, 1))

            def data(self):
                x, y = (torch.tensor(one, dtype=torch.float32) for one in load_diabetes(return_X_y=True))
                x, y = x / x.std(0), (y[:, None] - y.mean()) / y.std()
                rows = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
                return Splits(*((x[part], y[part]) for part in rows.split([262, 90, 90])))

            def loss(self, output, batch):
                return nn.functional.mse_loss(output, batch[1])

            def metrics(self, output, batch):
                return {"mean_absolute_error": (output - batch[1]).abs().mean()}

    Options are declared in the class body with `option(...)` and read as attributes; a plain value gives an inherited
    option another default (as `batch_size = 32` above). Users set them with `--task-option width=64`.

    metric, direction: what a run is scored by at the end of its horizon: "loss", or a key of what `metrics` returns,
    and whether less is better ("minimize") or more ("maximize"). base_lr_range: where to look for the base LR with the
    task's own optimizer; None: what is usual for the optimizer. Raises InvalidTask listing every bad option.
    """

    metric: ClassVar[str] = "loss"
    direction: ClassVar[str] = "minimize"
    base_lr_range: ClassVar[tuple[float, float] | None] = None

    total_updates: int = option(400, "horizon: optimizer updates of one run", at_least=2)
    batch_size: int = option(64, "examples an update, for data in memory", at_least=1)
    optimizer: str = option("momentum", "what takes the steps", choices=OPTIMIZERS)
    momentum: float = option(0.9, "of `momentum` and `nesterov`", above=0, below=1)
    weight_decay: float = option(0.0, "decoupled in `adamw`, an L2 term elsewhere", at_least=0)
    clip_grad_norm: float | None = option(None, "largest norm of the gradient", kind=float, above=0)
    precision: str = option("float32", "of the model and the loss; bfloat16: by torch's autocast", choices=PRECISIONS)

    def __init__(self, **options: Any) -> None:
        values, faults = read_options(self.name, declared_options(type(self)), options)
        if faults:
            raise InvalidTask(faults)
        self.options: Mapping[str, Any] = values
        for name, value in values.items():
            setattr(self, name, value)
        self._on_device: dict[str, Splits] = {}

    # ---- what a task says

    @abstractmethod
    def model(self) -> nn.Module:
        """A new model, on the CPU; its random start follows from the run's seed."""

    @abstractmethod
    def data(self) -> Splits:
        """The three splits, the same at every call: a split has a seed of its own."""

    @abstractmethod
    def loss(self, output: Any, batch: Batch) -> Tensor:
        """The mean loss of a batch, a scalar tensor; the same in training and in validation."""

    def metrics(self, output: Any, batch: Batch) -> Mapping[str, Tensor | float]:
        """Further numbers of a validation batch, each a mean over its examples. None by default."""
        return {}

    def forward(self, model: nn.Module, batch: Batch) -> Any:
        """What `loss` and `metrics` look at: by default the model's answer to the batch's first part."""
        return model(batch[0])

    def make_optimizer(self, model: nn.Module) -> torch.optim.Optimizer:
        """The optimizer of a new model, by the option `optimizer`. Groups keep their LR's ratio to the first's."""
        from schedsearch.task.optimizers import named_optimizer  # torch costs seconds to import

        return named_optimizer(
            self.optimizer, model.parameters(), momentum=self.momentum, weight_decay=self.weight_decay
        )

    # ---- what follows from it

    def autocast(self, device: torch.device) -> AbstractContextManager[Any]:
        """In which model, loss and metrics are asked. With `precision` = bfloat16 torch computes in it what loses
        little by that; parameters, gradients and optimizer stay float32, so that no loss needs to be scaled."""
        import torch

        lower = self.precision == "bfloat16"
        return torch.autocast(device.type, torch.bfloat16, cache_enabled=False) if lower else nullcontext()

    @property
    def name(self) -> str:
        """The class name in lower case."""
        return type(self).__name__.lower()

    @cached_property
    def splits(self) -> Splits:
        """The data, loaded and checked once. Raises InvalidTask where it is empty or of unequal lengths."""
        from schedsearch.task.randomness import kept
        from schedsearch.task.tensors import checked

        with kept():
            return checked(self.data())

    def splits_on(self, device: torch.device) -> Splits:
        """The data with what is in memory on the device; copied once a process."""
        from schedsearch.task.tensors import moved

        if str(device) not in self._on_device:
            self._on_device[str(device)] = moved(self.splits, device)
        return self._on_device[str(device)]

    @property
    def updates_per_epoch(self) -> int:
        """Updates in one pass over the training data, at least 1; a last batch that is not full is left out."""
        from schedsearch.task.tensors import updates_per_epoch

        return updates_per_epoch(self.splits.train, self.batch_size)

    def lr_range(self) -> tuple[float, float]:
        """(low, high) of the base LR: the task's own for its own optimizer, the usual one for another."""
        own = declared_options(type(self))["optimizer"].default
        if self.base_lr_range is not None and self.optimizer == own:
            return self.base_lr_range
        return USUAL_BASE_LRS[self.optimizer]

    def fingerprint(self) -> str:
        """sha256 over the task's source files, what these import that is not installed, its options and the
        content of its data, in hexadecimal."""
        from schedsearch.task.tensors import content_digest

        digest = hashlib.sha256()
        for cls in type(self).__mro__:
            if cls is Task:
                break
            source = Path(inspect.getfile(cls))
            digest.update(source.read_bytes())
            digest.update(b"".join(one.read_bytes() for one in imported_files(source)))
        digest.update(json.dumps(dict(self.options), sort_keys=True).encode())
        digest.update(content_digest(self.splits).encode())
        return digest.hexdigest()
