"""How much memory a run took, and whether it was memory that a run lacked."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import torch

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
