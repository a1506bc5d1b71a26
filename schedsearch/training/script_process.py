"""A script at work: the process, the folder that it is spoken to by, and what it prints."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from schedsearch.errors import InvalidTask
from schedsearch.script.letters import BEGIN, STATE, VARIABLE, Folder, ScriptOrder
from schedsearch.script.state import read_state, write_state
from schedsearch.task.script import LRS_FILE, Script
from schedsearch.training.checkpoints import Checkpoints

GRACE_S = 6.0


@dataclass
class RunningScript:
    """A script at work: its process, its folder, and what it prints (passed on to our stderr)."""

    process: subprocess.Popen[bytes]
    folder: Folder
    _lines: queue.SimpleQueue[str] = field(default_factory=queue.SimpleQueue)
    _printer: threading.Thread | None = None
    _kept_at: float = 0.0

    def listen(self) -> None:
        """Begin to read what it prints."""
        assert self.process.stdout is not None  # noqa: S101 - made with a pipe
        self._printer = threading.Thread(target=self._pass_on, args=(self.process.stdout,), daemon=True)
        self._printer.start()

    def _pass_on(self, stream: IO[bytes]) -> None:
        for line in stream:
            self._lines.put(line.decode(errors="replace"))
            with suppress(OSError):  # nobody reads our log any more: the script goes on
                sys.stderr.buffer.write(line)
                sys.stderr.flush()
        stream.close()

    def printed(self, *, wait: bool) -> list[str]:
        """The lines since the last call; wait: until the last of a process that has ended, unless children of it
        still hold the pipe."""
        if wait and self._printer is not None:
            self._printer.join(GRACE_S)
        found = []
        with suppress(queue.Empty):
            while True:
                found.append(self._lines.get_nowait())
        return found

    def wait(self, seconds: float) -> None:
        """A moment for a script that looks at `run.should_stop`."""
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)

    def keep_state(self, checkpoints: Checkpoints | None) -> None:
        """Put the state that the script saved last, if it is new, where checkpoints are kept."""
        path = self.folder.path / STATE
        if checkpoints is None or not path.exists() or path.stat().st_mtime == self._kept_at:
            return
        self._kept_at = path.stat().st_mtime
        state = read_state(path)
        checkpoints.save(state, state["updates"])


@contextmanager
def started(
    script: Script, order: ScriptOrder, lrs: list[float] | None = None, state: Mapping[str, Any] | None = None
) -> Iterator[RunningScript]:
    """The script at work; whatever is left of it afterwards is killed. lrs: for a script that reads them from a file.
    state: to go on from. Raises InvalidTask."""
    with tempfile.TemporaryDirectory(prefix="schedsearch-run-", ignore_cleanup_errors=True) as path:
        folder = Folder(Path(path))
        folder.write_order(order)
        if lrs is not None:
            (folder.path / LRS_FILE).write_text("".join(f"{lr!r}\n" for lr in lrs))
        if state is not None:
            write_state(folder.path / BEGIN, state)
        try:
            process = subprocess.Popen(  # noqa: S603 - the very command that the user asked for
                script.command_of(folder.path, order.seed, order.device),
                cwd=script.folder,
                env={**os.environ, VARIABLE: path},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
            )
        except OSError as error:
            raise InvalidTask(f"{script.shown} cannot be started: {error.strerror}.") from error
        running = RunningScript(process, folder)
        running.listen()
        try:
            yield running
        finally:
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGKILL)
            process.wait()
            running.printed(wait=True)
