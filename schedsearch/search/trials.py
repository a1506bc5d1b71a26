"""Optuna's trials as the sampler sees them: what was tried, what is still running, what must not be asked again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from math import isfinite, log10
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from schedsearch.errors import InvalidInput
from schedsearch.search.pool import Describer, Params, Shape

PLAN_ATTRIBUTE = "schedsearch:plan"
FIXED_ATTRIBUTE = "fixed_params"  # Optuna's own, of an enqueued trial
DIVERGED_ATTRIBUTE = "diverged"
SCREENED_ATTRIBUTE = "screened_out"
Key = frozenset[tuple[str, Any]]


@dataclass(frozen=True, eq=False)
class Candidate:
    """A shape at one base LR (log10)."""

    shape: Shape
    log_lr: float

    @property
    def params(self) -> Params:
        return self.shape.params

    @cached_property
    def key(self) -> Key:
        """Equal for equal candidates."""
        return key_of(self.params)


@dataclass(frozen=True, eq=False)
class Told:
    """A candidate whose trial ended: its value, None when it diverged."""

    candidate: Candidate
    value: float | None


@dataclass(frozen=True, eq=False)
class Past:
    """All trials of a study. told: in the order of completion. keys: of everything ever asked for."""

    told: list[Told]
    pending: list[Candidate]
    keys: set[Key]


def key_of(params: Params) -> Key:
    """Equal for equal candidates."""
    return frozenset(params.items())


def value_of(trial: FrozenTrial) -> float | None:
    """The value of a finished trial; None for a divergence: marked as one, not finite, or pruned."""
    diverged = trial.state is TrialState.PRUNED or bool(trial.user_attrs.get(DIVERGED_ATTRIBUTE))
    value = None if diverged else trial.value
    return value if value is not None and isfinite(value) else None


@dataclass
class TrialReader:
    """Reads a study again and again, describing every trial once.

    A trial that failed, or was screened out, teaches nothing but is not asked again; one that was pruned counts as a
    divergence; one whose parameters do not make a schedule of the space (a user's own additions) is passed over.
    """

    describer: Describer
    _known: dict[int, Candidate | None] = field(default_factory=dict)

    def read(self, study: optuna.Study, current: int | None = None) -> Past:
        """Everything but the trial numbered `current`, which is being asked for."""
        trials = [one for one in study._get_trials(deepcopy=False, use_cache=False) if one.number != current]
        past = Past([], [], set())
        told = []
        for trial in trials:
            candidate = self._candidate(trial)
            if candidate is None:
                continue
            past.keys.add(candidate.key)
            if SCREENED_ATTRIBUTE in trial.user_attrs:
                continue
            if trial.state in (TrialState.COMPLETE, TrialState.PRUNED):
                told.append((trial.datetime_complete, trial.number, Told(candidate, value_of(trial))))
            elif not trial.state.is_finished():
                past.pending.append(candidate)
        past.told.extend(one for _, _, one in sorted(told, key=lambda entry: entry[:2]))
        return past

    def _candidate(self, trial: FrozenTrial) -> Candidate | None:
        if not trial.state.is_finished():
            return self._described(_planned(trial))
        if trial.number not in self._known:
            self._known[trial.number] = self._described(trial.params)
        return self._known[trial.number]

    def _described(self, params: Mapping[str, Any] | None) -> Candidate | None:
        if not params or "base_lr" not in params:
            return None
        try:
            return Candidate(self.describer.shape(params), log10(params["base_lr"]))
        except (KeyError, InvalidInput):
            return None


def _planned(trial: FrozenTrial) -> Mapping[str, Any]:
    """What an unfinished trial runs: its plan or what was enqueued, with what was really suggested so far."""
    plan = trial.system_attrs.get(PLAN_ATTRIBUTE)
    return {**(json.loads(plan) if plan else {}), **trial.system_attrs.get(FIXED_ATTRIBUTE, {}), **trial.params}
