"""The Optuna side of a study: trials are asked and told here, on Optuna's own storage.

`optuna.load_study` and optuna-dashboard open the result like any other study. The one caller is whoever holds the
study's planner lease, so a batch is asked by one process at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import wraps
from typing import Any, ParamSpec, TypeVar, cast

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState, create_trial

from schedsearch.schedule import Schedule
from schedsearch.space import Dimension, SearchSpace
from schedsearch.store import made_beside_others, patiently, session_arguments, tune_engine

from .gp import Fitter
from .model import Observation
from .sampler import CurveSampler
from .trials import DIVERGED_ATTRIBUTE, SCREENED_ATTRIBUTE

STRATEGIES = ("curve", "joint")


@dataclass(frozen=True)
class Asked:
    """One candidate as Optuna's trial `number`, with the parameters that made its schedule."""

    number: int
    params: dict[str, Any]
    schedule: Schedule


def _storage(url: str) -> optuna.storages.RDBStorage:
    given = {"connect_args": session_arguments(url), "pool_pre_ping": not url.startswith("sqlite")}
    plain = url.replace("{", "{{").replace("}", "}}")  # Optuna formats it
    storage = made_beside_others(lambda: optuna.storages.RDBStorage(plain, engine_kwargs=dict(given)), url)
    tune_engine(storage.engine)
    return storage


def make_tables(url: str) -> None:
    """Optuna's tables beside the store's, where they are not there yet: those who plan need no right to make them."""
    storage = _storage(url)
    storage.remove_session()
    storage.engine.dispose()


def _joint_sampler(seed: int, number: int) -> optuna.samplers.TPESampler:
    """Optuna's own TPE, seeded anew for every trial: whoever asks next, in whichever process, repeats no draws."""
    return optuna.samplers.TPESampler(seed=int(np.random.SeedSequence([seed, number]).generate_state(1)[0]))


def _distribution(dimension: Dimension) -> BaseDistribution:
    """What Optuna would have made of this question."""
    if dimension.kind == "categorical":
        return CategoricalDistribution(dimension.choices)
    if dimension.kind == "int":
        return IntDistribution(int(dimension.low), int(dimension.high))
    return FloatDistribution(dimension.low, dimension.high, log=dimension.log)


P = ParamSpec("P")
T = TypeVar("T")


def _patient(method: Callable[P, T]) -> Callable[P, T]:
    """A method of a History that is repeated while the database is restarted or out of reach, as the store repeats its
    own transactions. A trial that `begin` wrote without hearing of it is closed by `fail_orphans`."""

    @wraps(method)
    def repeated(*args: P.args, **kwargs: P.kwargs) -> T:
        url = cast(History, args[0])._url
        return patiently(lambda: _unwrapped(lambda: method(*args, **kwargs)), url)

    return repeated


def _unwrapped(action: Callable[[], T]) -> T:
    """Raises what SQLAlchemy raised, where Optuna wraps it."""
    try:
        return action()
    except optuna.exceptions.StorageInternalError as error:
        raise error.__cause__ or error from None


