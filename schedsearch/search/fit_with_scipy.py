"""Hyperparameters by scipy's L-BFGS on the closed form: the same objective as `fit_with_botorch`, without its imports.

Minimized over the logarithms of length scales, output scale and noise, and the mean: minus the log marginal likelihood
and the log densities of the priors, divided by the number of runs. With A = (K + noise)^-1 and a = A (y - mean),

    d log likelihood / d p = 1/2 tr((a a^T - A) dK / dp)        (Rasmussen & Williams 2006, equation 5.9)
    d k / d log l_i = outputscale 5/3 (1 + r) exp(-r) (z_i - z'_i)^2,   z = x / lengthscales
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError
from scipy.linalg.lapack import dpotri
from scipy.optimize import minimize
from scipy.spatial.distance import pdist, squareform

from schedsearch.search.gp import MOST_ITERATIONS, SMALLEST_NOISE, Hyperparameters, Posterior
from schedsearch.search.priors import LogNormal, Priors

Array = NDArray[np.float64]

MOST_LOG = 200.0


def most_probable(x: Array, y: Array, priors: Priors, start: Hyperparameters) -> Hyperparameters:
    """The hyperparameters after latent values y (n,) at features x (n, F), n >= 1, searched from `start`.

    `start` itself where the search runs into covariances that have no Cholesky factor.
    """
    objective = _Objective(x, y, [*priors.lengthscales, priors.outputscale, priors.noise])
    bounds = [(-MOST_LOG, MOST_LOG)] * (x.shape[1] + 1) + [(np.log(SMALLEST_NOISE), MOST_LOG), (None, None)]
    try:
        found = minimize(
            objective, _packed(start), jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": MOST_ITERATIONS}
        )
    except LinAlgError:
        return start
    return _unpacked(found.x)


def _packed(hyper: Hyperparameters) -> Array:
    return np.array([*np.log([*hyper.lengthscales, hyper.outputscale, hyper.noise]), hyper.mean])


def _unpacked(point: Array) -> Hyperparameters:
    *lengthscales, outputscale, noise = np.exp(point[:-1]).tolist()
    return Hyperparameters(tuple(lengthscales), outputscale, noise, float(point[-1]))


@dataclass(frozen=True, eq=False)
class _Objective:
    """priors: of the length scales, the output scale and the noise, in this order."""

    x: Array
    y: Array
    priors: list[LogNormal]

    def __call__(self, point: Array) -> tuple[float, Array]:
        """The objective and its gradient at the logarithms and the mean, (F + 3,)."""
        posterior = Posterior(self.x, self.y, _unpacked(point))
        density, slope = self._prior(point[:-1])
        value = -(posterior.log_likelihood + density) / len(self.y)
        return value, -(_gradient(posterior) + np.append(slope, 0.0)) / len(self.y)

    def _prior(self, logs: Array) -> tuple[float, Array]:
        """Log density of the log-normal priors, up to a constant, and its slopes by the logarithms."""
        location = np.array([one.location for one in self.priors])
        variance = np.square([one.scale for one in self.priors])
        off = logs - location
        return float(-(logs + off**2 / (2 * variance)).sum()), -(1 + off / variance)


def _gradient(posterior: Posterior) -> Array:
    """Slopes of the log likelihood by log length scales, log output scale, log noise and the mean, (F + 3,)."""
    hyper, weights = posterior.hyper, posterior.weights
    lower, _ = dpotri(posterior.factor, lower=1)
    inverse = np.tril(lower) + np.tril(lower, -1).T
    pull = 0.5 * (np.outer(weights, weights) - inverse)
    z = posterior.x / np.asarray(hyper.lengthscales)
    r = np.sqrt(5.0) * squareform(pdist(z))
    decay = hyper.outputscale * np.exp(-r)
    outputscale = np.sum(pull * (1 + r + r**2 / 3) * decay)
    pull_z = pull * (5 / 3) * (1 + r) * decay
    lengthscales = 2 * (pull_z.sum(axis=1) @ z**2 - np.sum(z * (pull_z @ z), axis=0))
    return np.array([*lengthscales, outputscale, hyper.noise * np.trace(pull), weights.sum()])


def density(x: Array, y: Array, hyper: Hyperparameters, priors: Priors) -> float:
    """Log density of the values and the hyperparameters a run, up to a constant: what both fitters maximize."""
    return -_Objective(x, y, [*priors.lengthscales, priors.outputscale, priors.noise])(_packed(hyper))[0]
