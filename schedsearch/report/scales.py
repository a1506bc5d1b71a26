"""Where a value lies on a strip of the page, in percent of its width; and the ticks under it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil, floor, log10
from statistics import median

PAD = 3.0
STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True)
class Scale:
    """A linear scale from low to high; values beyond an end are drawn at that end."""

    low: float
    high: float

    def at(self, value: float) -> float:
        """Percent of the width, between 3 and 97."""
        share = (value - self.low) / (self.high - self.low)
        return round(PAD + (100 - 2 * PAD) * min(1.0, max(0.0, share)), 2)

    def holds(self, value: float) -> bool:
        """Whether the value is drawn where it belongs."""
        return self.low <= value <= self.high

    @property
    def ticks(self) -> tuple[tuple[float, str], ...]:
        """Three to six round values with their texts."""
        rough = (self.high - self.low) / 5
        power = 10.0 ** floor(log10(rough))
        step = power * next(one for one in STEPS if one * power >= rough)
        places = max(0, -floor(log10(step) + 1e-9)) + (1 if step / power == 2.5 else 0)
        count = range(ceil(self.low / step - 1e-9), floor(self.high / step + 1e-9) + 1)
        return tuple((one * step, f"{one * step + 0.0:.{places}f}") for one in count)


def scale_of(values: Iterable[float | None]) -> Scale | None:
    """From the smallest to the largest of the known values; None where nothing is known."""
    known = [value for value in values if value is not None]
    if not known:
        return None
    low, high = min(known), max(known)
    room = (high - low) * 0.02 if high > low else (abs(low) * 0.1 or 1.0)
    return Scale(low - room, high + room)


def robust_scale(values: Iterable[float | None], sign: float, keep: Iterable[float | None] = ()) -> Scale | None:
    """A scale over the good end: bad scores beyond median + 2 (median - best) are left off, `keep` never is."""
    known = sorted(sign * value for value in values if value is not None)
    kept = [value for value in keep if value is not None]
    if not known:
        return scale_of(kept)
    middle = median(known)
    cut = middle + 2 * (middle - known[0])
    return scale_of([*(sign * value for value in known if value <= cut), *kept])
