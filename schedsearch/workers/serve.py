"""One worker, or one planner, in this very process: what `schedsearch worker` and the processes of `launch` run."""

from __future__ import annotations

import threading

from schedsearch.store import Store, StudyState
from schedsearch.workers.loop import Worker, WorkerOptions, set_on_signals
from schedsearch.workers.process import TrainingProcess
from schedsearch.workers.sweeping import sweep


def serve(storage: str, options: WorkerOptions, training: TrainingProcess | None = None) -> None:
    """Serve until the study ends, or a signal comes. training: a process that has loaded this study's task already.

    Checkpoints that no run needs any more are removed once the study is finished, or first by a worker that serves all.
    """
    where = options.safety.checkpoints
    with Store.open(storage) as store:
        if options.study is None:
            sweep(store, where)
        worker = Worker(store, options, training)
        worker.stop_on_signals()
        worker.run()
        if options.study is not None and store.study(options.study).state is StudyState.FINISHED:
            sweep(store, where)


def plan(storage: str, study: str, planner_id: str) -> None:
    """Plan one study until it ends or a signal comes; train nothing. Under the id of a planner that died its lease is
    taken over at once."""
    from schedsearch.workers.standing import StandingPlanner

    stopping = threading.Event()
    set_on_signals(stopping)
    with Store.open(storage) as store:
        StandingPlanner(store, study, planner_id).run(stopping)
