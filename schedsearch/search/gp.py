"""The Gaussian process: BoTorch or scipy fits its hyperparameters, plain linear algebra answers for them.

Kernel: s (1 + r + r^2 / 3) exp(-r), r = sqrt(5) |(a - b) / lengthscales| (Matern 5/2), plus noise on the diagonal and
a constant mean. BoTorch's SingleTaskGP maximizes the marginal likelihood times the priors (`fit_with_botorch`); scipy
does where importing BoTorch takes longer than a run (`fit_with_scipy`). Predictions from there on are closed forms of
one Cholesky factor, which a pool of thousands of candidates needs to be cheap.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.linalg.lapack import dtrtri
from scipy.spatial.distance import cdist

from schedsearch.search.priors import Priors, learned_priors

Array = NDArray[np.float64]

MOST_ITERATIONS = 40
SMALLEST_NOISE = 1e-5
JITTER = 1e-9
Fitter = Literal["botorch", "scipy"]
Entry = TypeVar("Entry", np.intp, np.float64)


@dataclass(frozen=True)
class Hyperparameters:
    """lengthscales in decades, one a feature; outputscale and noise are variances in latent units, mean is latent."""

    lengthscales: tuple[float, ...]
    outputscale: float
    noise: float
    mean: float = 0.0

    @classmethod
    def of_priors(cls, priors: Priors) -> Hyperparameters:
        """The medians of the priors: what is used before there is anything to fit."""
        return cls(tuple(prior.median for prior in priors.lengthscales), priors.outputscale.median, priors.noise.median)


def fit_hyperparameters(
    x: Array, y: Array, priors: Priors | None = None, fitter: Fitter = "botorch"
) -> Hyperparameters:
    """The hyperparameters most probable after y (n,), latent values at features x (n, F); n = 0 gives the medians.

    A pure function: the search starts at the medians of the priors and takes at most MOST_ITERATIONS steps of L-BFGS.
    """
    priors = priors or learned_priors()
    start = Hyperparameters.of_priors(priors)
    if len(x) == 0:
        return start
    fitted = _most_probable(fitter)(x, y, priors, start)
    return fitted if np.isfinite((*fitted.lengthscales, fitted.outputscale, fitted.noise, fitted.mean)).all() else start


def _most_probable(fitter: Fitter) -> Callable[[Array, Array, Priors, Hyperparameters], Hyperparameters]:
    if fitter == "scipy":
        from schedsearch.search import fit_with_scipy

        return fit_with_scipy.most_probable
    from schedsearch.search import fit_with_botorch  # torch and BoTorch cost seconds to import

    return fit_with_botorch.most_probable


def matern(a: Array, b: Array, hyper: Hyperparameters) -> Array:
    """Prior covariances between features a (n, F) and b (m, F): shape (n, m)."""
    scales = np.asarray(hyper.lengthscales)
    r = cdist(a / scales, b / scales)
    r *= np.sqrt(5.0)
    covariances = r / 3  # in place from here on: the largest arrays of an ask
    covariances += 1
    covariances *= r
    covariances += 1
    np.exp(np.negative(r, out=r), out=r)
    covariances *= r
    covariances *= hyper.outputscale
    return np.asarray(covariances, dtype=np.float64)


@dataclass(frozen=True)
class Posterior:
    """The process after latent values y (n,) at features x (n, F), n >= 0; everything in latent units.

    agreement: one number a row, 1 for this study's own runs; rows of another study share theirs, the correlation of
    its function with this study's, in [0, 1]. source: the study of each row, 0 for this one. Rows of different studies
    covary by the product of their agreements, as if every study showed this one's function and something of its own.
    more_noise: the variance that a row has on top of the usual noise, 0 for this study's own. Left out, all rows are
    this study's. Whatever is predicted is this study's function.
    """

    x: Array
    y: Array
    hyper: Hyperparameters
    source: NDArray[np.intp] | None = None
    agreement: Array | None = None
    more_noise: Array | None = None

    @cached_property
    def own(self) -> NDArray[np.bool_]:
        """Which rows are this study's, (n,)."""
        return np.ones(len(self.x), dtype=np.bool_) if self.source is None else self.source == 0

    @cached_property
    def factor(self) -> Array:
        """Lower Cholesky factor of the covariance of the observations, (n, n)."""
        covariance = matern(self.x, self.x, self.hyper)
        if self.source is not None and self.agreement is not None:
            same = self.source[:, None] == self.source
            covariance = np.where(same, covariance, covariance * np.outer(self.agreement, self.agreement))
        noise = self.hyper.noise + JITTER
        covariance[np.diag_indices_from(covariance)] += noise if self.more_noise is None else noise + self.more_noise
        return np.asarray(cholesky(covariance, lower=True, check_finite=False), dtype=np.float64)

    def covariances(self, x: Array) -> Array:
        """Prior covariances of the observations with this study's function at features x (m, F): (n, m)."""
        covariances = matern(self.x, x, self.hyper)
        return covariances if self.agreement is None else self.agreement[:, None] * covariances

    @cached_property
    def weights(self) -> Array:
        """Inverse covariance times centred y, (n,)."""
        centred = self.y - self.hyper.mean
        return np.asarray(cho_solve((self.factor, True), centred, check_finite=False), dtype=np.float64)

    def mean(self, x: Array) -> Array:
        """Posterior mean at features x (m, F): shape (m,). O(n m)."""
        return np.asarray(self.hyper.mean + self.weights @ self.covariances(x), dtype=np.float64)

    @cached_property
    def fitted_mean(self) -> Array:
        """Posterior mean of this study's own observed points, (own n,)."""
        fitted = self.y - (self.hyper.noise + JITTER) * self.weights
        return np.asarray(fitted[self.own], dtype=np.float64)

    @cached_property
    def log_likelihood(self) -> float:
        """Log density of y under the prior."""
        centred = self.y - self.hyper.mean
        halves = centred @ self.weights + len(self.y) * np.log(2 * np.pi)
        return float(-0.5 * halves - np.log(np.diag(self.factor)).sum())

    def whitened(self, covariances: Array) -> Array:
        """factor^-1 times prior covariances (n, m) of the observations with other points; these are overwritten."""
        solved = solve_triangular(self.factor, covariances, lower=True, check_finite=False, overwrite_b=True)
        return np.asarray(solved, dtype=np.float64)

    def left_out(self) -> tuple[Array, Array]:
        """Mean and variance (noise included) at each own observation given all others, each (own n,): closed form."""
        inverse, _ = dtrtri(self.factor, lower=1)
        precision = np.square(inverse).sum(axis=0)
        return (self.y - self.weights / precision)[self.own], (1 / precision)[self.own]

    def slopes(self) -> Array:
        """Derivative of the posterior mean by each feature at each own observation, (own n, F), per decade."""
        scales = np.asarray(self.hyper.lengthscales)
        z = self.x / scales
        r = np.sqrt(5.0) * cdist(z[self.own], z)
        pull = self.weights if self.agreement is None else self.weights * self.agreement
        common = -(5 / 3) * self.hyper.outputscale * (1 + r) * np.exp(-r) * pull
        moved = common.sum(axis=1)[:, None] * z[self.own] - common @ z
        return np.asarray(moved / scales, dtype=np.float64)

    def extended(self, x: Array) -> Posterior:
        """The process with further points taken at their posterior mean: what pending runs are filled in with."""
        if len(x) == 0:
            return self
        return replace(
            self,
            x=np.vstack([self.x, x]),
            y=np.concatenate([self.y, self.mean(x)]),
            source=_longer(self.source, len(x), 0),
            agreement=_longer(self.agreement, len(x), 1.0),
            more_noise=_longer(self.more_noise, len(x), 0.0),
        )


def _longer(column: NDArray[Entry] | None, count: int, value: float) -> NDArray[Entry] | None:
    return None if column is None else np.concatenate([column, np.full(count, value, dtype=column.dtype)])
