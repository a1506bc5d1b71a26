"""`CurveModel`: one Gaussian process over the curves of all families, so that every run teaches about all others.

A curve is described by a few numbers in decades (`schedsearch.schedule.describe_curve`); scores are taken as
`values.ValueScale` says. Torch and BoTorch are imported by the first fit that needs them, not by this module.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from schedsearch.schedule import FEATURE_NAMES, describe_curve, describe_curves
from schedsearch.search.acquisition import PoolView
from schedsearch.search.gp import Fitter, Hyperparameters, Posterior, fit_hyperparameters
from schedsearch.search.transfer import FEWEST_OWN, Latent, joint_posterior
from schedsearch.search.values import BadEnd, ValueScale

Array = NDArray[np.float64]
Curves = Array | Sequence[Array]

MOST_OBSERVATIONS = 500
MOST_FITTED = 192
INTERVAL_SD = 1.96
REPEATED_SHARE = 0.3  # .15 to .45 on the real tasks of benchmarks/, 1 where a score has no noise


@dataclass(frozen=True, eq=False)
class Observation:
    """One run that ended: its learning rate at every update, shape (T,), and its score; None when it diverged.

    source: empty for a run of this study's own task; a name for an earlier study (the same task at another horizon,
    with another optimizer or batch size), whose runs are trusted as far as its results turn out to agree.
    """

    lrs: Array
    value: float | None
    source: str = ""

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
    sources: tuple[str, ...] = ()

    @classmethod
    def fit(
        cls,
        observations: Sequence[Observation],
        *,
        direction: str = "minimize",
        hyperparameters: Hyperparameters | None = None,
        fitter: Fitter = "botorch",
        bad_end: BadEnd = "bent",
    ) -> CurveModel:
        """The model of these runs, none of them up to thousands. `hyperparameters`: take these instead of fitting.
        fitter: who fits them; both maximize the same, scipy within milliseconds and without importing BoTorch.
        bad_end: how scores behind the median are made shorter (`values`).

        Beyond MOST_OBSERVATIONS runs the best half of that number and an even selection of the others are used.
        """
        features = [one.features for one in observations]
        x = np.stack(features) if features else np.empty((0, len(FEATURE_NAMES)))
        values = [one.value for one in observations]
        sources = [one.source for one in observations]
        return cls.of_features(x, values, direction, hyperparameters, sources, fitter, bad_end)

    @classmethod
    def of_features(
        cls,
        x: Array,
        values: Sequence[float | None],
        direction: str = "minimize",
        hyperparameters: Hyperparameters | None = None,
        sources: Sequence[str] | None = None,
        fitter: Fitter = "botorch",
        bad_end: BadEnd = "bent",
    ) -> CurveModel:
        """`fit` for curves that are described already: x has shape (n, F)."""
        named = sources or [""] * len(values)
        data, scale = latent(x, values, named, direction, bad_end)
        if hyperparameters is None:
            hyperparameters = fit_latent(data, fitter)
        posterior = joint_posterior(data.thinned(MOST_OBSERVATIONS), hyperparameters)
        return cls(posterior, scale, direction, earlier(named))

    @property
    def hyperparameters(self) -> Hyperparameters:
        return self.posterior.hyper

    @property
    def agreements(self) -> dict[str, float]:
        """How far each earlier study agrees with this one: the correlation of the two functions, in [0, 1]."""
        source, agreement = self.posterior.source, self.posterior.agreement
        if source is None or agreement is None:
            return {}
        return {name: float(agreement[source == index][0]) for index, name in enumerate(self.sources, start=1)}

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

    def judged(self, curves: Curves, values: Sequence[float | None]) -> Array:
        """How good runs that ended are taken to be, latent units, (m,); values: their scores, None for a divergence.

        The posterior mean, moved by REPEATED_SHARE of the way to the run's own score: of what a description does not
        foresee that much comes back with another seed, and the rest is noise.
        """
        mean = self.view(curves).mean
        return np.asarray(mean + REPEATED_SHARE * (self.scale.to_latent(values) - mean), dtype=np.float64)

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

        How well the model explains this study's results. Nothing is refitted: hyperparameters stay as they are.
        """
        own = self.posterior.y[self.posterior.own]
        return spearman(self.posterior.left_out()[0], own) if len(own) >= 3 else 0.0

    def feature_importance(self) -> dict[str, float]:
        """Each feature's share in how the prediction varies over the runs: (slope x spread)^2, summing to 1.

        All 0 where nothing varies. Features of a curve move together, so shares of neighbours are interchangeable.
        """
        x = self.posterior.x[self.posterior.own]
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
    ranks = _ranks(a), _ranks(b)
    if min(ranks[0].std(), ranks[1].std()) == 0:
        return 0.0
    return float(np.corrcoef(*ranks)[0, 1])


def _ranks(values: Array) -> Array:
    """1 for the smallest; equal values share the mean of their ranks. (scipy.stats has this too, and takes a third of a
    second to import.)"""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[place], dtype=np.float64)


def earlier(sources: Sequence[str]) -> tuple[str, ...]:
    """The names of the earlier studies, in the order in which they first appear."""
    return tuple(name for name in dict.fromkeys(sources) if name)


def latent(
    x: Array, values: Sequence[float | None], sources: Sequence[str], direction: str, bad_end: BadEnd
) -> tuple[Latent, ValueScale]:
    """Latent values, each study on its own scale, and this study's scale (an earlier one's before its first run)."""
    names = ("", *earlier(sources))
    source = np.array([names.index(name) for name in sources], dtype=np.intp)
    y, scales = np.empty(len(values)), []
    for index in range(len(names)):
        rows = np.flatnonzero(source == index).tolist()
        scores = [values[row] for row in rows]
        scale = ValueScale.of(scores, direction, bad_end)
        y[rows] = scale.to_latent(scores)
        if scores:
            scales.append(scale)
    return Latent(x, y, source), scales[0] if scales else ValueScale.of([], direction, bad_end)


def fit_latent(data: Latent, fitter: Fitter = "botorch") -> Hyperparameters:
    """The hyperparameters of this study's runs; while it has hardly any of all runs, studies taken as unrelated."""
    own = data.at(data.of(0))
    some = (own if len(own.y) >= FEWEST_OWN else data).thinned(MOST_FITTED)
    return fit_hyperparameters(some.apart, some.y, fitter=fitter)
