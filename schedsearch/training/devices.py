"""The devices of this machine, by torch's names."""

from __future__ import annotations

import os

import torch

from schedsearch.errors import InvalidInput


def default_devices() -> list[str]:
    """Every CUDA device as `cuda:0`, `cuda:1`, ...; `cpu` where there is none."""
    return [f"cuda:{index}" for index in range(torch.cuda.device_count())] or ["cpu"]


def describe_device(name: str) -> str:
    """The device for a person: `cpu, 8 cores, 2 torch threads`, or a GPU's model and memory, free and whole."""
    if not name.startswith("cuda"):
        return f"{name}, {os.cpu_count()} cores, {torch.get_num_threads()} torch threads"
    free, whole = torch.cuda.mem_get_info(name)
    return f"{name}, {torch.cuda.get_device_name(name)}, {free / 1e9:.1f} of {whole / 1e9:.1f} GB free"


def find_device(name: str) -> torch.device:
    """The device of that name (`cpu`, `cuda`, `cuda:1`). Raises InvalidInput where this machine has none such."""
    valid = sorted({"cpu", *default_devices()})
    indexed = "cuda:0" if name == "cuda" else name
    if indexed not in valid:
        raise InvalidInput(f"`device` must be one of {', '.join(valid)} on this machine, but is {name!r} instead.")
    return torch.device(indexed)
