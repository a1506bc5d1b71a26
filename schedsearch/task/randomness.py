"""Random numbers that belong to one run: seeded on entry, given back as they were on exit."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager

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


def order_generator(seed: int) -> torch.Generator:
    """The generator of the data order of a run: its own stream, on the CPU, so the same on every device."""
    stream = hashlib.sha256(f"data order of run seed {seed}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(stream[:8], "big") >> 1)
