"""Hyperparameters by BoTorch: the marginal likelihood times the priors, maximized from the priors' medians.

The one module that imports torch and BoTorch, and so itself imported by the first fit only (`gp.fit_hyperparameters`).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray

from schedsearch.search.gp import MOST_ITERATIONS, SMALLEST_NOISE, Hyperparameters
from schedsearch.search.priors import LogNormal, Priors

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # its dependencies use what torch calls deprecated
    from botorch.models import SingleTaskGP
    from botorch.optim.fit import fit_gpytorch_mll_scipy
    from botorch.settings import validate_input_scaling
    from gpytorch.constraints import GreaterThan
    from gpytorch.kernels import MaternKernel, ScaleKernel
    from gpytorch.likelihoods import GaussianLikelihood
    from gpytorch.mlls import ExactMarginalLogLikelihood
    from gpytorch.priors import LogNormalPrior
    from linear_operator.utils.errors import NanError, NotPSDError

Array = NDArray[np.float64]


def most_probable(x: Array, y: Array, priors: Priors, start: Hyperparameters) -> Hyperparameters:
    """The hyperparameters after latent values y (n,) at features x (n, F), n >= 1, searched from `start`.

    `start` itself where the search runs into covariances that have no Cholesky factor.
    """
    model = _model(x, y, priors, start)
    with _one_thread(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # stopping after MOST_ITERATIONS is meant
        try:
            fit_gpytorch_mll_scipy(
                ExactMarginalLogLikelihood(model.likelihood, model), options={"maxiter": MOST_ITERATIONS}
            )
        except (NanError, NotPSDError):
            return start
    kernel = model.covar_module
    return Hyperparameters(
        tuple(kernel.base_kernel.lengthscale.detach().flatten().tolist()),
        float(kernel.outputscale.detach()),
        float(model.likelihood.noise.detach().squeeze()),
        float(model.mean_module.constant.detach()),
    )


@contextmanager
def _one_thread() -> Iterator[None]:
    """Matrices of a few hundred rows gain nothing from threads, which cost seconds where cores are busy."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _model(x: Array, y: Array, priors: Priors, start: Hyperparameters) -> SingleTaskGP:
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
    base.lengthscale = torch.tensor(start.lengthscales, dtype=torch.double)
    kernel.outputscale = start.outputscale
    likelihood.noise = start.noise
    return model


def _prior(priors: Sequence[LogNormal]) -> LogNormalPrior:
    locations = torch.tensor([prior.location for prior in priors], dtype=torch.double)
    scales = torch.tensor([prior.scale for prior in priors], dtype=torch.double)
    return LogNormalPrior(locations.squeeze(), scales.squeeze())
