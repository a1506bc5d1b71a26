"""The process that trains for a worker: started when it is needed, watched, ended when it hangs, replaced when it died.

The worker never imports the user's code: a crash, an exit or a hang of it costs one attempt at one run.
"""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import IO, Any

from schedsearch.errors import InvalidTask
from schedsearch.training import wire

POLL_S = 0.2  # how late a stop is noticed; answers are noticed at once
STOP_GRACE_S = 8.0
LAST_LINES, LONGEST_LINE = 20, 500
LOG_WAIT_S = 1.0
SIZE_PATIENCE_S = 120.0
QUIET_S = 0.05

Answers = queue.SimpleQueue[dict[str, Any] | None]


class TrainingProcess:
    """One process, several runs one after another. Used by one thread.

    stall_timeout_s: so long without an update, an evaluation or a printed line, and it is taken to hang. What the task
    prints is passed on to this worker's own stderr, line by line.
    """

    def __init__(self, threads: int | None, stall_timeout_s: float) -> None:
        self._threads = threads
        self._stall_timeout_s = stall_timeout_s
        self._process: subprocess.Popen[bytes] | None = None
        self._answers: Answers = queue.SimpleQueue()
        self._lines: deque[str] = deque(maxlen=LAST_LINES)
        self._printer: threading.Thread | None = None
        self._alive_at = 0.0
        self._printed = 0

    @property
    def pid(self) -> int | None:
        """The process now, None where there is none."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def start(self) -> None:
        """Start it, unless it runs. Its process group is its own, so that its data loaders end with it."""
        if self.pid is not None:
            return
        threads = {} if self._threads is None else {"OMP_NUM_THREADS": str(self._threads)}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "schedsearch.training"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **threads},
            process_group=0,
        )
        self._answers = queue.SimpleQueue()
        self._lines.clear()
        _in_background(_pass_on, self._process.stdout, self._answers)
        self._printer = _in_background(self._print, self._process.stderr)

    def rehearse(self, task: str, task_options: Mapping[str, Any], *, sizes: bool = False) -> None:
        """Begin to load and try a task; `facts` waits for what comes of it. sizes: also how many to train together."""
        self.start()
        self._send("rehearse", task=task, task_options=dict(task_options), sizes=sizes)

    def facts(self) -> dict[str, Any]:
        """What the rehearsal found. Raises InvalidTask with what is wrong, or with the process's last words."""
        answer = None
        while answer is None or answer["kind"] not in ("facts", "fault", "died"):
            answer = self._next_answer()
        if answer["kind"] == "died":
            code, log = self._reap()
            raise InvalidTask(f"Trying the task ended with exit code {code}:\n{log}")
        if answer["kind"] == "fault":
            raise InvalidTask(answer["text"])
        found: dict[str, Any] = answer["facts"]
        return found

    def size(self, order: wire.Order, should_stop: Callable[[], bool]) -> Mapping[str, Any]:
        """The fields of `Together` for runs like this one: measured once, which takes seconds; none together where the
        process died of it or took too long, and once `should_stop()` holds."""
        self.start()
        patient_until = time.monotonic() + min(SIZE_PATIENCE_S, self._stall_timeout_s)
        answer = None
        if self._send("size", order=asdict(order)):
            while answer is None and time.monotonic() < patient_until and not should_stop():
                answer = self._next_answer()
        if answer is not None and answer["kind"] == "size":
            found: Mapping[str, Any] = answer["together"]
            return found
        self.kill()
        return {"reason": "Finding out how many to train together did not come to an end."}

    def train(
        self,
        orders: Sequence[wire.Order],
        record: Callable[[int, Sequence[Mapping[str, Any]]], None],
        should_stop: Callable[[], bool],
        is_hurried: Callable[[], bool],
    ) -> list[wire.Answer]:
        """Train one run, or several together, to their end, whatever that is; measurements go to `record` as they come,
        with the position of their run in `orders`. The answers in that order.

        Once `should_stop()` holds the run is asked to stop, which it does after the update in hand and a checkpoint;
        where that takes longer than STOP_GRACE_S, or once `is_hurried()` holds, it is ended.
        """
        self.start()
        self._lines.clear()
        self._printed = 0
        self._alive_at = time.monotonic()
        if not self._send("train", orders=[asdict(one) for one in orders]):
            return [self._died()] * len(orders)
        stop_by: float | None = None
        while True:
            answer = self._next_answer()
            if answer is not None and answer["kind"] == "ended":
                return self._ended([wire.Answer(**one) for one in answer["answers"]])
            if answer is not None and answer["kind"] == "measured":
                record(answer["run"], answer["rows"])
            if answer is not None and answer["kind"] == "died":
                return [self._died()] * len(orders)
            if stop_by is None and should_stop():
                self._send("stop")
                stop_by = time.monotonic() + STOP_GRACE_S
            if stop_by is not None and (time.monotonic() > stop_by or is_hurried()):
                self.kill()
                return [wire.Answer("interrupted", "The run did not stop by itself and was ended.")] * len(orders)
            if time.monotonic() - self._alive_at > self._stall_timeout_s:
                return [self._stalled()] * len(orders)

    def _next_answer(self) -> dict[str, Any] | None:
        """What it says within a moment, None where it says nothing, "died" once it can say nothing any more."""
        try:
            answer = self._answers.get(timeout=POLL_S if self.pid is not None else LOG_WAIT_S)
        except queue.Empty:
            return {"kind": "died"} if self.pid is None else None
        self._alive_at = time.monotonic()
        return {"kind": "died"} if answer is None else answer

    def _ended(self, answers: list[wire.Answer]) -> list[wire.Answer]:
        if all(one.kind in ("completed", "diverged", "interrupted", "apart") for one in answers):
            return answers
        if answers[0].kind == "memory":
            self.kill()  # a new process starts with none of this one's memory
        return [self._with_log(one) for one in answers]

    def _stalled(self) -> wire.Answer:
        self.kill()
        return self._with_log(
            wire.Answer("stall", f"The task made no update for {self._stall_timeout_s:g} s and was ended.")
        )

    def _died(self) -> wire.Answer:
        code, _ = self._reap()
        if code == -signal.SIGKILL:
            kind, reason = "memory", "The training process was killed, most likely because memory ran out."
        elif code is not None and code < 0:
            kind, reason = "crash", f"The training process was ended by {signal.Signals(-code).name}."
        else:
            kind, reason = "exit", f"The task ended its process with exit code {code}."
        return self._with_log(wire.Answer(kind, reason))

    def _with_log(self, answer: wire.Answer) -> wire.Answer:
        self._let_printer_catch_up()
        return wire.Answer(answer.kind, answer.reason, answer.values, "\n".join(self._lines) or None)

    def _let_printer_catch_up(self) -> None:
        """What the process printed before its answer may still be on its way: wait until no more of it comes."""
        until, seen = time.monotonic() + LOG_WAIT_S, -1
        while self.pid is not None and time.monotonic() < until and not 0 < self._printed == seen:
            seen = self._printed
            time.sleep(QUIET_S)

    def _send(self, kind: str, **values: Any) -> bool:
        """False when the process has died."""
        if self._process is None or self._process.stdin is None:
            return False
        try:
            wire.send(self._process.stdin, kind, **values)
        except BrokenPipeError:
            return False
        return True

    def kill(self) -> None:
        """End the process and all of its children at once."""
        self._reap()

    def _reap(self) -> tuple[int | None, str]:
        """The exit code and the last lines of the process; whatever lives of its group is killed."""
        process, self._process = self._process, None
        if process is None:
            return None, ""
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        code = process.wait()
        if self._printer is not None:
            self._printer.join(LOG_WAIT_S)
        if process.stdin is not None:
            with suppress(BrokenPipeError):
                process.stdin.close()
        return code, "\n".join(self._lines)

    def _print(self, stream: IO[bytes]) -> None:
        for line in stream:
            self._alive_at = time.monotonic()
            self._printed += 1
            self._lines.append(line.decode(errors="replace").rstrip()[:LONGEST_LINE])
            with suppress(OSError):  # nobody reads our log any more: the task goes on
                sys.stderr.buffer.write(line)
                sys.stderr.flush()
        stream.close()


def _in_background(function: Callable[..., None], *arguments: Any) -> threading.Thread:
    thread = threading.Thread(target=function, args=arguments, daemon=True)
    thread.start()
    return thread


def _pass_on(stream: IO[bytes], answers: Answers) -> None:
    """Every answer, then None once there can be no more."""
    for line in stream:
        answers.put(wire.read(line))
    answers.put(None)
    stream.close()
