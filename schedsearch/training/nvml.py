"""NVIDIA's driver, asked by nvidia-ml-py: which GPUs there are, how busy one is, what energy it has used.

Every function answers with nothing where there is no driver, or where it does not tell.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Gpu:
    """One GPU of the driver's."""

    handle: Any

    def utilization(self) -> float | None:
        """The share of the driver's last sampling period (a sixth of a second to a second) in which a kernel ran."""
        busy = _told(lambda library: library.nvmlDeviceGetUtilizationRates(self.handle).gpu)
        return None if busy is None else float(busy) / 100

    def energy_j(self) -> float | None:
        """Joules since the driver was loaded; known from the Volta generation on."""
        millijoules = _told(lambda library: library.nvmlDeviceGetTotalEnergyConsumption(self.handle))
        return None if millijoules is None else float(millijoules) / 1000


def gpu_of(uuid: str) -> Gpu | None:
    """The GPU, or the MIG slice, of the UUID that torch gives for a device."""
    found = (_handle(prefix + uuid) for prefix in ("GPU-", "MIG-"))
    return next((Gpu(handle) for handle in found if handle is not None), None)


def _handle(uuid: str) -> Any:
    return _told(lambda library: library.nvmlDeviceGetHandleByUUID(uuid))


def names() -> list[str]:
    """The models of all GPUs that the driver knows, whatever CUDA_VISIBLE_DEVICES hides."""
    found = [_name(index) for index in range(_told(lambda library: int(library.nvmlDeviceGetCount())) or 0)]
    return [one for one in found if one is not None]


def _name(index: int) -> str | None:
    return _told(lambda library: str(library.nvmlDeviceGetName(library.nvmlDeviceGetHandleByIndex(index))))


def _told(question: Callable[[Any], T]) -> T | None:
    library = _library()
    if library is not None:
        with suppress(library.NVMLError):
            return question(library)
    return None


@cache
def _library() -> Any:
    """The library, ready to be asked; None where no driver answers."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    return pynvml
