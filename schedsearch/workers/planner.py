"""The next step of a study's plan, taken by whichever worker finds nothing to train.

The planner lease lets one worker at a time plan. Every step reads the store, does at most one thing, and can be
repeated after a crash: what it writes is idempotent, and the store refuses a planner whose lease is gone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from schedsearch.space import SearchSpace
from schedsearch.store import Phase, Run, RunState, Store, Study, StudyState
from schedsearch.workers import concluding, confirmation, searching
from schedsearch.workers.desk import Desk
from schedsearch.workers.surrogate import Surrogate

PLANNER_LEASE_S = 60.0  # a planner that was killed holds its study up for so long
SAME_FAILURES = 3

STEPS: dict[Phase, Callable[[Desk], bool]] = {
    Phase.NOISE: searching.after_noise,
    Phase.SEARCH: searching.step,
    Phase.RACE: confirmation.race_step,
    Phase.CONFIRM: concluding.confirm_step,
}


class Planner:
    """Plans one study for one worker; keeps the study's space, its Optuna history and its curve model between steps."""

    def __init__(self, store: Store, study: Study, worker_id: str) -> None:
        self._store = store
        self._name = study.name
        self._id = study.id
        self._worker_id = worker_id
        self._space = SearchSpace.from_dict(study.space)
        self._surrogate = Surrogate(store, study, self._space)

    def step(self) -> bool:
        """Do the next thing the plan asks for. False when another plans, or only training is to be waited for."""
        token = self._store.take_planner(self._id, self._worker_id, PLANNER_LEASE_S)
        if token is None:
            return False
        try:
            study = self._store.study(self._name)
            return study.state is StudyState.RUNNING and self._step(study, token)
        finally:
            self._store.drop_planner(self._id, token)

    def _step(self, study: Study, token: int) -> bool:
        runs = self._store.runs(self._id)
        failure = repeated_failure(runs)
        if failure is not None:
            self._store.set_study_state(self._id, StudyState.FAILED, failure)
            return True
        candidates = {candidate.id: candidate for candidate in self._store.candidates(self._id)}
        return STEPS[study.phase](
            Desk(self._store, study, token, self._space, self._surrogate, candidates, runs)
        )


def repeated_failure(runs: Sequence[Run]) -> str | None:
    """The reason to give a study up: the user's code failed the same way several times."""
    reasons = [run.reason for run in runs if run.state is RunState.FAILED]
    repeated = next((reason for reason in reasons if reasons.count(reason) >= SAME_FAILURES), None)
    return None if repeated is None else f"{SAME_FAILURES} runs failed in the same way: {repeated}"
