"""Runs of earlier studies beside this study's own: what they are worth is learned from the results.

Every study's scores are standardised on their own. An earlier study's values are then laid over this study's by a
line (offset and slope, drawn towards 0 and 1) through this study's results and what the earlier one expects at their
curves. How far its function agrees with this one's is a correlation between 0 (its runs change nothing) and nearly 1
(they count like own ones): the mean over AGREEMENTS after the marginal likelihood of the results. Length scales are
this study's; an earlier one's noise is its own, so that results which curves do not explain bend nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from schedsearch.search.gp import Hyperparameters, Posterior
from schedsearch.search.priors import learned_priors

Array = NDArray[np.float64]
Rows = NDArray[np.intp]

AGREEMENTS = (0.0, 0.5, 0.8, 0.9, 0.97)
PRIOR_SHARES = (0.3, 0.15, 0.2, 0.2, 0.15)
FAINTEST = 0.25
FEWEST_OWN = 4
MORE_NOISE = (0.0, 0.03, 0.1, 0.3, 1.0)
LINE_PULL = 2.0
SLOPES = (0.25, 4.0)
FEWEST_LENT = 64
MOST_WEIGHED = 128
APART_DECADES = 300.0


@dataclass(frozen=True, eq=False)
class Latent:
    """Latent values y (n,) at features x (n, F); source (n,): 0 for this study, 1, 2, .. for earlier ones."""

    x: Array
    y: Array
    source: Rows

    def of(self, source: int) -> Rows:
        """The rows of one study."""
        return np.flatnonzero(self.source == source)

    def at(self, rows: Rows) -> Latent:
        """These rows only."""
        return Latent(self.x[rows], self.y[rows], self.source[rows])

    def thinned(self, most: int) -> Latent:
        """About `most` rows: this study's first, and at least FEWEST_LENT of what all others have."""
        others = int(self.source.max(initial=0))
        kept = [_spread(self, 0, most)]
        left = max(FEWEST_LENT, most - len(kept[0]))
        kept += [_spread(self, one, max(1, left // others)) for one in range(1, others + 1)]
        return self.at(np.sort(np.concatenate(kept)))

    @property
    def apart(self) -> Array:
        """Features moved so far apart that studies know nothing of each other."""
        return np.asarray(self.x + APART_DECADES * self.source[:, None], dtype=np.float64)


def _spread(data: Latent, source: int, most: int) -> Rows:
    rows = data.of(source)
    return rows[spread_selection(data.y[rows], most)]


def spread_selection(y: Array, most: int) -> Rows:
    """At most `most` indices, ascending: the best half of that number, and an even selection over the rest's ranks."""
    if len(y) <= most:
        return np.arange(len(y))
    order = np.argsort(y, kind="stable")
    best, rest = order[: most // 2], order[most // 2 :]
    even = np.linspace(0, len(rest) - 1, most - most // 2).astype(np.intp)
    return np.sort(np.concatenate([best, rest[even]]))


def joint_posterior(data: Latent, hyper: Hyperparameters) -> Posterior:
    """The posterior of this study's function after the runs of all studies."""
    if not data.source.any():
        return Posterior(data.x, data.y, hyper)
    usual = Hyperparameters.of_priors(learned_priors())
    y, more_noise, agreement = data.y.copy(), np.zeros(len(data.y)), np.ones(len(data.y))
    for source in range(1, int(data.source.max()) + 1):
        rows = data.of(source)
        more_noise[rows] = _more_noise(data.at(rows), hyper)
        lent = Posterior(data.x[rows], data.y[rows], hyper, more_noise=more_noise[rows])
        y[rows] = _aligned(data.at(data.of(0)), lent)
        agreement[rows] = _agreement(replace(data, y=y), source, usual, more_noise)
    return Posterior(data.x, y, hyper, data.source, agreement, more_noise)


def _more_noise(lent: Latent, hyper: Hyperparameters) -> float:
    """The noise variance, on top of this study's, under which an earlier study's values are most likely: what curves
    do not explain there must not bend this study's function."""
    some = lent.at(spread_selection(lent.y, MOST_WEIGHED))
    return max(
        MORE_NOISE,
        key=lambda more: Posterior(some.x, some.y, hyper, more_noise=np.full(len(some.y), more)).log_likelihood,
    )


def _aligned(own: Latent, lent: Posterior) -> Array:
    """The values of an earlier study, moved and stretched so that they meet this study's results."""
    expected = lent.mean(own.x)
    design = np.column_stack([np.ones_like(expected), expected])
    normal = design.T @ design + LINE_PULL * np.eye(2)
    offset, slope = np.linalg.solve(normal, design.T @ own.y + LINE_PULL * np.array([0.0, 1.0]))
    return np.asarray(offset + np.clip(slope, *SLOPES) * lent.y, dtype=np.float64)


def _agreement(data: Latent, source: int, hyper: Hyperparameters, more_noise: Array) -> float:
    """The expected correlation of this study's function with an earlier one's: the prior's below FEWEST_OWN results,
    and 0 where it turns out to be fainter than FAINTEST, so that what does not help costs nothing.

    hyper: the medians of the priors. Those fitted to a few runs of this study know no other and would refuse it.
    """
    shares = np.log(PRIOR_SHARES)
    if len(data.of(0)) >= FEWEST_OWN:
        rows = np.concatenate([_spread(data, one, MOST_WEIGHED) for one in (0, source)])
        some, noise = data.at(rows), more_noise[rows]
        shares = shares + [_log_likelihood(some, agreement, hyper, noise) for agreement in AGREEMENTS]
    likely = np.exp(shares - shares.max())
    expected = float(likely @ AGREEMENTS / likely.sum())
    return expected if expected >= FAINTEST else 0.0


def _log_likelihood(data: Latent, agreement: float, hyper: Hyperparameters, more_noise: Array) -> float:
    rows = np.where(data.source == 0, 1.0, agreement)
    return Posterior(data.x, data.y, hyper, data.source, rows, more_noise).log_likelihood
