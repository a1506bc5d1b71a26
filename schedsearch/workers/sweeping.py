"""What lies where checkpoints are and no run will ask for any more is removed."""

from __future__ import annotations

import logging

from schedsearch.privacy import redact
from schedsearch.store import Run, RunState, Store, StudyState
from schedsearch.training.places import MARK_DIGITS, open_place, training_mark

logger = logging.getLogger(__name__)


def sweep(store: Store, where: str | None) -> int:
    """Remove the checkpoints of runs that have ended, left by workers that were killed or had lost them, and what was
    never written whole; returns how many checkpoints. Those of runs of other stores, and of runs that are trained or
    may still be, stay. What goes wrong is logged and ends nothing.
    """
    if where is None:
        return 0
    try:
        place = open_place(where)
        place.sweep()
        names = place.names("")
        ended = ended_marks(store) if names else set()
        removed = [name for name in names if name[:MARK_DIGITS] in ended]
        for name in removed:
            place.remove(name)
    except Exception as error:  # a folder that is gone, a store out of reach: whatever its driver raises
        logger.warning("checkpoints could not be swept: %s", redact(str(error)))
        return 0
    if removed:
        logger.info("%s checkpoints that no run needs any more were removed", len(removed))
    return len(removed)


def ended_marks(store: Store) -> set[str]:
    """The marks of the runs that have ended, without those of a run of any study that may go on from the same files."""
    ended: set[str] = set()
    open_: set[str] = set()
    for study in store.studies():
        schedules = {one.id: one.schedule.to_dict() for one in store.candidates(study.id)}
        for run in store.runs(study.id):
            mark = training_mark(study.task_fingerprint, schedules[run.candidate_id], run.seed, run.total_updates)
            (ended if _has_ended(run, study.state) else open_).add(mark)
    return ended - open_


def _has_ended(run: Run, study: StudyState) -> bool:
    """A failed run may be tried again, and a waiting one claimed, until the study is finished."""
    if run.state in (RunState.COMPLETED, RunState.DIVERGED):
        return True
    return study is StudyState.FINISHED and run.state is not RunState.RUNNING
