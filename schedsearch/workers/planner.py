"""The next step of a study's plan, taken by the planner that `launch` starts, or by a worker with nothing to train.

The planner lease lets one worker at a time plan. Every step reads the store, does at most one thing, and can be
repeated after a crash: what it writes is idempotent, and the store refuses a planner whose lease is gone.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

from schedsearch.errors import LeaseLost, StoreError
from schedsearch.space import SearchSpace
from schedsearch.store import Phase, Run, RunState, Store, Study, StudyState
from schedsearch.workers import concluding, confirmation, searching
from schedsearch.workers.desk import Desk
from schedsearch.workers.surrogate import Surrogate

logger = logging.getLogger(__name__)

PLANNER_LEASE_S = 15.0  # a planner that was killed holds its study up for so long
SAME_FAILURES = 3

STEPS: dict[Phase, Callable[[Desk], bool]] = {
    Phase.NOISE: searching.after_noise,
    Phase.SEARCH: searching.step,
    Phase.RACE: confirmation.race_step,
    Phase.CONFIRM: concluding.confirm_step,
}


class Planner:
    """Plans one study for one worker; keeps the study's space, its Optuna history and its curve model between steps.

    stays: keep the lease between steps, until `leave`, so that nobody else begins to plan.
    """

    def __init__(self, store: Store, study: Study, worker_id: str, *, stays: bool = False) -> None:
        self._store = store
        self._stays = stays
        self._lease: PlannerLease | None = None
        self._name = study.name
        self._id = study.id
        self._worker_id = worker_id
        self._space = SearchSpace.from_dict(study.space)
        self._surrogate = Surrogate(store, study, self._space)

    def step(self) -> bool:
        """Do the next thing the plan asks for. False when another plans, or only training is to be waited for."""
        token = self.hold()
        if token is None:
            return False
        try:
            study = self._store.study(self._name)
            return study.state is StudyState.RUNNING and self._step(study, token)
        except LeaseLost:
            self.leave()
            raise
        finally:
            if not self._stays:
                self.leave()

    def hold(self) -> int | None:
        """The token of the planner's lease, taken where it is not held; None while another holds it."""
        if self._lease is not None and self._lease.is_lost:
            self.leave()
        if self._lease is None:
            token = self._store.take_planner(self._id, self._worker_id, PLANNER_LEASE_S)
            self._lease = None if token is None else PlannerLease(self._store, self._id, token)
        return None if self._lease is None else self._lease.token

    def leave(self) -> None:
        """Give the lease back, if it is held."""
        lease, self._lease = self._lease, None
        if lease is not None:
            lease.give_back()

    def prepare(self) -> None:
        """While the confirmation is trained: what the verdict will need of the runs before it."""
        study = self._store.study(self._name)
        if study.phase is Phase.CONFIRM:
            concluding.prepare(self._desk(study, 0, self._store.runs(self._id)))

    def _step(self, study: Study, token: int) -> bool:
        runs = self._store.runs(self._id)
        failure = repeated_failure(runs)
        if failure is not None:
            self._store.set_study_state(self._id, StudyState.FAILED, failure)
            return True
        desk = self._desk(study, token, runs)
        if study.phase is not Phase.NOISE:
            searching.tell_finished(desk)
        return STEPS[study.phase](desk)

    def _desk(self, study: Study, token: int, runs: Sequence[Run]) -> Desk:
        candidates = {candidate.id: candidate for candidate in self._store.candidates(self._id)}
        return Desk(self._store, study, token, self._space, self._surrogate, candidates, runs)


class PlannerLease:
    """A planner's lease, kept alive by a thread of its own, so that a step may take as long as it needs."""

    def __init__(self, store: Store, study_id: int, token: int) -> None:
        self.token = token
        self._store = store
        self._study_id = study_id
        self._ended = threading.Event()
        self._lost = threading.Event()
        self._thread = threading.Thread(target=self._beat, name=f"planner-of-{study_id}", daemon=True)
        self._thread.start()

    @property
    def is_lost(self) -> bool:
        """Whether the store has said that somebody else plans."""
        return self._lost.is_set()

    def give_back(self) -> None:
        self._ended.set()
        self._thread.join()
        self._store.drop_planner(self._study_id, self.token)

    def _beat(self) -> None:
        while not self._ended.wait(PLANNER_LEASE_S / 3):
            try:
                self._store.renew_planner(self._study_id, self.token, PLANNER_LEASE_S)
            except LeaseLost:
                self._lost.set()
                return
            except StoreError as error:
                logger.warning("study %s: the store did not answer, trying again: %s", self._study_id, error)


def repeated_failure(runs: Sequence[Run]) -> str | None:
    """The reason to give a study up: the user's code failed the same way several times."""
    reasons = [run.reason for run in runs if run.state is RunState.FAILED]
    repeated = next((reason for reason in reasons if reasons.count(reason) >= SAME_FAILURES), None)
    return None if repeated is None else f"{SAME_FAILURES} runs failed in the same way: {repeated}"
