"""The free shape: a monotone cubic through two inner points."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import numpy as np

from schedsearch.schedule import checks
from schedsearch.schedule.decay import Array, Decay, end_faults, end_text

SMALLEST_GAP = 1e-6


@dataclass(frozen=True)
class Spline(Decay):
    """Monotone cubic interpolation (PCHIP) through (0, 1), (x1, y1), (x2, y2), (1, r), with r = final_factor.

    0 < x1 < x2 < 1, at least SMALLEST_GAP apart and from the ends, and 1 >= y1 >= y2 >= r >= 0. The curve never rises
    and never leaves [r, 1].
    Source: Fritsch & Butland, A method for constructing local monotone piecewise cubic interpolants, 1984.
    """

    x1: float
    x2: float
    y1: float
    y2: float
    final_factor: float = 0.0
    kind: ClassVar[str] = "spline"

    def value(self, z: Array) -> Array:
        knots = np.array([0.0, self.x1, self.x2, 1.0])
        heights = np.array([1.0, self.y1, self.y2, self.final_factor])
        return monotone_cubic(knots, heights, z)

    def faults(self) -> list[str]:
        faults = checks.rising("decay.x1, decay.x2", (self.x1, self.x2), 0, 1) or self._gap_faults()
        faults += checks.within("decay.y1", self.y1, 0, 1, "[]")
        faults += checks.within("decay.y2", self.y2, 0, 1, "[]")
        faults += end_faults(self.final_factor)
        heights = [self.y1, self.y2, self.final_factor]
        if not faults and not self.y1 >= self.y2 >= self.final_factor:
            shown = ", ".join(map(checks.shown, heights))
            faults = [f"`decay.y1`, `decay.y2`, `decay.final_factor` must not rise, but are {shown} instead."]
        return faults

    def _gap_faults(self) -> list[str]:
        if min(self.x1, self.x2 - self.x1, 1 - self.x2) >= SMALLEST_GAP:
            return []
        given = f"{checks.shown(self.x1)}, {checks.shown(self.x2)}"
        return [
            f"`decay.x1, decay.x2` must be at least {SMALLEST_GAP:g} apart and from 0 and 1, but are {given} instead."
        ]

    def describe(self) -> str:
        points = [(self.x1, self.y1), (self.x2, self.y2)]
        through = " and ".join(f"{100 * y:.3g} % at {100 * x:.3g} %" for x, y in points)
        return f"free shape through {through}, {end_text(self.final_factor)}"


def monotone_cubic(knots: Array, heights: Array, z: Array) -> Array:
    """Cubic Hermite interpolation that keeps the data's monotonicity; float64 of the shape of `z`.

    knots: at least three, rising, shape (n,). heights: their values, shape (n,). The slope at an inner knot is the
    weighted harmonic mean of its neighbours' (0 at an extremum), the end slopes are three-point, shape-preserving.
    """
    widths = np.diff(knots)
    tangents = _tangents(widths, np.diff(heights) / widths)
    index = np.clip(np.searchsorted(knots, z, side="right") - 1, 0, len(widths) - 1)
    h = widths[index]
    s = (z - knots[index]) / h
    start, end = heights[index], heights[index + 1]
    bend = tangents[index] * (1 - s) - tangents[index + 1] * s
    cubic = start + (end - start) * s**2 * (3 - 2 * s) + h * s * (1 - s) * bend
    return np.asarray(np.clip(cubic, np.minimum(start, end), np.maximum(start, end)), dtype=np.float64)


def _tangents(widths: Array, slopes: Array) -> Array:
    pairs = zip(pairwise(widths), pairwise(slopes), strict=True)
    inner = [_inner_slope(h0, h1, a, b) for (h0, h1), (a, b) in pairs]
    first = _end_slope(widths[0], widths[1], slopes[0], slopes[1])
    last = _end_slope(widths[-1], widths[-2], slopes[-1], slopes[-2])
    return np.array([first, *inner, last])


def _inner_slope(h0: float, h1: float, a: float, b: float) -> float:
    if a * b <= 0:
        return 0.0
    w0, w1 = 2 * h1 + h0, h1 + 2 * h0
    return (w0 + w1) * a * b / (w0 * b + w1 * a)


def _end_slope(h0: float, h1: float, a: float, b: float) -> float:
    slope = ((2 * h0 + h1) * a - h0 * b) / (h0 + h1)
    if slope * a <= 0:
        return 0.0
    return 3 * a if a * b < 0 and abs(slope) > 3 * abs(a) else slope
