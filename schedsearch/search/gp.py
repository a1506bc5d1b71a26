"""The Gaussian process: BoTorch fits its hyperparameters, plain linear algebra answers for them.

Kernel: s (1 + r + r^2 / 3) exp(-r), r = sqrt(5) |(a - b) / lengthscales| (Matern 5/2), plus noise on the diagonal and
a constant mean. BoTorch's SingleTaskGP maximizes the marginal likelihood times the priors; predictions from there on
are closed forms of one Cholesky factor, which a pool of thousands of candidates needs to be cheap. torch is imported
by the first fit. The number of threads is the caller's business.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.spatial.distance import cdist

from schedsearch.search.priors import LogNormal, Priors, learned_priors

Array = NDArray[np.float64]

MOST_ITERATIONS = 40
SMALLEST_NOISE = 1e-5
JITTER = 1e-9


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
        return cls(
            tuple(prior.median for prior in priors.lengthscales), priors.outputscale.median, priors.noise.median
        )


def fit_hyperparameters(x: Array, y: Array, priors: Priors | None = None) -> Hyperparameters:
    """The hyperparameters most probable after y (n,), latent values at features x (n, F); n = 0 gives the medians.

    A pure function: the search starts at the medians of the priors and takes at most MOST_ITERATIONS steps of L-BFGS.
    """
    priors = priors or learned_priors()
    start = Hyperparameters.of_priors(priors)
    if len(x) == 0:
        return start
    fitted = _fitted(_botorch_model(x, y, priors, start))
    return fitted if np.isfinite(fitted.lengthscales + (fitted.outputscale, fitted.noise)).all() else start


def _import_botorch() -> None:
    """The first import, without the deprecation warnings of its own dependencies."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import_module("botorch")


def _botorch_model(x: Array, y: Array, priors: Priors, start: Hyperparameters) -> Any:
    _import_botorch()
    import torch
    from botorch.models import SingleTaskGP
    from botorch.settings import validate_input_scaling
    from gpytorch.constraints import GreaterThan
    from gpytorch.kernels import MaternKernel, ScaleKernel
    from gpytorch.likelihoods import GaussianLikelihood

    scales = torch.tensor(start.lengthscales, dtype=torch.double)
    base = MaternKernel(nu=2.5, ard_num_dims=x.shape[1], lengthscale_prior=_prior(priors.lengthscales))
    likelihood = GaussianLikelihood(
        noise_prior=_prior([priors.noise]), noise_constraint=GreaterThan(SMALLEST_NOISE, initial_value=start.noise)
    )
    kernel = ScaleKernel(base, outputscale_prior=_prior([priors.outputscale]))
    with validate_input_scaling(False):
        model = SingleTaskGP(
            torch.from_numpy(x.copy()),
            torch.from_numpy(y.copy())[:, None],
            likelihood=likelihood,
            covar_module=kernel,
            outcome_transform=None,
        )
    base.lengthscale = scales
    kernel.outputscale = start.outputscale
    likelihood.noise = start.noise
    return model


def _prior(priors: Sequence[LogNormal]) -> Any:
    import torch
    from gpytorch.priors import LogNormalPrior

    locations = torch.tensor([prior.location for prior in priors], dtype=torch.double)
    scales = torch.tensor([prior.scale for prior in priors], dtype=torch.double)
    return LogNormalPrior(locations.squeeze(), scales.squeeze())


def _fitted(model: Any) -> Hyperparameters:
    from botorch.optim.fit import fit_gpytorch_mll_scipy
    from gpytorch.mlls import ExactMarginalLogLikelihood

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # stopping after MOST_ITERATIONS is meant
        fit_gpytorch_mll_scipy(
            ExactMarginalLogLikelihood(model.likelihood, model), options={"maxiter": MOST_ITERATIONS}
        )
    kernel = model.covar_module
    return Hyperparameters(
        tuple(kernel.base_kernel.lengthscale.detach().flatten().tolist()),
        float(kernel.outputscale.detach()),
        float(model.likelihood.noise.detach().squeeze()),
        float(model.mean_module.constant.detach()),
    )


def matern(a: Array, b: Array, hyper: Hyperparameters) -> Array:
    """Prior covariances between features a (n, F) and b (m, F): shape (n, m)."""
    scales = np.asarray(hyper.lengthscales)
    r = np.sqrt(5.0) * cdist(a / scales, b / scales)
    return np.asarray(hyper.outputscale * (1 + r + r * r / 3) * np.exp(-r), dtype=np.float64)


@dataclass(frozen=True)
class Posterior:
    """The process after latent values y (n,) at features x (n, F), n >= 0; everything in latent units."""

    x: Array
    y: Array
    hyper: Hyperparameters

    @cached_property
    def factor(self) -> Array:
        """Lower Cholesky factor of the covariance of the observations, (n, n)."""
        covariance = matern(self.x, self.x, self.hyper)
        covariance[np.diag_indices_from(covariance)] += self.hyper.noise + JITTER
        return np.asarray(cholesky(covariance, lower=True, check_finite=False), dtype=np.float64)

    @cached_property
    def weights(self) -> Array:
        """Inverse covariance times centred y, (n,)."""
        centred = self.y - self.hyper.mean
        return np.asarray(cho_solve((self.factor, True), centred, check_finite=False), dtype=np.float64)

    def mean(self, x: Array) -> Array:
        """Posterior mean at features x (m, F): shape (m,). O(n m)."""
        return np.asarray(self.hyper.mean + matern(x, self.x, self.hyper) @ self.weights, dtype=np.float64)

    @cached_property
    def fitted_mean(self) -> Array:
        """Posterior mean of the observed points themselves, (n,)."""
        return np.asarray(self.y - (self.hyper.noise + JITTER) * self.weights, dtype=np.float64)

    def whitened(self, covariances: Array) -> Array:
        """factor^-1 times prior covariances (n, m) of the observations with other points."""
        solved = solve_triangular(self.factor, covariances, lower=True, check_finite=False, overwrite_b=True)
        return np.asarray(solved, dtype=np.float64)

    def left_out(self) -> tuple[Array, Array]:
        """Mean and variance (noise included) at each observation given all others, each (n,): the closed form."""
        inverse = solve_triangular(self.factor, np.eye(len(self.x)), lower=True, check_finite=False)
        precision = np.square(inverse).sum(axis=0)
        return self.y - self.weights / precision, 1 / precision

    def slopes(self) -> Array:
        """Derivative of the posterior mean by each feature at each observation, (n, F), per decade."""
        scales = np.asarray(self.hyper.lengthscales)
        z = self.x / scales
        r = np.sqrt(5.0) * cdist(z, z)
        common = -(5 / 3) * self.hyper.outputscale * (1 + r) * np.exp(-r) * self.weights
        moved = common.sum(axis=1)[:, None] * z - common @ z
        return np.asarray(moved / scales, dtype=np.float64)

    def extended(self, x: Array) -> Posterior:
        """The process with further points taken at their posterior mean: what pending runs are filled in with."""
        if len(x) == 0:
            return self
        return replace(self, x=np.vstack([self.x, x]), y=np.concatenate([self.y, self.mean(x)]))
