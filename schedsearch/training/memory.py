"""How much memory a run took, and whether it was memory that a run lacked."""

from __future__ import annotations

import resource
import sys
import weakref
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

PEAK = Path("/proc/self/status")
RESET = Path("/proc/self/clear_refs")


class MemoryWatch:
    """The peak from its making on: of the device on an accelerator, of the whole process on a CPU. share: of the
    accelerator's memory, beyond which torch raises OutOfMemoryError; a CPU's memory is not capped."""

    def __init__(self, device: str, share: float = 1.0) -> None:
        self._cuda = torch.device(device) if device.startswith("cuda") else None
        if self._cuda is not None:
            torch.cuda.set_per_process_memory_fraction(share, self._cuda)
            torch.cuda.reset_peak_memory_stats(self._cuda)
        elif RESET.exists():
            _try_reset()

    def peak(self) -> int:
        """Bytes."""
        if self._cuda is not None:
            return int(torch.cuda.max_memory_allocated(self._cuda))
        if PEAK.exists():
            kibibytes = next(line for line in PEAK.read_text().splitlines() if line.startswith("VmHWM:")).split()[1]
            return 1024 * int(kibibytes)
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return int(most) if sys.platform == "darwin" else 1024 * int(most)


class TensorMemory(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's own class has no types
    """Context manager that counts the bytes of the tensors made inside it, on any device, exactly and slowly: `peak` is
    the most that were alive at once. What operations allocate for themselves is not seen."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # as above
        self.peak: int = 0
        self._alive = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for one in tree_leaves(made):
            if isinstance(one, Tensor):
                self._count(one.untyped_storage())
        return made

    def _count(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self._known:
            return
        self._known.add(key)
        weakref.finalize(storage, self._forget, key, size)
        self._alive += size
        self.peak = max(self.peak, self._alive)

    def _forget(self, key: int, size: int) -> None:
        self._known.discard(key)
        self._alive -= size


def _try_reset() -> None:
    """Linux forgets this process's peak so far; where it may not, the peak is that of all its runs."""
    try:
        RESET.write_text("5")
    except OSError:
        return


def is_out_of_memory(error: BaseException) -> bool:
    """Python's own error, torch's, or what torch's allocator for the CPU says."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)
