"""The searches that are compared: each asks for candidates (parameters of a search space) and is told their losses."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from math import log, log10
from typing import Any
from unittest.mock import patch

import numpy as np
import optuna
from numpy.typing import NDArray
from problems import Problem

from schedsearch.schedule import Schedule
from schedsearch.search import gp
from schedsearch.search.acquisition import PoolView
from schedsearch.search.champions import Champion, Tried, arm_champions, name_champions
from schedsearch.search.gp import Posterior, fit_hyperparameters
from schedsearch.search.model import CurveModel, Observation
from schedsearch.search.pool import Describer, Shape
from schedsearch.search.priors import LogNormal, Priors
from schedsearch.search.sampler import CurveSampler
from schedsearch.search.values import ValueScale
from schedsearch.space import Arm, SearchSpace, arm_of

Array = NDArray[np.float64]
Params = dict[str, Any]

PEER_BATCH = 4
START_BATCH, RUNS_PER_BATCHED_ASK = 8, 8  # as the house asks: schedsearch/workers/searching.py
ARM_ROUNDS = 3


@dataclass(eq=False)
class Search:
    """One search of one problem. `told` holds everything tried, in order: (parameters, loss or None)."""

    problem: Problem
    space: SearchSpace
    seed: int
    told: list[tuple[Params, float | None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """What a method sets up."""

    def batch(self) -> int:
        """How many candidates the next ask is for."""
        return PEER_BATCH

    def ask(self, count: int) -> list[Params]:
        raise NotImplementedError

    def tell(self, asked: Sequence[Params], losses: Sequence[float | None]) -> None:
        """Losses of the candidates asked last; None for a divergence."""
        self.told.extend(zip(asked, losses, strict=True))

    def best_observed(self, arm: Arm | None = None) -> Params | None:
        """The best single score, among all candidates or those of one arm; None where none was tried."""
        some = [(loss, index) for index, (params, loss) in enumerate(self.told) if loss is not None]
        if arm is not None:
            some = [(loss, index) for loss, index in some if self.arm(self.told[index][0]) == arm]
        return self.told[min(some)[1]][0] if some else None

    def recommended(self) -> Params | None:
        """The candidate that this method would name now."""
        return self.best_observed()

    def arm_champions(self) -> dict[Arm, Array | None]:
        """The curve of the best that the search can name for each arm; None where it knows nothing."""
        observed = {arm: self.best_observed(arm) for arm in self.space.arms}
        return {arm: None if one is None else self.lrs(one) for arm, one in observed.items()}

    def arm(self, params: Params) -> Arm:
        return arm_of(self.space.schedule(params))

    def lrs(self, params: Params) -> Array:
        return self.space.schedule(params).lrs(self.problem.total_updates)

    def bounded(self, loss: float | None) -> float:
        """A finite loss for methods that cannot take a divergence: nothing is worse than twice the untrained loss."""
        worst = 2 * self.problem.untrained
        return worst if loss is None else min(loss, worst)


class RandomSearch(Search):
    """Arms alike, numbers uniform over their (logarithmic) range."""

    def ask(self, count: int) -> list[Params]:
        rng = np.random.default_rng([self.seed, len(self.told)])
        return [self.space.draw(rng) for _ in range(count)]


class OptunaSearch(Search):
    """A sampler of Optuna's on the conditional space; divergences are told as a bad value. It models log loss."""

    def begin(self) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.study = optuna.create_study(sampler=self.sampler())
        self.trials: list[optuna.trial.Trial] = []

    def sampler(self) -> optuna.samplers.BaseSampler:
        return optuna.samplers.TPESampler(seed=self.seed)

    def ask(self, count: int) -> list[Params]:
        self.trials = [self.study.ask() for _ in range(count)]
        for trial in self.trials:
            self.space.build(trial)
        return [dict(trial.params) for trial in self.trials]

    def tell(self, asked: Sequence[Params], losses: Sequence[float | None]) -> None:
        super().tell(asked, losses)
        for trial, loss in zip(self.trials, losses, strict=True):
            self.study.tell(trial, log(self.bounded(loss)))


class TpeGroup(OptunaSearch):
    """TPE, multivariate, with the conditional space taken apart into groups."""

    def sampler(self) -> optuna.samplers.BaseSampler:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return optuna.samplers.TPESampler(seed=self.seed, multivariate=True, group=True)


