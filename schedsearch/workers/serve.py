"""One worker in this very process: what `schedsearch worker` and every process started by `launch` run."""

from __future__ import annotations

from schedsearch.store import Store
from schedsearch.workers.loop import Worker, WorkerOptions


def serve(storage: str, *, study: str | None, device: str, threads: int | None) -> None:
    """Serve one study until it ends (None: every running study, until a signal comes)."""
    with Store.open(storage) as store:
        worker = Worker(store, WorkerOptions(study=study, device=device, threads=threads))
        worker.stop_on_signals()
        worker.run()
