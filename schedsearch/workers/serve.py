"""One worker in this very process: what `schedsearch worker` and every process started by `launch` run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from schedsearch.store import Store
from schedsearch.workers.loop import Worker, WorkerOptions

if TYPE_CHECKING:
    from schedsearch.task import Task


def serve(storage: str, *, study: str | None, device: str, threads: int | None, task: Task | None = None) -> None:
    """Serve one study until it ends (None: every running study, until a signal comes). task: this study's, if it is
    loaded already."""
    with Store.open(storage) as store:
        worker = Worker(store, WorkerOptions(study=study, device=device, threads=threads))
        if study is not None and task is not None:
            worker.adopt(study, task)
        worker.stop_on_signals()
        worker.run()