class History:
    """The trials of one study, in Optuna's storage at `url` under `name`.

    Raises StoreError when the database failed.
    """

    def __init__(
        self,
        url: str,
        name: str,
        space: SearchSpace,
        *,
        strategy: str,
        direction: str,
        total_updates: int,
        updates_per_epoch: int,
        seed: int,
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._url = url
        self._space = space
        self._seed = seed
        self._sampler = (
            CurveSampler(space, total_updates, updates_per_epoch=updates_per_epoch, seed=seed)
            if strategy == "curve"
            else None
        )
        self._study = self._opened(url, name, direction)

    @_patient
    def _opened(self, url: str, name: str, direction: str) -> optuna.Study:
        return optuna.create_study(
            storage=_storage(url),
            study_name=name,
            sampler=self._sampler or _joint_sampler(self._seed, 0),
            pruner=optuna.pruners.NopPruner(),
            direction=optuna.study.StudyDirection[direction.upper()],
            load_if_exists=True,
        )

    @_patient
    def ask(self, count: int, observations: Sequence[Observation], fitter: Fitter) -> list[Asked]:
        """`count` new candidates, none of which repeats an earlier one. `observations`: curves run outside Optuna."""
        if count <= 0:
            return []
        if self._sampler is None:
            return [self._ask_one() for _ in range(count)]
        self._sampler.fitter = fitter
        self._sampler.observe(observations)
        return [self.begin(params) for params in self._sampler.plan(self._study, count)]

    def _ask_one(self) -> Asked:
        self._study.sampler = _joint_sampler(self._seed, len(self._study.get_trials(deepcopy=False)))
        trial = self._study.ask()
        schedule = self._space.build(trial)
        return Asked(trial.number, dict(trial.params), schedule)

    @_patient
    def begin(self, params: dict[str, Any]) -> Asked:
        """A running trial of these parameters, written in one transaction (`Study.ask` takes two, and two more for
        every parameter, each of them a journey to the database)."""
        distributions = {one.name: _distribution(one) for one in self._space.dimensions(params)}
        asked = {name: params[name] for name in distributions}
        trial = create_trial(state=TrialState.RUNNING, params=asked, distributions=distributions)
        storage = self._study._storage
        trial_id = storage.create_new_trial(self._study._study_id, template_trial=trial)
        return Asked(storage.get_trial_number_from_id(trial_id), asked, self._space.schedule(asked))

    @_patient
    def tell(self, number: int, value: float | None, *, diverged: bool, worst: float) -> None:
        """Finish trial `number`: a score; a divergence (told as the finite value `worst`); or a failure (value None).

        Idempotent: a trial that is finished already is left as it is.
        """
        if diverged:
            self._mark(number, DIVERGED_ATTRIBUTE)
            value = worst
        state = TrialState.FAIL if value is None else TrialState.COMPLETE
        self._finish(number, state, value)

    @_patient
    def screen_out(self, number: int) -> None:
        """Finish trial `number`, which is not worth a full run: pruned, and marked so that it is no divergence."""
        self._mark(number, SCREENED_ATTRIBUTE)
        self._finish(number, TrialState.PRUNED)

    @_patient
    def running(self) -> set[int]:
        """The numbers of the trials that were not told yet."""
        return {trial.number for trial in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))}

    def _finish(self, number: int, state: TrialState, value: float | None = None) -> None:
        """In one transaction; `Study.tell` reads the trial three times besides."""
        storage = self._study._storage
        trial_id = storage.get_trial_id_from_study_id_trial_number(self._study._study_id, number)
        with suppress(optuna.exceptions.UpdateFinishedTrialError):
            storage.set_trial_state_values(trial_id, state, None if value is None else [value])

    def _mark(self, number: int, attribute: str) -> None:
        storage = self._study._storage
        trial_id = storage.get_trial_id_from_study_id_trial_number(self._study._study_id, number)
        if not storage.get_trial(trial_id).state.is_finished():
            storage.set_trial_user_attr(trial_id, attribute, True)

    @_patient
    def fail_orphans(self, known: set[int]) -> int:
        """Close trials that were asked but never became a candidate (their asker died in between). Returns how many."""
        running = self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        orphans = [trial.number for trial in running if trial.number not in known]
        for number in orphans:
            self._finish(number, TrialState.FAIL)
        return len(orphans)

    @property
    def rank_agreement(self) -> float | None:
        """The curve model's leave-one-out rank agreement at the last ask that used it; None before, and for TPE."""
        return self._sampler.rank_agreement if isinstance(self._sampler, CurveSampler) else None

    @_patient
    def params(self) -> dict[int, dict[str, Any]]:
        """The parameters of every trial, by number."""
        return {trial.number: dict(trial.params) for trial in self._study.get_trials(deepcopy=False)}
