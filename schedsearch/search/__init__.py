"""The search of a study: one model over learning-rate curves, the Optuna sampler on it, champions, the plan.

The only door to Optuna and BoTorch. Nothing heavy is imported until it is used: Optuna with the sampler or the
history, torch and BoTorch with the first fit of a model.
"""

from importlib import import_module
from typing import Any

_HOMES = {
    "Champion": "champions",
    "CurveModel": "model",
    "CurveSampler": "sampler",
    "FreeShape": "freeform",
    "Observation": "model",
    "Prediction": "model",
    "Tried": "champions",
    "best_base_lr": "champions",
    "best_free_shapes": "freeform",
    "name_champions": "champions",
    "updates_to_train": "cost",
}

__all__ = [
    "Champion",
    "CurveModel",
    "CurveSampler",
    "FreeShape",
    "Observation",
    "Prediction",
    "Tried",
    "best_base_lr",
    "best_free_shapes",
    "name_champions",
    "updates_to_train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
