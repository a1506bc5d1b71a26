"""`python -m schedsearch.training`: the process that trains for a worker, one order after another.

It reads orders from stdin and answers on what was its stdout (`training/wire.py`); whatever the task prints goes to
stderr. It ends with its worker: as soon as stdin is closed, whatever the task is doing.
"""

from __future__ import annotations

import ctypes
import os
import queue
import re
import signal
import sys
import threading
from collections.abc import Callable
from typing import IO, Any

from schedsearch.training import wire
from schedsearch.training.trainee import Trainee

PR_SET_PDEATHSIG = 1
OURS_ALONE = re.compile(r"SCHEDSEARCH_(\w+_)?(STORAGE|DB_URL|MLFLOW|SAFETY|CHECKPOINTS)")


def main() -> None:
    worker = os.getppid()
    orders, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    with open(os.devnull, "rb") as nothing:  # noqa: PTH123 - a descriptor is wanted
        os.dup2(nothing.fileno(), 0)
    for one in (signal.SIGINT, signal.SIGTERM):  # the worker decides what they mean
        signal.signal(one, lambda signum, frame: None)
    _die_with(worker)
    _forget_addresses()
    serve(orders, answers)


def _die_with(worker: int) -> None:
    """On Linux the kernel ends this process with its worker, even while the task holds the interpreter's lock."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != worker:
        os._exit(1)


def _forget_addresses() -> None:
    """The task's code has no use for our databases' URLs, which may hold passwords: it may print its environment."""
    for name in [one for one in os.environ if OURS_ALONE.fullmatch(one)]:
        del os.environ[name]


def serve(orders: IO[bytes], answers: IO[bytes]) -> None:
    """Carry out orders in this thread, while another one listens for `stop` and for the end of the worker."""
    waiting: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    stopping = threading.Event()
    threading.Thread(target=_listen, args=(orders, waiting, stopping), daemon=True).start()
    trainee = Trainee(answers, stopping)
    doings: dict[str, Callable[..., None]] = {
        "rehearse": trainee.rehearse,
        "size": trainee.size,
        "train": trainee.train,
    }
    while True:
        order = waiting.get()
        doings[order.pop("kind")](**order)


def _listen(orders: IO[bytes], waiting: queue.SimpleQueue[dict[str, Any]], stopping: threading.Event) -> None:
    for line in orders:
        order = wire.read(line)
        if order["kind"] == "stop":
            stopping.set()
        else:
            stopping.clear()
            waiting.put(order)
    os._exit(0)


if __name__ == "__main__":
    main()
