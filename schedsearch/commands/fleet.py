"""`worker`: one worker in this process, or several, a process each, started again when they die, stopped with grace."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from schedsearch.errors import SchedsearchError
from schedsearch.store import Store
from schedsearch.task.loading import allow_only
from schedsearch.workers import logs
from schedsearch.workers.local import LocalWorkers, Post, posts
from schedsearch.workers.loop import WorkerOptions, set_on_signals
from schedsearch.workers.safety import Safety

POLL_S = 0.5
LOGS = Path("schedsearch-logs")


def worker(
    storage: str,
    study: str | None,
    devices: Sequence[str],
    per_device: int | None,
    threads: int | None,
    safety: Safety,
    log: logs.Style,
    allow_task: Sequence[str] = (),
) -> None:
    """Serve a study to its end, or every study until a signal comes, on each of these devices. allow_task: beginnings
    of the tasks that may be run here; none: all may.

    SIGTERM and SIGINT: every worker writes a checkpoint of its run and gives it back. Raises SchedsearchError when
    every worker died.
    """
    if allow_task:
        allow_only(allow_task)
    where = posts(devices, None if per_device else len(devices), os.cpu_count() or 1, per_device)
    if len(where) > 1:
        _serve_all(storage, study, [replace(post, threads=threads or post.threads) for post in where], safety, log)
        return
    from schedsearch.workers.serve import serve

    logs.set_up(log)
    serve(storage, WorkerOptions(study, devices[0], threads, safety=safety))


def _serve_all(storage: str, study: str | None, where: Sequence[Post], safety: Safety, log: logs.Style) -> None:
    """Each writes its own log below LOGS."""
    stopping = threading.Event()
    set_on_signals(stopping)
    with Store.open(storage):  # a sentence here rather than in every log
        pass
    with LocalWorkers(storage, safety, log) as workers:
        workers.serve(study, where, LOGS)
        while not stopping.wait(POLL_S):
            workers.revive()
            if workers.alive() == 0:
                break
        words = workers.last_words()
        if words and not stopping.is_set():
            raise SchedsearchError(f"Every worker ended with an error. Last lines of a log:\n{words}")
