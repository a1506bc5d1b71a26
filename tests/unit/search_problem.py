"""Small exact tasks for the tests of the search: a noisy quadratic, and what drives a study on it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import optuna

from schedsearch.search import CurveModel, CurveSampler, Observation
from schedsearch.space import SearchSpace

optuna.logging.set_verbosity(optuna.logging.ERROR)

HORIZON = 60
CURVATURES = np.logspace(-1.5, 0, 8)
EXPLODED = 5.0

Loss = Callable[[np.ndarray], float | None]


def space_of(low: float = 1e-2, high: float = 4.0, **parts: object) -> SearchSpace:
    """Ten arms (five decays, warm-up yes or no) unless the parts say otherwise."""
    given = {
        "name": "test",
        "base_lr": {"low": low, "high": high},
        "warmup": {"kinds": ["none", "linear"], "fraction": {"low": 0.02, "high": 0.3}},
        "decay": {
            "constant": {},
            "linear": {},
            "cosine": {"power": {"low": 0.3, "high": 3.0, "log": True}},
            "wsd": {"cooldown": {"low": 0.05, "high": 0.9}},
            "exponential": {"final_factor": {"low": 0.001, "high": 0.5, "log": True}},
        },
    }
    return SearchSpace.from_dict(given | parts)


def quadratic(lrs: np.ndarray, noise: float = 0.3) -> float | None:
    """Expected loss of SGD on a diagonal quadratic with gradient noise, exactly; None when it diverges."""
    decay, growth = (1 - np.outer(lrs, CURVATURES)) ** 2, noise * np.outer(lrs, CURVATURES) ** 2
    square = np.ones(len(CURVATURES))
    for keep, add in zip(decay, growth, strict=True):
        square = keep * square + add
    loss = float((CURVATURES * square).sum())
    return loss if loss < EXPLODED else None


@dataclass
class Searched:
    """A study after some trials: its losses (None: diverged) and curves, in the order of the trials."""

    study: optuna.Study
    losses: list[float | None]
    curves: list[np.ndarray]

    @property
    def best(self) -> float:
        return min(loss for loss in self.losses if loss is not None)

    def observations(self, source: str = "") -> list[Observation]:
        pairs = zip(self.curves, self.losses, strict=True)
        return [Observation(curve, loss, source) for curve, loss in pairs]

    def model(self, more: Sequence[Observation] = ()) -> CurveModel:
        return CurveModel.fit([*self.observations(), *more])


def search(
    sampler: optuna.samplers.BaseSampler,
    space: SearchSpace,
    trials: int,
    loss: Loss = quadratic,
    horizon: int = HORIZON,
) -> Searched:
    """Run this many trials one after the other."""
    done = Searched(optuna.create_study(sampler=sampler), [], [])
    for _ in range(trials):
        trial = done.study.ask()
        curve = space.build(trial).lrs(horizon)
        value = loss(curve)
        if value is None:
            trial.set_user_attr("diverged", True)
        done.study.tell(trial, EXPLODED if value is None else value)
        done.losses.append(value)
        done.curves.append(curve)
    return done


def curve_search(seed: int, trials: int, loss: Loss = quadratic, **options: object) -> Searched:
    """A search by the curve model on the usual space."""
    space = options.pop("space", None) or space_of()
    horizon = options.pop("horizon", HORIZON)
    return search(CurveSampler(space, horizon, seed=seed, **options), space, trials, loss, horizon)


def random_search(seed: int, trials: int, loss: Loss = quadratic, space: SearchSpace | None = None) -> Searched:
    return search(optuna.samplers.RandomSampler(seed), space or space_of(), trials, loss)
