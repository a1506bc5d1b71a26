"""Who trains on a device of this machine: any number of workers at once, or one alone.

A run that found no memory may only have had greedy neighbours: it is tried again alone. Workers of one user on one
machine agree by two locked files a device, which the kernel frees when a worker dies, whatever study it serves. The
files lie in the folder for temporary files, or where SCHEDSEARCH_LOCKS says (a folder that containers share).
"""

from __future__ import annotations

import fcntl
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

POLL_S = 0.05


@contextmanager
def turn(device: str, *, alone: bool, should_stop: Callable[[], bool]) -> Iterator[bool]:
    """Hold the device, with others or alone; waits as long as others hold it otherwise. False: `should_stop()` held
    before it was this worker's turn.

    Whoever wants to be alone holds the door while it waits for those inside to leave, so that nobody slips in.
    """
    with _opened(device, "door") as door, _opened(device, "room") as room:
        if not _lock(door, fcntl.LOCK_EX, should_stop):
            yield False
            return
        inside = _lock(room, fcntl.LOCK_EX if alone else fcntl.LOCK_SH, should_stop)
        fcntl.flock(door, fcntl.LOCK_UN)
        yield inside


def _lock(file: int, how: int, should_stop: Callable[[], bool]) -> bool:
    while True:
        try:
            fcntl.flock(file, how | fcntl.LOCK_NB)
        except BlockingIOError:
            if should_stop():
                return False
            time.sleep(POLL_S)
        else:
            return True


@contextmanager
def _opened(device: str, part: str) -> Iterator[int]:
    name = f"schedsearch-{os.getuid()}-{re.sub(r'[^A-Za-z0-9]', '-', device)}.{part}"
    path = Path(os.environ.get("SCHEDSEARCH_LOCKS") or tempfile.gettempdir()) / name
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        yield file
    finally:
        os.close(file)
