"""The optimizers a task can ask for by name, each a real `torch.optim` class."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import nn
from torch.optim import SGD, Adagrad, Adam, AdamW, Optimizer, RMSprop


def named_optimizer(
    name: str, parameters: Iterable[nn.Parameter], *, momentum: float, weight_decay: float
) -> Optimizer:
    """An optimizer at LR 1; the schedule sets the LR of every update.

    momentum: of `momentum` and `nesterov` only. weight_decay: decoupled in `adamw`, added to the gradient elsewhere.
    """
    common: dict[str, Any] = {"lr": 1.0, "weight_decay": weight_decay}
    match name:
        case "sgd":
            return SGD(parameters, **common)
        case "momentum" | "nesterov":
            return SGD(parameters, **common, momentum=momentum, nesterov=name == "nesterov")
        case "adagrad":
            return Adagrad(parameters, **common)
        case "rmsprop":
            return RMSprop(parameters, **common)
        case "adam":
            return Adam(parameters, **common)
        case "adamw":
            return AdamW(parameters, **common)
        case _:
            raise ValueError(f"No optimizer is called {name!r}.")
