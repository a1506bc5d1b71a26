"""Workers as processes of this machine: started, watched, restarted when they die, stopped with grace."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

RESTARTS = 3
GRACE_S = 10.0


@dataclass(frozen=True)
class Post:
    """Where one worker runs: its device and how many torch threads it may use (None: torch's own choice)."""

    device: str
    threads: int | None


def posts(devices: Sequence[str], workers: int | None, cores: int) -> list[Post]:
    """One post a worker. Accelerators: one worker each by default; CPU: one worker a core, one thread each."""
    cpu_only = all(device == "cpu" for device in devices)
    count = workers or (cores if cpu_only else len(devices))
    threads = max(1, cores // count) if cpu_only else None
    return [Post(devices[index % len(devices)], threads) for index in range(count)]


@dataclass
class _Child:
    post: Post
    log: Path
    process: subprocess.Popen[bytes] | None = None
    starts: int = field(default=0)


class LocalWorkers:
    """The worker processes of one study. Each writes its own log; the storage URL travels by environment."""

    def __init__(self, storage: str, study: str, where: Sequence[Post], log_dir: Path) -> None:
        self._storage = storage
        self._study = study
        log_dir.mkdir(parents=True, exist_ok=True)
        self._children = [_Child(post, log_dir / f"worker-{index}.log") for index, post in enumerate(where)]

    def start(self) -> None:
        """Start every worker."""
        for child in self._children:
            self._start(child)

    def _start(self, child: _Child) -> None:
        command = [
            sys.executable,
            "-m",
            "schedsearch.workers",
            "--study",
            self._study,
            "--device",
            child.post.device,
        ]
        if child.post.threads is not None:
            command += ["--threads", str(child.post.threads)]
        threads = {} if child.post.threads is None else {"OMP_NUM_THREADS": str(child.post.threads)}
        environment = {**os.environ, "SCHEDSEARCH_STORAGE": self._storage, **threads}
        with child.log.open("ab") as log:
            child.process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                command,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                env=environment,
                start_new_session=True,
            )
        child.starts += 1

    def alive(self) -> int:
        """How many workers run now."""
        return sum(child.process is not None and child.process.poll() is None for child in self._children)

    def revive(self) -> None:
        """Start again those that died with an error, each a bounded number of times."""
        for child in self._children:
            died = child.process is not None and child.process.poll() not in (None, 0)
            if died and child.starts <= RESTARTS:
                self._start(child)

    def last_words(self) -> str:
        """The last lines of the log of a worker that died with an error; empty when none did."""
        for child in self._children:
            if child.process is not None and child.process.poll() not in (None, 0):
                return "\n".join(child.log.read_text(errors="replace").splitlines()[-8:])
        return ""

    def stop(self, grace_s: float = GRACE_S) -> None:
        """Ask every worker to stop, wait, and kill what is left, with all its children."""
        for child in self._children:
            self._signal(child, signal.SIGTERM)
        deadline = time.monotonic() + grace_s
        while self.alive() and time.monotonic() < deadline:
            time.sleep(0.05)
        for child in self._children:
            self._signal(child, signal.SIGKILL)
            if child.process is not None:
                child.process.wait()

    def _signal(self, child: _Child, what: signal.Signals) -> None:
        if child.process is not None and child.process.poll() is None:
            os.killpg(child.process.pid, what)
