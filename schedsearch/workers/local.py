"""Workers as processes of this machine, and the planner beside them: they try the task before there is a study, then
serve it; those that die are started again, and all are stopped with grace."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from schedsearch.errors import InvalidTask
from schedsearch.privacy import make_folder
from schedsearch.task.facts import TaskFacts
from schedsearch.workers.logs import Style
from schedsearch.workers.safety import Safety

RESTARTS = 3
GRACE_S = 10.0
POLL_S = 0.02
LAST_LINES = 8
DRIVERS = ("/dev/nvidiactl", "/dev/kfd", "/dev/dri/renderD128")


@dataclass(frozen=True)
class Post:
    """Where one worker runs: its device, how many torch threads it may use (None: torch's own choice), and the share of
    an accelerator's memory that it may take."""

    device: str
    threads: int | None
    memory_share: float = 1.0


def posts(devices: Sequence[str], workers: int | None, cores: int, per_device: int | None = None) -> list[Post]:
    """One post a worker, devices in turn. Accelerators: `per_device` workers each, by default one, which share its
    memory evenly; CPU: by default one worker a core, the cores' threads divided among them."""
    cpu_only = all(device == "cpu" for device in devices)
    each = per_device or 1
    count = workers or (cores if cpu_only and per_device is None else each * len(devices))
    threads = max(1, cores // count) if cpu_only else None
    places = [devices[index % len(devices)] for index in range(count)]
    return [Post(one, threads, 1.0 if one == "cpu" else 1 / places.count(one)) for one in places]


def expected_posts(
    devices: Sequence[str], workers: int | None, cores: int, per_device: int | None = None
) -> list[Post]:
    """The posts that there will be, before torch was asked for the devices: where an accelerator may be used, just one
    to try the task."""
    if any(device != "cpu" for device in devices) or (not devices and _may_have_accelerator()):
        return [Post("cpu", None)]
    return posts(devices or ("cpu",), workers, cores, per_device)


def _may_have_accelerator() -> bool:
    return sys.platform != "linux" or any(Path(one).exists() for one in DRIVERS)


@dataclass
class _Child:
    post: Post
    log: Path
    process: subprocess.Popen[bytes] | None = None
    starts: int = 0

    @property
    def lives(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def failed(self) -> bool:
        return self.process is not None and self.process.poll() not in (None, 0)

    def last_words(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").strip().splitlines()[-LAST_LINES:])


class LocalWorkers:
    """The worker processes of one study; a context manager that leaves none behind.

    `rehearse` starts them before there is a study: each loads and tries the task (the seconds that importing torch
    takes) and waits. `facts` tells what the first has found, and `start` lets them serve. Each writes its own log; the
    storage URL and the safety travel by environment. safety: of their runs. log: in which style they write theirs.
    """

    def __init__(self, storage: str, safety: Safety | None = None, log: Style = "text") -> None:
        self._storage = storage
        self._log = log
        self._safety = safety or Safety()
        self._study: str | None = None
        self._children: list[_Child] = []
        self._peers = 1
        self._planner = _Child(Post("cpu", 1), Path())
        self._planner_id = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        self._has_planner = True
        self._folder = tempfile.TemporaryDirectory(prefix="schedsearch-", ignore_cleanup_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self._folder.cleanup()

    def rehearse(
        self, reference: str, options: Mapping[str, Any], where: Sequence[Post], *, sizes: bool = False
    ) -> None:
        """Start one process a post, each to try this task. sizes: and to measure how many runs to train together."""
        for index, post in enumerate(where):
            child = _Child(post, Path(self._folder.name) / f"worker-{index}.log")
            self._children.append(child)
            given = ["--options", json.dumps(dict(options)), "--facts", str(self._answer(index))]
            given += ["--sizes"] * sizes
            self._spawn(child, ["--rehearse", reference, *given], stdin=subprocess.PIPE)

    def _answer(self, index: int) -> Path:
        return Path(self._folder.name) / f"facts-{index}.json"

    def facts(self) -> TaskFacts:
        """What the first process found out about the task. Raises InvalidTask with its one sentence a fault."""
        first, answer = self._children[0], self._answer(0)
        while not answer.exists():
            if first.process is None or first.process.poll() is not None:
                code = None if first.process is None else first.process.returncode
                raise InvalidTask(f"Trying the task ended with exit code {code}:\n{first.last_words()}")
            time.sleep(POLL_S)
        found = json.loads(answer.read_text())
        if "fault" in found:
            raise InvalidTask(found["fault"])
        return TaskFacts.from_dict(found)

    def start(self, study: str, where: Sequence[Post], log_dir: Path) -> None:
        """One worker a post, of those that rehearsed where they fit; what is left over of them goes home. And a planner
        beside them."""
        self._study, self._peers = study, len(where)
        make_folder(log_dir)
        rehearsed, self._children = self._children, []
        for index, post in enumerate(where):
            fits = bool(rehearsed) and rehearsed[0].post.threads == post.threads
            child = rehearsed.pop(0) if fits else _Child(post, Path())
            child.post, child.log = post, log_dir / f"worker-{index}.log"
            self._children.append(child)
            if child.process is None or not self._give_orders(child):
                self._start(child)
        for child in rehearsed:
            _dismiss(child)
        self._planner.log = log_dir / "planner.log"
        self._start_planner(self._planner)

    def serve(self, study: str | None, where: Sequence[Post], log_dir: Path) -> None:
        """One worker a post and no planner: for a study, or for all, that was written elsewhere."""
        self._study, self._peers = study, len(where)
        make_folder(log_dir)
        self._has_planner = False
        self._children = [_Child(post, log_dir / f"worker-{index}.log") for index, post in enumerate(where)]
        for child in self._children:
            self._start(child)

    def _give_orders(self, child: _Child) -> bool:
        """Tell a process that rehearsed what to serve; False when it has died meanwhile."""
        orders = {
            "study": self._study,
            "device": child.post.device,
            "memory_share": child.post.memory_share,
            "peers": self._peers,
            "log": str(child.log.resolve()),
        }
        assert child.process is not None and child.process.stdin is not None  # noqa: S101 - made with a pipe
        try:
            child.process.stdin.write(json.dumps(orders).encode() + b"\n")
            child.process.stdin.close()
        except BrokenPipeError:
            return False
        return True

    def _start(self, child: _Child) -> None:
        study = [] if self._study is None else ["--study", self._study]
        given = {"--device": child.post.device, "--memory-share": child.post.memory_share, "--peers": self._peers}
        self._spawn(child, [*study, *(str(one) for pair in given.items() for one in pair)])

    def _start_planner(self, child: _Child) -> None:
        """Under the same name as before, so that it has its lease back at once."""
        self._spawn(child, ["--plan", self._planner_id, "--study", str(self._study)])

    def _spawn(self, child: _Child, arguments: Sequence[str], stdin: int = subprocess.DEVNULL) -> None:
        command = [sys.executable, "-m", "schedsearch.workers", "--log", self._log]
        command += arguments
        if not self._has_planner:
            command += ["--plans-at-once"]
        threads = {}
        count = _threads(child.post)
        if count is not None:
            command += ["--threads", str(count)]
            threads = {"OMP_NUM_THREADS": str(count)}
        environment = {**os.environ, "SCHEDSEARCH_STORAGE": self._storage, **self._safety.in_environment(), **threads}
        with child.log.open("ab") as log:
            child.process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                command, stdout=log, stderr=log, stdin=stdin, env=environment, start_new_session=True
            )
        child.starts += 1

    def alive(self) -> int:
        """How many workers run now."""
        return sum(child.lives for child in self._children)

    def revive(self) -> None:
        """Start again those that died with an error, each a bounded number of times."""
        for child in self._children:
            if child.failed and child.starts <= RESTARTS:
                self._start(child)
        if self._planner.failed and self._planner.starts <= RESTARTS:
            self._start_planner(self._planner)

    def last_words(self) -> str:
        """The last lines of the log of a worker or planner that died with an error; empty when none did."""
        return next((child.last_words() for child in self._everyone if child.failed), "")

    def stop(self, grace_s: float = GRACE_S) -> None:
        """Ask every worker to stop, wait, and kill what is left, with all its children."""
        for child in self._everyone:
            _signal(child, signal.SIGTERM)
        deadline = time.monotonic() + grace_s
        while any(child.lives for child in self._everyone) and time.monotonic() < deadline:
            time.sleep(POLL_S)
        for child in self._everyone:
            _dismiss(child)

    @property
    def _everyone(self) -> list[_Child]:
        return [*self._children, self._planner]


def _threads(post: Post) -> int | None:
    """Those of the post; fewer where whoever started us asks for fewer by OMP_NUM_THREADS."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if post.threads is None or not asked.isdecimal() or int(asked) == 0:
        return post.threads
    return min(post.threads, int(asked))


def _dismiss(child: _Child) -> None:
    """End this process for good, with all its children."""
    _signal(child, signal.SIGKILL)
    if child.process is not None:
        child.process.wait()
        _close(child.process.stdin)


def _signal(child: _Child, what: signal.Signals) -> None:
    if child.process is not None and child.lives:
        os.killpg(child.process.pid, what)


def _close(pipe: IO[bytes] | None) -> None:
    if pipe is not None and not pipe.closed:
        pipe.close()
