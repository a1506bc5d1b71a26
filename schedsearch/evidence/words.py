"""Numbers and differences as a person would say them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import floor, isfinite, log10

from schedsearch.evidence.intervals import Estimate

MOST_DECIMALS = 8


def decimals_for(error: float | None, value: float) -> int:
    """Decimals that show two digits of the error, or four digits of the value where no error is known."""
    size, digits = (abs(error), 2) if error else (abs(value), 4)
    if not isfinite(size) or size == 0:
        return 3
    return min(MOST_DECIMALS, max(0, digits - 1 - floor(log10(size))))


def with_interval(estimate: Estimate, *, unit: str = "95 % ") -> str:
    """`1.839 (95 % 1.821 .. 1.857)`, a difference with its permutation test: `0.021 (95 % 0.012 .. 0.030, p 0.031)`;
    all that is left out where there is no interval."""
    if estimate.low is None or estimate.high is None:
        return number(estimate.value, decimals_for(None, estimate.value))
    places = decimals_for((estimate.high - estimate.low) / 2, estimate.value)
    interval = f"{unit}{number(estimate.low, places)} .. {number(estimate.high, places)}"
    tested = "" if estimate.p_permutation is None else f", p {p_value(estimate.p_permutation)}"
    return f"{number(estimate.value, places)} ({interval}{tested})"


def p_value(value: float) -> str:
    """Two digits: `0.031`, `0.00012`, `1`."""
    return f"{value:.2g}"


def number(value: float, places: int) -> str:
    """With so many decimals; what rounds to zero has no sign."""
    text = f"{value:.{places}f}"
    return text.lstrip("-") if float(text) == 0 else text


def gain(estimate: Estimate, sign: float) -> Estimate:
    """A difference turned so that positive is better: loss saved, or accuracy gained."""
    if sign < 0:
        return estimate
    low = None if estimate.high is None else -estimate.high
    high = None if estimate.low is None else -estimate.low
    return replace(estimate, value=-estimate.value, low=low, high=high)


def improves(sign: float, metric: str) -> str:
    """`lowers the loss`, `raises accuracy`: what a better candidate does to the metric."""
    return f"{'lowers' if sign > 0 else 'raises'} {the(metric)}"


def the(metric: str) -> str:
    """`the loss`, `accuracy`: the metric in a sentence."""
    return f"the {metric}" if metric in ("loss", "score", "error") else metric


def lr(value: float) -> str:
    """A base LR in three digits."""
    return f"{value:.3g}"


def seeds(count: int) -> str:
    """`1 seed`, `6 seeds`."""
    return f"{count} seed{'' if count == 1 else 's'}"


def capital(text: str) -> str:
    """The text with its first letter in capitals, the rest as it is."""
    return text[:1].upper() + text[1:]


def listed(parts: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)
