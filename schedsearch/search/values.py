"""Scores as the model sees them: smaller is better, divergence is a bad value, one bad run does not bend the rest.

A loss (minimized and positive everywhere) is taken as its logarithm, any other score as it is, negated when it is
maximized. What is worse than most would bend the model, so the bad end is made shorter. Let gap = median - best of
the runs that reached their horizon: `cut`, for whoever looks for the next candidate, takes all beyond median + gap for
equal; `bent`, for whoever compares families of which some are worse than the median throughout, takes x beyond the
median to median + gap log(1 + (x - median) / gap). Runs that diverged are put at the worst value, and at median + gap
at least. Then everything is standardised. These values are called *latent*.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

BadEnd = Literal["cut", "bent"]
CUT = 1.0
SMALLEST_GAP = 1e-3
SMALLEST_SPREAD = 1e-9


@dataclass(frozen=True)
class ValueScale:
    """The map between scores and latent values of one history.

    sign: 1 to minimize, -1 to maximize. log: whether the logarithm of the score is modelled. middle, gap: the median
    and how far the best is from it, in signed (log) units. bad_end: what becomes of values behind the median. worst:
    where divergences are put, in these shortened units. centre, spread: what standardises them.
    """

    sign: float
    log: bool
    middle: float
    gap: float
    bad_end: BadEnd
    worst: float
    centre: float
    spread: float

    @classmethod
    def of(cls, values: Sequence[float | None], direction: str, bad_end: BadEnd = "cut") -> ValueScale:
        """The scale of these scores; None and non-finite values are divergences. Any number of them, also none."""
        sign = 1.0 if direction == "minimize" else -1.0
        raw = as_array(values)
        finite = raw[np.isfinite(raw)]
        log = sign > 0 and finite.size > 0 and bool((finite > 0).all())
        signed = np.log(finite) if log else sign * finite
        middle, gap = _middle(signed)
        short = _shortened(signed, middle, gap, bad_end)
        worst = max(float(short.max(initial=-np.inf)), float(_shortened(middle + CUT * gap, middle, gap, bad_end)))
        every = np.full(raw.shape, worst)
        every[np.isfinite(raw)] = short
        centre = float(every.mean()) if every.size else 0.0
        spread = float(every.std()) if every.size else 1.0
        spread = spread if spread > SMALLEST_SPREAD * max(1.0, abs(centre)) else 1.0
        return cls(sign, log, middle, gap, bad_end, worst, centre, spread)

    @property
    def ceiling(self) -> float:
        """The latent value from which on a run is counted as bad, that of median + gap, however the bad end is made
        shorter."""
        at_cut = float(_shortened(self.middle + CUT * self.gap, self.middle, self.gap, self.bad_end))
        return (at_cut - self.centre) / self.spread

    def to_latent(self, values: Sequence[float | None]) -> Array:
        """Latent values of scores, shape (n,); divergences are at the worst."""
        raw = as_array(values)
        good = np.isfinite(raw) & ((raw > 0) if self.log else True)
        signed = np.log(raw[good]) if self.log else self.sign * raw[good]
        short = np.full(raw.shape, self.worst)
        short[good] = _shortened(signed, self.middle, self.gap, self.bad_end)
        return np.asarray((short - self.centre) / self.spread, dtype=np.float64)

    def to_score(self, latent: Array) -> Array:
        """Scores of latent values (of a predictive mean: the predictive median)."""
        signed = self._signed(np.asarray(latent))
        return np.asarray(np.exp(signed) if self.log else self.sign * signed, dtype=np.float64)

    def sd_to_score(self, latent_mean: Array, latent_sd: Array) -> Array:
        """Standard deviations in score units, to first order around the mean."""
        sd = np.asarray(latent_sd) * self.spread
        if self.bad_end == "bent":
            behind = np.maximum(self._signed(np.asarray(latent_mean)) - self.middle, 0.0)
            sd = sd * (1 + behind / self.gap)
        return np.asarray(self.to_score(latent_mean) * sd if self.log else sd, dtype=np.float64)

    def _signed(self, latent: Array) -> Array:
        """Signed (log) values: `_shortened` taken back where it was bent, as far as the worst value."""
        short = latent * self.spread + self.centre
        if self.bad_end == "cut":
            return np.asarray(short, dtype=np.float64)
        behind = np.maximum(np.minimum(short, self.worst) - self.middle, 0.0) / self.gap
        return np.asarray(np.minimum(short, self.middle) + self.gap * np.expm1(behind), dtype=np.float64)


def as_array(values: Sequence[float | None]) -> Array:
    """Scores as float64, shape (n,); None becomes NaN."""
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def _middle(signed: Array) -> tuple[float, float]:
    """The median and its distance to the best, a little where all are equal; (0, SMALLEST_GAP) where there are none."""
    if signed.size == 0:
        return 0.0, SMALLEST_GAP
    middle = float(np.median(signed))
    gap = middle - float(signed.min())
    return middle, gap if gap > 0 else SMALLEST_GAP * max(1.0, abs(middle))


def _shortened(signed: Array | float, middle: float, gap: float, bad_end: BadEnd) -> Array:
    """Signed values with their bad end cut or bent."""
    if bad_end == "cut":
        return np.asarray(np.minimum(signed, middle + CUT * gap), dtype=np.float64)
    behind = np.maximum(np.asarray(signed) - middle, 0.0)
    return np.asarray(np.minimum(signed, middle) + gap * np.log1p(behind / gap), dtype=np.float64)
