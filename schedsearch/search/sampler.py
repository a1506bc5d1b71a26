"""`CurveSampler`: the curve model as an Optuna sampler, for a study of this project or for anyone's own.

    space = load_space("framework").with_base_lr(1e-3, 1.0)
    study = optuna.create_study(sampler=CurveSampler(space, total_updates=600, seed=1))

    def objective(trial):
        schedule = space.build(trial)
        return train(schedule)            # the user's own; a divergence: see below

    study.optimize(objective, n_trials=48)

A whole candidate is planned before the trial starts and handed out name by name as the trial asks. The plan is also
written to the trial's system attributes, so that other processes fill it in as pending. Names that are not in the plan
(a user's own additions) are drawn at random.

A run that diverged is told as any finite value and marked `trial.set_user_attr("diverged", True)`; an infinite value or
a pruned trial counts as a divergence too. NaN makes Optuna fail the trial, and a failed trial teaches nothing.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from threading import Lock
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from schedsearch.search.gp import Fitter
from schedsearch.search.model import Observation
from schedsearch.search.pool import Describer
from schedsearch.search.proposals import Proposer
from schedsearch.search.trials import FIXED_ATTRIBUTE, PLAN_ATTRIBUTE, TrialReader
from schedsearch.space import SearchSpace

MOST_PLANS = 10_000


class CurveSampler(BaseSampler):
    """Searches a `SearchSpace` with one model over the learning-rate curves of all its families.

    space: with a fixed range of the base LR. total_updates: the horizon. updates_per_epoch: needed by spaces that step
    once an epoch. seed: the same seed and history give the same candidates; None draws one. observations: curves that
    were run outside the study (the user's own schedule, baselines, earlier studies: those with their `source`).
    startup: trials of the starting design. cost_aware: candidates are ranked by what they promise for each update that
    must be trained, for a trainer that goes on from shared prefixes (`schedsearch.search.cost`); else by what they
    promise. fitter: "scipy" fits the model within milliseconds and never imports BoTorch. One objective only. Several
    threads may share a sampler; several processes may share a study.

    Of Optuna's own tests of samplers (`optuna.testing`) it passes the basic ones and those for one objective. Those
    for relative sampling ask `sample_relative` for parameters of a space that Optuna inferred: here a candidate is
    planned from the `SearchSpace`, so there is no such space and nothing is sampled relatively. Several objectives are
    refused.
    """

    def __init__(
        self,
        space: SearchSpace,
        total_updates: int,
        *,
        updates_per_epoch: int | None = None,
        seed: int | None = None,
        observations: Sequence[Observation] = (),
        startup: int = 8,
        cost_aware: bool = False,
        fitter: Fitter = "botorch",
    ) -> None:
        self._describer = Describer(space, total_updates, updates_per_epoch)
        self._describer.log_range  # noqa: B018 - refuses an open range now, not at the first trial
        self._startup = max(1, startup)
        self._cost_aware = cost_aware
        self.fitter: Fitter = fitter
        self._observations = tuple(observations)
        self._lock = Lock()
        self._fallback = RandomSampler(seed)
        self._seed = int(np.random.default_rng(seed).integers(2**31))
        self._forget()

    def _forget(self) -> None:
        self._study: str | None = None
        self._queue: list[dict[str, Any]] = []
        self._plans: dict[int, dict[str, Any]] = {}
        self._reader = TrialReader(self._describer)
        self._proposer = Proposer(self._describer, self._seed, self._startup, self._cost_aware)

    @property
    def rank_agreement(self) -> float | None:
        """The model's leave-one-out rank agreement at the last ask that used it; None before."""
        return self._proposer.rank_agreement

    def observe(self, observations: Sequence[Observation]) -> None:
        """Replace the curves that were run outside the study."""
        self._observations = tuple(observations)

    def reseed_rng(self) -> None:
        self._seed = int(np.random.default_rng().integers(2**31))
        self._fallback.reseed_rng()
        self._forget()

    def plan_batch(self, study: Study, count: int) -> None:
        """Plan the next `count` asks together: one reading of the history, one posterior."""
        with self._lock:
            self._attend(study)
            self._queue = self._propose(study, count)

    def plan(self, study: Study, count: int) -> list[dict[str, Any]]:
        """The parameters that the next `count` trials should have, whoever makes them."""
        with self._lock:
            self._attend(study)
            return self._propose(study, count)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return {}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        self._raise_error_if_multi_objective(study)
        return {}

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Plan this trial's candidate, unless the user enqueued one."""
        self._raise_error_if_multi_objective(study)
        if FIXED_ATTRIBUTE in trial.system_attrs:
            return
        with self._lock:
            self._attend(study)
            plan = self._queue.pop(0) if self._queue else self._propose(study, 1, trial.number)[0]
            self._plans[trial.number] = plan
            if len(self._plans) > MOST_PLANS:
                del self._plans[next(iter(self._plans))]
            study._storage.set_trial_system_attr(trial._trial_id, PLAN_ATTRIBUTE, json.dumps(plan))

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """The planned value; a random one where the plan has none that this distribution contains."""
        self._raise_error_if_multi_objective(study)
        plan = self._plans.get(trial.number, {})
        if param_name in plan and _contains(param_distribution, plan[param_name]):
            return plan[param_name]
        return self._fallback.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        self._plans.pop(trial.number, None)

    def _attend(self, study: Study) -> None:
        """Caches belong to one study: another one starts anew."""
        if self._study != study.study_name:
            self._forget()
            self._study = study.study_name

    def _propose(self, study: Study, count: int, current: int | None = None) -> list[dict[str, Any]]:
        past = self._reader.read(study, current)
        first = current if current is not None else _next_number(study)
        direction = study.direction.name.lower()
        self._proposer.fitter = self.fitter
        return self._proposer.propose(past, range(first, first + count), self._observations, direction)


def _next_number(study: Study) -> int:
    return len(study._get_trials(deepcopy=False, use_cache=False))


def _contains(distribution: BaseDistribution, value: Any) -> bool:
    try:
        return bool(distribution._contains(distribution.to_internal_repr(value)))
    except ValueError:
        return False
