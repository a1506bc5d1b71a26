"""One worker, or one planner, in this very process: what `schedsearch worker` and the processes of `launch` run."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from schedsearch.store import Store
from schedsearch.workers.loop import Worker, WorkerOptions, set_on_signals

if TYPE_CHECKING:
    from schedsearch.task import Task


def serve(storage: str, options: WorkerOptions, task: Task | None = None) -> None:
    """Serve until the study ends, or a signal comes. task: this study's, if it is loaded already."""
    with Store.open(storage) as store:
        worker = Worker(store, options)
        if options.study is not None and task is not None:
            worker.adopt(options.study, task)
        worker.stop_on_signals()
        worker.run()


def plan(storage: str, study: str, planner_id: str) -> None:
    """Plan one study until it ends or a signal comes; train nothing. Under the id of a planner that died its lease is
    taken over at once."""
    from schedsearch.workers.standing import StandingPlanner

    stopping = threading.Event()
    set_on_signals(stopping)
    with Store.open(storage) as store:
        StandingPlanner(store, study, planner_id).run(stopping)
