"""Random numbers that belong to one run: seeded on entry, given back as they were on exit."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


@contextmanager
def kept(device: torch.device | None = None) -> Iterator[None]:
    """Whatever the block draws or seeds, Python's, NumPy's and torch's generators are afterwards as they were."""
    python, numpy = random.getstate(), np.random.get_state()
    devices = [device] if device is not None and device.type == "cuda" else []
    try:
        with torch.random.fork_rng(devices=devices):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Every generator starts from the run's seed, and is afterwards as it was."""
    with kept(device):
        random.seed(seed)
        np.random.seed(seed % 2**32)
        torch.manual_seed(seed)
        yield


def generator_states(device: torch.device) -> dict[str, Any]:
    """The states of Python's, NumPy's and torch's generators, as plain values and tensors that need no pickle."""
    numpy: Any = np.random.get_state(legacy=True)
    kind, keys, *rest = numpy
    states = {
        "python": random.getstate(),
        "numpy": (kind, keys.tolist(), *rest),
        "torch": torch.get_rng_state(),
    }
    return {**states, "cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else states


def restore_generators(
    states: Mapping[str, Any], order: torch.Generator | None = None, device: torch.device | None = None
) -> None:
    """Set the generators that `states` knows; under "order" it may know that of a data order."""
    if "order" in states and order is not None:
        order.set_state(states["order"])
    if "torch" in states:
        random.setstate(states["python"])
        kind, keys, *rest = states["numpy"]
        np.random.set_state((kind, np.array(keys, dtype=np.uint32), *rest))
        torch.set_rng_state(states["torch"])
    if "cuda" in states and device is not None:
        torch.cuda.set_rng_state(states["cuda"], device)


def order_generator(seed: int) -> torch.Generator:
    """The generator of the data order of a run: its own stream, on the CPU, so the same on every device."""
    stream = hashlib.sha256(f"data order of run seed {seed}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(stream[:8], "big") >> 1)
