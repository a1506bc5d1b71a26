"""Gaussian processes that share length scales: fitted to several sets of runs at once, by exact gradients.

The kernel is the one of `schedsearch.search.gp` (Matern 5/2 over features in decades, noise, a constant mean). Every
set has its own output scale, noise and mean. With one set and the priors of the project it is the project's own fit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, cholesky
from scipy.optimize import minimize

from schedsearch.search.gp import Hyperparameters
from schedsearch.search.priors import LogNormal, Priors

Array = NDArray[np.float64]

BOUNDS = {"lengthscale": (-3.0, 6.0), "outputscale": (-4.0, 5.0), "noise": (-11.0, 1.0), "mean": (-3.0, 3.0)}


@dataclass(frozen=True, eq=False)
class Runs:
    """Features x (n, F), in decades, and latent values y (n,) of one task."""

    x: Array
    y: Array


def wide_priors(features: int, median: float = 3.0, spread: float = 3.0) -> Priors:
    """Priors that know nothing: all features alike."""
    return Priors((LogNormal(median, spread),) * features, LogNormal(1.0, 2.7), LogNormal(0.02, 6.0))


def fit(sets: Sequence[Runs], priors: Priors, iterations: int = 80) -> list[Hyperparameters]:
    """The most probable hyperparameters, one entry a set; the length scales are the same in all."""
    squares = [np.square(one.x[:, None] - one.x[None]) for one in sets]
    features = sets[0].x.shape[1]
    locations = [one.location for one in priors.lengthscales]
    start = np.concatenate([locations, *([[0.0, priors.noise.location, 0.0]] * len(sets))])
    bounds = [BOUNDS["lengthscale"]] * features
    bounds += [BOUNDS["outputscale"], BOUNDS["noise"], BOUNDS["mean"]] * len(sets)
    found = minimize(
        _objective,
        start,
        args=(sets, squares, priors),
        jac=True,
        method="L-BFGS-B",
        bounds=bounds,
        options={"maxiter": iterations},
    )
    scales = tuple(np.exp(found.x[:features]).tolist())
    own = found.x[features:].reshape(-1, 3)
    return [Hyperparameters(scales, float(np.exp(a)), float(np.exp(b)), float(mean)) for a, b, mean in own]


def _objective(theta: Array, sets: Sequence[Runs], squares: Sequence[Array], priors: Priors) -> tuple[float, Array]:
    """Minus the log posterior density and its gradient."""
    features = sets[0].x.shape[1]
    gradient = np.zeros_like(theta)
    total = 0.0
    for index, (runs, square) in enumerate(zip(sets, squares, strict=True)):
        at = features + 3 * index
        value, slope = _negative_log_likelihood(theta[:features], theta[at : at + 3], runs, square)
        total += value
        gradient[:features] += slope[:features]
        gradient[at : at + 3] += slope[features:]
        for place, prior in ((at, priors.outputscale), (at + 1, priors.noise)):
            total += _penalty(theta, gradient, place, prior)
    for place, prior in enumerate(priors.lengthscales):
        total += _penalty(theta, gradient, place, prior)
    return total, gradient


def _penalty(theta: Array, gradient: Array, place: int, prior: LogNormal) -> float:
    away = (theta[place] - prior.location) / prior.scale
    gradient[place] += away / prior.scale
    return 0.5 * float(away) ** 2


def _negative_log_likelihood(log_scales: Array, own: Array, runs: Runs, square: Array) -> tuple[float, Array]:
    inverse_squares = np.exp(-2 * log_scales)
    outputscale, noise, mean = np.exp(own[0]), np.exp(own[1]), own[2]
    r = np.sqrt(5 * np.maximum(square @ inverse_squares, 0.0))
    decay = outputscale * np.exp(-r)
    kernel = decay * (1 + r + r * r / 3)
    n = len(runs.y)
    covariance = kernel + (noise + 1e-8) * np.eye(n)
    factor = cholesky(covariance, lower=True, check_finite=False)
    inverse = cho_solve((factor, True), np.eye(n), check_finite=False)
    weights = inverse @ (runs.y - mean)
    value = 0.5 * float((runs.y - mean) @ weights) + float(np.log(np.diag(factor)).sum())
    pull = inverse - np.outer(weights, weights)
    slopes = 0.5 * np.einsum("ij,ijk->k", pull * decay * (1 + r) * (5 / 3), square) * inverse_squares
    more = [0.5 * float((pull * kernel).sum()), 0.5 * noise * float(np.trace(pull)), -float(weights.sum())]
    return value, np.concatenate([slopes, more])