class GpSampler(OptunaSearch):
    """Optuna's GPSampler. It models only parameters that every trial has, so each trial is asked for the parameters of
    all families; the schedule uses its own."""

    def sampler(self) -> optuna.samplers.BaseSampler:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return optuna.samplers.GPSampler(seed=self.seed)

    def ask(self, count: int) -> list[Params]:
        self.trials = [self.study.ask() for _ in range(count)]
        asked = []
        for trial in self.trials:
            everything = _Everything(trial)
            for name, ask in _all_dimensions(self.space):
                everything.ask(name, ask)
            asked.append(_used(self.space, trial.params))
        return asked


class SmacSearch(Search):
    """SMAC3's hyperparameter optimization facade on the conditional space, asked in batches."""

    def begin(self) -> None:
        import logging
        import tempfile

        from smac import HyperparameterOptimizationFacade as Facade
        from smac import Scenario

        logging.disable(logging.WARNING)
        scenario = Scenario(
            _config_space(self.space, self.seed),
            n_trials=100_000,
            deterministic=True,
            seed=self.seed,
            output_directory=tempfile.mkdtemp(),
        )
        design = Facade.get_initial_design(scenario, n_configs=10)
        self.smac = Facade(
            scenario, lambda config, seed=0: 0.0, initial_design=design, overwrite=True, logging_level=False
        )
        self.infos: list[Any] = []

    def ask(self, count: int) -> list[Params]:
        self.infos = [self.smac.ask() for _ in range(count)]
        return [_from_config(self.space, dict(info.config)) for info in self.infos]

    def tell(self, asked: Sequence[Params], losses: Sequence[float | None]) -> None:
        from smac.runhistory.dataclasses import TrialValue

        super().tell(asked, losses)
        for info, loss in zip(self.infos, losses, strict=True):
            self.smac.tell(info, TrialValue(cost=self.bounded(loss)))


