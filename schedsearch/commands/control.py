"""The verbs that end a study's training and take it up again, whoever trains it: stop, resume."""

from __future__ import annotations

from schedsearch.commands.inspect import require_file_store
from schedsearch.errors import InvalidInput
from schedsearch.store import Store, StudyState


def stop(storage: str, name: str) -> str:
    """Stop a study: nothing more of it is claimed, and runs in hand are given back within a lease's third.

    Returns one sentence. Raises UnknownStudy, and InvalidInput for a study that does not run.
    """
    with _opened(storage) as store:
        study = store.study(name)
        if study.state is not StudyState.RUNNING:
            raise InvalidInput(f"The study {name!r} must be running to be stopped, but is {study.state} already.")
        store.set_study_state(study.id, StudyState.STOPPED, "stopped by `schedsearch stop`")
    return f"The study {name!r} is stopped; workers give its runs back, checkpoints are kept."


def resume(storage: str, name: str) -> str:
    """Let workers serve a stopped study again; of one that was given up, the failed runs are tried again.

    Returns one sentence. Raises UnknownStudy, and InvalidInput for a study that is not stopped.
    """
    with _opened(storage) as store:
        study = store.study(name)
        if study.state in (StudyState.RUNNING, StudyState.FINISHED):
            raise InvalidInput(f"The study {name!r} must be stopped to go on, but is {study.state}.")
        again = store.retry_failed(study.id) if study.state is StudyState.FAILED else 0
        store.set_study_state(study.id, StudyState.RUNNING)
    tried = f", {again} failed runs are tried again" if again else ""
    return f"The study {name!r} goes on{tried}, as soon as there is a `schedsearch worker` for it."


def _opened(storage: str) -> Store:
    require_file_store(storage)
    return Store.open(storage)
