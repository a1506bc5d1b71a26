"""The devices of this machine, by torch's names."""

from __future__ import annotations

import torch

from schedsearch.errors import InvalidInput


def default_devices() -> list[str]:
    """Every CUDA device as `cuda:0`, `cuda:1`, ...; `cpu` where there is none."""
    return [f"cuda:{index}" for index in range(torch.cuda.device_count())] or ["cpu"]


def find_device(name: str) -> torch.device:
    """The device of that name (`cpu`, `cuda`, `cuda:1`). Raises InvalidInput where this machine has none such."""
    valid = sorted({"cpu", *default_devices()})
    indexed = "cuda:0" if name == "cuda" else name
    if indexed not in valid:
        raise InvalidInput(f"`device` must be one of {', '.join(valid)} on this machine, but is {name!r} instead.")
    return torch.device(indexed)
