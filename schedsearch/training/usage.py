"""What a run took of its device (memory, time, energy), and whether it was memory that it lacked."""

from __future__ import annotations

import resource
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from schedsearch.training import nvml

PEAK = Path("/proc/self/status")
RESET = Path("/proc/self/clear_refs")
SAMPLED_EVERY_S = 0.5


@dataclass(frozen=True)
class Usage:
    """peak_memory_bytes: of the device on an accelerator, of the process on a CPU. utilization: the share of the time
    in which the device was busy; on a CPU, processor seconds over seconds and torch threads. energy_j: joules of the
    device, in proportion to the run's share of it. None where nobody tells."""

    peak_memory_bytes: int | None
    utilization: float | None
    energy_j: float | None


class UsageWatch:
    """Measures from its making until `read`. share: of an accelerator, beyond whose memory torch raises
    OutOfMemoryError; a CPU's memory is not capped. is_script: the training goes on in child processes of this one."""

    def __init__(self, device: str, share: float = 1.0, *, is_script: bool = False) -> None:
        self._is_script = is_script
        self._share = share
        self._cuda = torch.device(device) if device.startswith("cuda") else None
        self._gpu = None if self._cuda is None else _GpuWatch(self._cuda)
        if self._cuda is not None and not is_script:
            torch.cuda.set_per_process_memory_fraction(share, self._cuda)
            torch.cuda.reset_peak_memory_stats(self._cuda)
        elif RESET.exists():
            _try_reset()
        self._started = time.monotonic()
        self._busy_at_start = self._busy_s()

    def end(self) -> None:
        """Ask the driver no more."""
        if self._gpu is not None:
            self._gpu.end()

    def read(self) -> Usage:
        """What was taken so far; ends the watch."""
        if self._gpu is not None:
            utilization, energy_j = self._gpu.end()
            return Usage(self._peak(), utilization, None if energy_j is None else energy_j * self._share)
        seconds = max(time.monotonic() - self._started, 1e-9)
        return Usage(self._peak(), (self._busy_s() - self._busy_at_start) / seconds / torch.get_num_threads(), None)

    def _whose(self) -> int:
        return resource.RUSAGE_CHILDREN if self._is_script else resource.RUSAGE_SELF

    def _busy_s(self) -> float:
        used = resource.getrusage(self._whose())
        return used.ru_utime + used.ru_stime

    def _peak(self) -> int | None:
        """Bytes; of scripts on a CPU the most that any of them took so far."""
        if self._cuda is not None:
            return None if self._is_script else int(torch.cuda.max_memory_allocated(self._cuda))
        if PEAK.exists() and not self._is_script:
            kibibytes = next(line for line in PEAK.read_text().splitlines() if line.startswith("VmHWM:")).split()[1]
            return 1024 * int(kibibytes)
        most = resource.getrusage(self._whose()).ru_maxrss
        return int(most) if sys.platform == "darwin" else 1024 * int(most)


class _GpuWatch:
    """Asks the driver now and then, on a thread of its own."""

    def __init__(self, device: torch.device) -> None:
        self._gpu = nvml.gpu_of(str(torch.cuda.get_device_properties(device).uuid))
        self._samples: list[float] = []
        self._energy_j = None if self._gpu is None else self._gpu.energy_j()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample, name="gpu-watch", daemon=True)
        if self._gpu is not None:
            self._thread.start()

    def end(self) -> tuple[float | None, float | None]:
        """Mean utilisation and joules."""
        if self._gpu is None:
            return None, None
        self._ended.set()
        self._thread.join()
        after = self._gpu.energy_j()
        spent = None if after is None or self._energy_j is None else after - self._energy_j
        return sum(self._samples) / len(self._samples) if self._samples else None, spent

    def _sample(self) -> None:
        while self._gpu is not None:
            is_last = self._ended.wait(SAMPLED_EVERY_S)
            busy = self._gpu.utilization()
            self._samples += [] if busy is None else [busy]
            if is_last:
                return


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
