"""Scores as the model sees them: smaller is better, divergence is a bad value, one bad run does not bend the rest.

A loss (minimized and positive everywhere) is taken as its logarithm, any other score as it is, negated when it is
maximized. The bad end is cut at median + (median - best) of the runs that reached their horizon, and runs that
diverged are put there. Then everything is standardised. These values are called *latent*.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

CUT = 1.0
SMALLEST_GAP = 1e-3
SMALLEST_SPREAD = 1e-9


@dataclass(frozen=True)
class ValueScale:
    """The map between scores and latent values of one history.

    sign: 1 to minimize, -1 to maximize. log: whether the logarithm of the score is modelled. ceiling: where the bad
    end is cut, in signed (log) units. centre, spread: what standardises the cut values.
    """

    sign: float
    log: bool
    ceiling: float
    centre: float
    spread: float

    @classmethod
    def of(cls, values: Sequence[float | None], direction: str) -> ValueScale:
        """The scale of these scores; None and non-finite values are divergences. Any number of them, also none."""
        sign = 1.0 if direction == "minimize" else -1.0
        raw = as_array(values)
        finite = raw[np.isfinite(raw)]
        log = sign > 0 and finite.size > 0 and bool((finite > 0).all())
        signed = np.log(finite) if log else sign * finite
        ceiling = _ceiling(signed)
        cut = np.full(raw.shape, ceiling)
        cut[np.isfinite(raw)] = np.minimum(signed, ceiling)
        centre = float(cut.mean()) if cut.size else 0.0
        spread = float(cut.std()) if cut.size else 1.0
        return cls(sign, log, ceiling, centre, spread if spread > SMALLEST_SPREAD * max(1.0, abs(centre)) else 1.0)

    def to_latent(self, values: Sequence[float | None]) -> Array:
        """Latent values of scores, shape (n,); divergences are at the cut."""
        raw = as_array(values)
        good = np.isfinite(raw) & ((raw > 0) if self.log else True)
        signed = np.full(raw.shape, self.ceiling)
        signed[good] = np.log(raw[good]) if self.log else self.sign * raw[good]
        return np.asarray((np.minimum(signed, self.ceiling) - self.centre) / self.spread, dtype=np.float64)

    def to_score(self, latent: Array) -> Array:
        """Scores of latent values (of a predictive mean: the predictive median)."""
        signed = np.asarray(latent) * self.spread + self.centre
        return np.asarray(np.exp(signed) if self.log else self.sign * signed, dtype=np.float64)

    def sd_to_score(self, latent_mean: Array, latent_sd: Array) -> Array:
        """Standard deviations in score units, to first order around the mean."""
        sd = np.asarray(latent_sd) * self.spread
        return np.asarray(self.to_score(latent_mean) * sd if self.log else sd, dtype=np.float64)


def as_array(values: Sequence[float | None]) -> Array:
    """Scores as float64, shape (n,); None becomes NaN."""
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def _ceiling(signed: Array) -> float:
    """median + CUT * (median - best); a little above the values where they are all equal. 0 where there are none."""
    if signed.size == 0:
        return 0.0
    middle = float(np.median(signed))
    gap = middle - float(signed.min())
    return middle + CUT * (gap if gap > 0 else SMALLEST_GAP * max(1.0, abs(middle)))