class CurveSearch(Search):
    """Ours: one model over the curves of all arms; recommends by posterior mean."""

    priors: Priors | None = None

    def begin(self) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.curve_sampler = CurveSampler(self.space, self.problem.total_updates, seed=self.seed, fitter="scipy")
        self.prepare(self.curve_sampler)
        self.study = optuna.create_study(sampler=self.curve_sampler)
        self.trials: list[optuna.trial.Trial] = []

    def prepare(self, sampler: CurveSampler) -> None:
        """For the ablations."""

    @property
    def describer(self) -> Describer:
        return self.curve_sampler._describer

    def batch(self) -> int:
        return max(1, len(self.told) // RUNS_PER_BATCHED_ASK) if self.told else START_BATCH

    def ask(self, count: int) -> list[Params]:
        with self._priors():
            self.curve_sampler.plan_batch(self.study, count)
            self.trials = [self.study.ask() for _ in range(count)]
            for trial in self.trials:
                self.space.build(trial)
        return [dict(trial.params) for trial in self.trials]

    def tell(self, asked: Sequence[Params], losses: Sequence[float | None]) -> None:
        super().tell(asked, losses)
        for trial, loss in zip(self.trials, losses, strict=True):
            if loss is None:
                trial.set_user_attr("diverged", True)
            self.study.tell(trial, 2 * self.problem.untrained if loss is None else loss)

    def recommended(self) -> Params | None:
        features = np.array([self._features(params) for params, _ in self.told])
        judged = self.model().judged(features, [loss for _, loss in self.told])
        alive = [index for index, (_, loss) in enumerate(self.told) if loss is not None]
        return self.told[min(alive, key=lambda index: judged[index])][0] if alive else None

    def model(self) -> CurveModel:
        with self._priors():
            told = [Observation(self.lrs(params), loss) for params, loss in self.told]
            return CurveModel.fit(told, fitter="scipy")

    def _priors(self) -> Any:
        priors = self.priors or gp.learned_priors()
        return patch.object(gp, "learned_priors", lambda: priors)

    def _features(self, params: Params) -> Array:
        return self.describer.shape(params).features + log10(params["base_lr"])

    def arm_champions(self) -> dict[Arm, Array | None]:
        found = self.champions()
        return {arm: self._curve(found[arm].schedule) if arm in found else None for arm in self.space.arms}

    def champions(self) -> dict[Arm, Champion]:
        """The service's own champions, tried or not."""
        rng = np.random.default_rng([self.seed, 99])
        return arm_champions(self.model(), self.space, self._tried(), self.problem.total_updates, None, rng)

    def answer_champions(self) -> list[Schedule]:
        """The schedules that go to confirmation: the champions of all answers."""
        rng = np.random.default_rng([self.seed, 99])
        found = name_champions(self.model(), self.space, self._tried(), self.problem.total_updates, None, rng)
        return [one.schedule for one in found.values()]

    def _tried(self) -> list[Tried]:
        schedules = [self.space.schedule(params) for params, _ in self.told]
        return [
            Tried(params, schedule, index, loss)
            for index, ((params, loss), schedule) in enumerate(zip(self.told, schedules, strict=True))
            if loss is not None
        ]

    def _curve(self, schedule: Schedule) -> Array:
        return schedule.lrs(self.problem.total_updates)


class _PlainDescriber(Describer):
    """Without g*: every shape is taken to like the same base LR."""

    def shape(self, params: Any) -> Shape:
        return replace(super().shape(params), log_scale=0.0)


class WithoutScale(CurveSearch):
    """Ours without g*: neither the starting design nor the pool is centred by theory."""

    def prepare(self, sampler: CurveSampler) -> None:
        plain = _PlainDescriber(self.space, self.problem.total_updates)
        sampler._describer = plain
        sampler._forget()


class WithoutPriors(CurveSearch):
    """Ours without learned priors: all features alike, 3 decades give or take a factor 3; noise .01 by a factor 10."""

    priors = Priors(
        (LogNormal(3.0, 3.0),) * len(gp.learned_priors().lengthscales), LogNormal(1.0, 2.7), LogNormal(0.01, 10.0)
    )


class FlatGp(Search):
    """A Gaussian process on the parameters: numbers in their unit range, families one-hot, inactive ones at .5.

    The same engine and pool as ours (half expected improvement, half Thompson samples) with plain priors.
    """

    def batch(self) -> int:
        return max(1, len(self.told) // RUNS_PER_BATCHED_ASK) if self.told else START_BATCH

    def ask(self, count: int) -> list[Params]:
        rng = np.random.default_rng([self.seed, len(self.told)])
        if not self.told:
            return [self.space.draw(rng) for _ in range(count)]
        posterior = self._posterior()
        order = np.argsort(posterior.mean(posterior.x))[:10]
        pool = [self.space.draw(rng) for _ in range(800)]
        for _ in range(400):
            parent = self.told[int(rng.choice(order))][0]
            size = float(np.exp(rng.uniform(*np.log((0.01, 0.3)))))
            pool.append(self.space.perturb(parent, rng, size=size, coordinates=int(rng.integers(1, len(parent) + 1))))
        view = PoolView(posterior, self._encoded(pool))
        asked = []
        for turn in range(count):
            ranked = view.thompson(rng) if (len(self.told) + turn) % 2 else np.argsort(-view.expected_improvement())
            index = next(int(one) for one in ranked if pool[int(one)] not in asked)
            view.take(index)
            asked.append(pool[index])
        return asked

    def recommended(self) -> Params | None:
        posterior = self._posterior()
        means = posterior.mean(posterior.x)
        alive = [index for index, (_, loss) in enumerate(self.told) if loss is not None]
        return self.told[min(alive, key=lambda index: means[index])][0] if alive else None

    def arm_champions(self) -> dict[Arm, Array | None]:
        posterior = self._posterior()
        rng = np.random.default_rng([self.seed, 99])
        return {arm: self.lrs(self._champion(posterior, arm, rng)) for arm in self.space.arms}

    def _champion(self, posterior: Posterior, arm: Arm, rng: np.random.Generator) -> Params:
        tried = [params for params, _ in self.told if self.arm(params) == arm]
        params = tried + [self.space.draw(rng, arm) for _ in range(1000)]
        best: list[tuple[float, Params]] = []
        for _ in range(ARM_ROUNDS):
            means = posterior.mean(self._encoded(params))
            best = sorted([*best, *zip(means.tolist(), params, strict=True)], key=lambda entry: entry[0])[:8]
            params = [self.space.perturb(one, rng, size=0.1, coordinates=3) for _, one in best for _ in range(25)]
        return best[0][1]

    def _posterior(self) -> Posterior:
        values = [loss for _, loss in self.told]
        y = ValueScale.of(values, "minimize").to_latent(values)
        x = self._encoded([params for params, _ in self.told])
        d = x.shape[1]
        wide = LogNormal(0.4 * d**0.5, 3.0)
        priors = Priors((wide,) * d, LogNormal(1.0, 2.7), LogNormal(0.03, 5.0))
        return Posterior(x, y, fit_hyperparameters(x, y, priors))

    def _encoded(self, many: Sequence[Params]) -> Array:
        names = [name for name, _ in _all_dimensions(self.space)]
        return np.array([self._row(params, names) for params in many])

    def _row(self, params: Params, names: Sequence[str]) -> list[float]:
        active = {one.name: one for one in self.space.dimensions(params)}
        row: list[float] = []
        for name, dimension in _all_dimensions(self.space):
            if dimension.kind == "categorical":
                row += [float(params.get(name) == choice) for choice in dimension.choices]
            elif name in active:
                row.append(dimension.to_unit(params[name]))
            else:
                row.append(0.5)
        return row


# ---- the whole space as one list of dimensions, for methods that need it


_DIMENSIONS: dict[str, list[tuple[str, Any]]] = {}


def _all_dimensions(space: SearchSpace) -> list[tuple[str, Any]]:
    """Every dimension that any candidate has, by name, in order of first appearance; with its conditions unread."""
    if space.version not in _DIMENSIONS:
        rng = np.random.default_rng(0)
        found: dict[str, Any] = {}
        for arm in space.arms:
            for _ in range(12):
                for one in space.dimensions(space.draw(rng, arm)):
                    found.setdefault(one.name, one)
        _DIMENSIONS[space.version] = list(found.items())
    return _DIMENSIONS[space.version]


@dataclass
class _Everything:
    trial: optuna.trial.Trial

    def ask(self, name: str, dimension: Any) -> None:
        if dimension.kind == "categorical":
            self.trial.suggest_categorical(name, list(dimension.choices))
        elif dimension.kind == "int":
            self.trial.suggest_int(name, int(dimension.low), int(dimension.high))
        else:
            self.trial.suggest_float(name, dimension.low, dimension.high, log=dimension.log)


def _used(space: SearchSpace, params: Params) -> Params:
    """Those of these parameters that their candidate uses."""
    return {one.name: params[one.name] for one in space.dimensions(params)}


def _condition(space: SearchSpace, name: str) -> tuple[str, Any] | None:
    """The choice that opens this parameter: (parent, value); None where it is always there."""
    if name in ("base_lr", "warmup", "decay", "restarts"):
        return None
    family, _, rest = name.partition(".")
    if family == "warmup":
        return "warmup", "linear"
    if family == "restarts":
        return "restarts", "restarts"
    if rest == "final_factor" and any(other == f"{family}.to_zero" for other, _ in _all_dimensions(space)):
        return f"{family}.to_zero", "False"
    return "decay", family


def _config_space(space: SearchSpace, seed: int) -> Any:
    from ConfigSpace import Categorical, ConfigurationSpace, EqualsCondition, Float, Integer

    configs = ConfigurationSpace(seed=seed)
    parts = {}
    for name, one in _all_dimensions(space):
        if one.kind == "categorical":
            parts[name] = Categorical(name, [str(choice) for choice in one.choices])
        elif one.kind == "int":
            parts[name] = Integer(name, (int(one.low), int(one.high)))
        else:
            parts[name] = Float(name, (one.low, one.high), log=one.log)
    configs.add(list(parts.values()))
    conditions = [(name, _condition(space, name)) for name in parts]
    configs.add([EqualsCondition(parts[name], parts[when[0]], when[1]) for name, when in conditions if when])
    return configs


def _from_config(space: SearchSpace, values: Params) -> Params:
    """SMAC's plain values as the parameters of this space."""
    names = dict(_all_dimensions(space))
    params = {}
    for name, value in values.items():
        one = names[name]
        if one.kind == "categorical":
            params[name] = next(choice for choice in one.choices if str(choice) == str(value))
        else:
            params[name] = int(value) if one.kind == "int" else float(value)
    return _used(space, params)


@dataclass(eq=False)
class Batches(CurveSearch):
    """Ours when runs are trained together: at least `fewest` candidates are asked for at a time."""

    fewest: int = 16

    def batch(self) -> int:
        return max(self.fewest, super().batch())


METHODS: dict[str, Callable[[Problem, SearchSpace, int], Search]] = {
    "curve": CurveSearch,
    "random": RandomSearch,
    "tpe": OptunaSearch,
    "tpe-group": TpeGroup,
    "smac": SmacSearch,
    "flat-gp": FlatGp,
    "gpsampler": GpSampler,
    "curve-no-scale": WithoutScale,
    "curve-no-priors": WithoutPriors,
    "curve-by-16": partial(Batches, fewest=16),
    "curve-by-32": partial(Batches, fewest=32),
}
PEERS = ("random", "tpe", "tpe-group", "smac", "flat-gp", "gpsampler")
