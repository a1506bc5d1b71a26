"""`CurveModel`: one Gaussian process over the curves of all families, so that every run teaches about all others.

A curve is described by a few numbers in decades (`schedsearch.schedule.describe_curve`); scores are taken as
`values.ValueScale` says. Torch and BoTorch are imported by the first fit, not by this module.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from schedsearch.schedule import FEATURE_NAMES, describe_curve, describe_curves
from schedsearch.search.acquisition import PoolView
from schedsearch.search.gp import Hyperparameters, Posterior, fit_hyperparameters
from schedsearch.search.values import ValueScale

Array = NDArray[np.float64]
Curves = Array | Sequence[Array]

MOST_OBSERVATIONS = 500
MOST_FITTED = 192
INTERVAL_SD = 1.96


@dataclass(frozen=True, eq=False)
class Observation:
    """One run that ended: its learning rate at every update, shape (T,), and its score; None when it diverged."""

    lrs: Array
    value: float | None

    @cached_property
    def features(self) -> Array:
        """The curve's description, shape (F,); computed once."""
        return describe_curve(self.lrs)


@dataclass(frozen=True, eq=False)
class Prediction:
    """What the model expects, one entry a curve. mean, sd, low, high are in the score's own units: mean is the
    predictive median, low and high bound the middle 95 % of the curve's true score (seed noise not included).
    latent_mean and latent_sd are in the model's standardised units, smaller is better."""

    mean: Array
    sd: Array
    low: Array
    high: Array
    latent_mean: Array
    latent_sd: Array


@dataclass(frozen=True, eq=False)
class CurveModel:
    """A fitted model. Make one with `fit`; all methods are pure."""

    posterior: Posterior
    scale: ValueScale
    direction: str

    @classmethod
    def fit(
        cls,
        observations: Sequence[Observation],
        *,
        direction: str = "minimize",
        hyperparameters: Hyperparameters | None = None,
    ) -> CurveModel:
        """The model of these runs, none of them up to thousands. `hyperparameters`: take these instead of fitting.

        Beyond MOST_OBSERVATIONS runs the best half of that number and an even selection of the others are used.
        """
        features = [one.features for one in observations]
        x = np.stack(features) if features else np.empty((0, len(FEATURE_NAMES)))
        return cls.of_features(x, [one.value for one in observations], direction, hyperparameters)

    @classmethod
    def of_features(
        cls,
        x: Array,
        values: Sequence[float | None],
        direction: str = "minimize",
        hyperparameters: Hyperparameters | None = None,
    ) -> CurveModel:
        """`fit` for curves that are described already: x has shape (n, F)."""
        scale = ValueScale.of(values, direction)
        y = scale.to_latent(values)
        if hyperparameters is None:
            some = spread_selection(y, MOST_FITTED)
            hyperparameters = fit_hyperparameters(x[some], y[some])
        kept = spread_selection(y, MOST_OBSERVATIONS)
        return cls(Posterior(x[kept], y[kept], hyperparameters), scale, direction)

    @property
    def hyperparameters(self) -> Hyperparameters:
        return self.posterior.hyper

    def predict(self, curves: Curves) -> Prediction:
        """Predictions for features of shape (m, F) or for m arrays of learning rates (each of shape (T,))."""
        view = self.view(curves)
        mean, sd = view.mean, view.sd
        ends = self.scale.to_score(mean - INTERVAL_SD * sd), self.scale.to_score(mean + INTERVAL_SD * sd)
        return Prediction(
            mean=self.scale.to_score(mean),
            sd=self.scale.sd_to_score(mean, sd),
            low=np.minimum(*ends),
            high=np.maximum(*ends),
            latent_mean=mean,
            latent_sd=sd,
        )

    def view(self, curves: Curves) -> PoolView:
        """The posterior at these curves, ready for acquisition."""
        return PoolView(self.posterior, as_features(curves))

    def expected_improvement(self, curves: Curves) -> Array:
        """Expected improvement on the best posterior mean of the runs, latent units, shape (m,)."""
        return self.view(curves).expected_improvement()

    def thompson(self, curves: Curves, n: int, rng: np.random.Generator) -> NDArray[np.intp]:
        """The best curve of each of n joint posterior samples: indices, shape (n,)."""
        view = self.view(curves)
        return np.array([view.thompson(rng)[0] for _ in range(n)], dtype=np.intp)

    def with_pending(self, curves: Curves) -> CurveModel:
        """This model with runs that have not ended filled in at their predicted mean."""
        return replace(self, posterior=self.posterior.extended(as_features(curves)))

    def rank_agreement(self) -> float:
        """Spearman correlation between the observed values and their leave-one-out predictions; 0 where undefined.

        How well the model explains the results. Nothing is refitted: hyperparameters stay as they are.
        """
        if len(self.posterior.y) < 3:
            return 0.0
        return spearman(self.posterior.left_out()[0], self.posterior.y)

    def feature_importance(self) -> dict[str, float]:
        """Each feature's share in how the prediction varies over the runs: (slope x spread)^2, summing to 1.

        All 0 where nothing varies. Features of a curve move together, so shares of neighbours are interchangeable.
        """
        x = self.posterior.x
        parts = np.zeros(len(FEATURE_NAMES))
        if len(x) > 1:
            parts = np.square(self.posterior.slopes()).mean(axis=0) * x.var(axis=0)
        total = parts.sum()
        return dict(zip(FEATURE_NAMES, (parts / total if total > 0 else parts).tolist(), strict=True))


def as_features(curves: Curves) -> Array:
    """Features (m, F) as they are; m arrays of learning rates described."""
    if isinstance(curves, np.ndarray) and curves.ndim == 2:
        return curves
    return describe_curves(list(curves))


def spearman(a: Array, b: Array) -> float:
    """Rank correlation; 0 where one side does not vary."""
    ranks = rankdata(a), rankdata(b)
    if min(ranks[0].std(), ranks[1].std()) == 0:
        return 0.0
    return float(np.corrcoef(*ranks)[0, 1])


def spread_selection(y: Array, most: int) -> NDArray[np.intp]:
    """At most `most` indices, ascending: the best half of that number, and an even selection over the rest's ranks."""
    if len(y) <= most:
        return np.arange(len(y))
    order = np.argsort(y, kind="stable")
    best, rest = order[: most // 2], order[most // 2 :]
    even = np.linspace(0, len(rest) - 1, most - most // 2).astype(np.intp)
    return np.sort(np.concatenate([best, rest[even]]))
