"""What to try next, given a posterior and a pool of candidates: expected improvement and Thompson samples."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cholesky
from scipy.special import ndtr

from schedsearch.search.gp import Posterior, matern

Array = NDArray[np.float64]

MOST_SAMPLED = 300
OPTIMISM_SD = 2.5
SMALLEST_VARIANCE = 1e-12
JITTER = 1e-8


class PoolView:
    """The posterior at every candidate of a pool, features (m, F). `take` fills a pick in with the model's own mean,
    which leaves every mean as it is and lowers the variance around it."""

    def __init__(self, posterior: Posterior, features: Array) -> None:
        self._posterior = posterior
        self.features = features
        covariances = posterior.covariances(features)
        self.mean: Array = posterior.hyper.mean + posterior.weights @ covariances
        self._whitened = posterior.whitened(covariances)
        self._variance = posterior.hyper.outputscale - np.square(self._whitened).sum(axis=0)

    @property
    def sd(self) -> Array:
        """Posterior standard deviation (without noise) at each candidate, (m,)."""
        return np.asarray(np.sqrt(np.maximum(self._variance, SMALLEST_VARIANCE)), dtype=np.float64)

    @cached_property
    def best_mean(self) -> float:
        """The best posterior mean among the study's own runs (where there are none, of all): what is to be improved."""
        posterior = self._posterior
        fitted = posterior.fitted_mean if posterior.own.any() else posterior.mean(posterior.x)
        return float(fitted.min()) if fitted.size else posterior.hyper.mean

    def take(self, index: int) -> None:
        """Fill candidate `index` in as pending."""
        hyper = self._posterior.hyper
        own = self._whitened[:, index]
        prior = matern(self.features[index : index + 1], self.features, hyper)[0]
        spread = np.sqrt(max(self._variance[index], SMALLEST_VARIANCE) + hyper.noise)
        row = (prior - own @ self._whitened) / spread
        self._whitened = np.vstack([self._whitened, row])
        self._variance = self._variance - np.square(row)

    def expected_improvement(self, best: Array | None = None) -> Array:
        """E[max(0, best - f)] at each candidate, (m,), latent units. best: what each is to improve on, (m,); left out,
        `best_mean` for all."""
        sd = self.sd
        gap = (self.best_mean if best is None else best) - self.mean
        z = gap / sd
        density = np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi)
        return np.asarray(np.maximum(gap * ndtr(z) + sd * density, 0.0), dtype=np.float64)

    def sample(self, rng: np.random.Generator) -> tuple[NDArray[np.intp], Array]:
        """One joint posterior sample: candidates and their values, each (k,), in no particular order.

        Only the MOST_SAMPLED most promising (mean - 2.5 sd) take part, so that the exact sample is cheap.
        """
        promising = np.argsort(self.mean - OPTIMISM_SD * self.sd, kind="stable")[:MOST_SAMPLED]
        features, whitened = self.features[promising], self._whitened[:, promising]
        covariance = matern(features, features, self._posterior.hyper) - whitened.T @ whitened
        covariance[np.diag_indices_from(covariance)] += JITTER + JITTER * self._posterior.hyper.outputscale
        return promising, self.mean[promising] + _factor(covariance) @ rng.standard_normal(len(promising))

    def thompson(self, rng: np.random.Generator) -> NDArray[np.intp]:
        """Candidates in the order of one joint posterior sample, best first."""
        promising, values = self.sample(rng)
        return promising[np.argsort(values, kind="stable")]


def _factor(covariance: Array) -> Array:
    """A square root of a covariance; the Cholesky factor unless rounding made it indefinite."""
    try:
        return np.asarray(cholesky(covariance, lower=True, check_finite=False), dtype=np.float64)
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh(covariance)
        return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0)), dtype=np.float64)
