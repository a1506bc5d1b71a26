"""Is a shorter horizon a fair judge? Decided by candidates that were trained at both, before it may sort any out.

The whole schedule is run compressed to a fraction of the horizon. That ranks well on some tasks and badly on others, so
it is calibrated inside the study: of the candidates that are truly best (the best quarter at the full horizon), how
many does the shorter one keep (among its best KEPT)?
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, inf

from schedsearch.evidence.distributions import share_interval
from schedsearch.evidence.scores import sign_of

TOP = 1 / 4
KEPT = 1 / 3
FEWEST_SHARE = 0.5

Pair = tuple[float | None, float | None]


@dataclass(frozen=True)
class Calibration:
    """How far a shorter horizon can be trusted.

    short, full: updates. candidates: trained at both; top: how many of them count as truly best; kept: how many of
    these the shorter horizon keeps; low, high: 95 % interval of the share kept (Jeffreys).
    """

    short: int
    full: int
    candidates: int
    top: int
    kept: int
    low: float
    high: float

    @property
    def holds(self) -> bool:
        """Whether it keeps the best beyond doubt: the interval of its share lies above FEWEST_SHARE."""
        return self.low > FEWEST_SHARE

    @property
    def sentence(self) -> str:
        """The measurement, for a person."""
        share = f"95 % {100 * self.low:.0f} .. {100 * self.high:.0f} %"
        return (
            f"of {self.candidates} candidates trained for {self.short} and for {self.full} updates, the best third at "
            f"{self.short} held {self.kept} of the {self.top} truly best ({share})"
        )


def calibrate(pairs: Sequence[Pair], direction: str, *, short: int, full: int) -> Calibration:
    """What these candidates show: their scores at the shorter and at the full horizon, None for a divergence.

    Interval: Brown, Cai & DasGupta, Interval estimation for a binomial proportion, 2001.
    """
    sign = sign_of(direction)
    bad = [tuple(inf if score is None else sign * score for score in pair) for pair in pairs]
    top = set(sorted(range(len(bad)), key=lambda one: bad[one][1])[: ceil(TOP * len(bad))])
    first = set(sorted(range(len(bad)), key=lambda one: bad[one][0])[: ceil(KEPT * len(bad))])
    kept = len(top & first)
    return Calibration(short, full, len(bad), len(top), kept, *share_interval(kept, len(top)))


@dataclass(frozen=True)
class Screening:
    """What screening did in a study. sorted_out: candidates that were only trained at the shorter horizon; promoted:
    those that were trained at the full one after it. saved: updates saved against training all of them in full."""

    calibration: Calibration
    sorted_out: int
    promoted: int

    @property
    def saved(self) -> int:
        short, full = self.calibration.short, self.calibration.full
        return self.sorted_out * full - (self.sorted_out + self.promoted) * short

    @property
    def sentence(self) -> str:
        """Whether it was used, why, and what it saved."""
        found = self.calibration
        if not found.holds:
            return f"Screening was refused: {found.sentence}. Every candidate was trained in full."
        seen = self.sorted_out + self.promoted
        whole = max(1, seen * found.full)
        return (
            f"Screening was used: {found.sentence}. Of {seen} more candidates {self.promoted} were then trained in "
            f"full, which saved {self.saved:,} updates ({100 * self.saved / whole:.0f} % of theirs)."
        )
