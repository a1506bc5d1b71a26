"""The planner that `launch` starts beside its workers: it plans while they train, so that none of them waits for an
answer, and what planning imports is imported once."""

from __future__ import annotations

import logging
import threading
from functools import partial

from schedsearch.errors import LeaseLost
from schedsearch.store import Phase, RunState, Store, StudyState
from schedsearch.workers.full_disk import once_there_is_space
from schedsearch.workers.planner import Planner

logger = logging.getLogger(__name__)

SHORTEST_WAIT_S = 0.1
WAIT_GROWTH = 1.25
LONGEST_WAIT_S = 1.0

Counts = dict[Phase, dict[RunState, int]]


class StandingPlanner:
    """Plans one study until it ends; takes a step whenever no run waits and something has changed since the last."""

    def __init__(self, store: Store, name: str, worker_id: str) -> None:
        self._store = store
        self._study = store.study(name)
        self._planner = Planner(store, self._study, worker_id, stays=True)
        self._stepped_at: Counts | None = None
        self._is_prepared = False

    def run(self, stopping: threading.Event) -> None:
        """Plan until the study ends or `stopping` is set."""
        seen: Counts | None = None
        wait_s = SHORTEST_WAIT_S
        try:
            while not stopping.is_set() and self._is_running():
                counts = self._store.counts(self._study.id)
                wait_s = SHORTEST_WAIT_S if counts != seen else min(WAIT_GROWTH * wait_s, LONGEST_WAIT_S)
                seen = counts
                if not once_there_is_space(partial(self._look, counts), stopping):
                    stopping.wait(wait_s)
        finally:
            self._planner.leave()

    def _is_running(self) -> bool:
        self._study = self._store.study(self._study.name)
        return self._study.state is StudyState.RUNNING

    def _look(self, counts: Counts) -> bool:
        """Do what there is to do at these numbers of runs; False when that is nothing."""
        if self._planner.hold() is None:
            return False
        if any(by_state.get(RunState.WAITING) for by_state in counts.values()):
            return self._prepare()
        return counts != self._stepped_at and self._step(counts)

    def _step(self, counts: Counts) -> bool:
        try:
            if self._planner.step():
                return True
            self._stepped_at = counts
        except LeaseLost:
            logger.warning("study %s: the planner's lease was lost; somebody else plans it now", self._study.name)
        return False

    def _prepare(self) -> bool:
        """Once, while the last phase is being trained: what takes long in a verdict."""
        if self._is_prepared or self._study.phase is not Phase.CONFIRM:
            return False
        self._planner.prepare()
        self._is_prepared = True
        return True
