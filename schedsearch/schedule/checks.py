"""One sentence for each value out of bounds; every check of a value returns its faults instead of raising."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import fields
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np

from schedsearch.errors import InvalidSchedule


def is_number(value: Any) -> bool:
    """A finite real number, Python's or NumPy's; booleans are not numbers here."""
    value = plain(value)
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def is_integer(value: Any) -> bool:
    """An integer, Python's or NumPy's; booleans are not integers here."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def within(name: str, value: Any, low: float, high: float, brackets: str = "()") -> list[str]:
    """Faults of a number that must lie between low and high; `brackets` says which ends belong to the interval."""
    opening, closing = brackets[0], brackets[1]
    if is_number(value):
        above = value > low or (opening == "[" and value == low)
        below = value < high or (closing == "]" and value == high)
        if above and below:
            return []
    interval = f"{opening}{_text(low)}, {_text(high)}{closing}"
    return [f"`{name}` must be in {interval}, but is {shown(value)} instead."]


def positive(name: str, value: Any) -> list[str]:
    """Faults of a number that must be finite and greater than 0."""
    if is_number(value) and value > 0:
        return []
    return [f"`{name}` must be a finite number greater than 0, but is {shown(value)} instead."]


def at_least(name: str, value: Any, low: int) -> list[str]:
    """Faults of an integer with a lower bound."""
    if is_integer(value) and value >= low:
        return []
    return [f"`{name}` must be an integer of at least {low}, but is {shown(value)} instead."]


def one_of(name: str, value: Any, choices: Sequence[Any]) -> list[str]:
    """Faults of a value that must be one of the choices."""
    if value in choices:
        return []
    return [f"`{name}` must be one of {', '.join(map(repr, choices))}, but is {shown(value)} instead."]


def instance(name: str, value: Any, *kinds: type | None) -> list[str]:
    """Faults of a value that must be an instance of one of the classes, or None where None is listed."""
    if any(value is None if kind is None else isinstance(value, kind) for kind in kinds):
        return []
    names = " or ".join("None" if kind is None else f"a {kind.__name__}" for kind in kinds)
    return [f"`{name}` must be {names}, but is {shown(value)} instead."]


def step_every(value: Any) -> list[str]:
    """Faults of a stepping frequency."""
    if value == "epoch" or (is_integer(value) and value >= 1):
        return []
    return [f'`step_every` must be an integer of at least 1 or "epoch", but is {shown(value)} instead.']


def rising(name: str, values: Any, low: float, high: float) -> list[str]:
    """Faults of a non-empty sequence of numbers that must rise strictly inside (low, high)."""
    numbers = isinstance(values, Sequence) and len(values) > 0 and all(map(is_number, values))
    if numbers and low < values[0] and values[-1] < high and all(a < b for a, b in pairwise(values)):
        return []
    interval = f"({_text(low)}, {_text(high)})"
    given = list(values) if isinstance(values, tuple) else values
    return [f"`{name}` must be numbers that rise strictly inside {interval}, but is {shown(given)} instead."]


def unknown_keys(where: str, given: Iterable[str], known: Sequence[str]) -> list[str]:
    """One fault a key that nobody knows."""
    valid = ", ".join(known) or "none"
    return [f"`{where}` has no key {key!r}; valid keys: {valid}." for key in given if key not in known]


def missing_keys(where: str, given: Iterable[str], required: Sequence[str]) -> list[str]:
    """One fault a key that must be there."""
    have = set(given)
    return [f"`{where}` needs the key {key!r}." for key in required if key not in have]


def raise_if_any(faults: Sequence[str]) -> None:
    """Raise InvalidSchedule with all faults, if there are any."""
    if faults:
        raise InvalidSchedule(faults)


def settle(value: Any) -> None:
    """Store the numbers of a checked frozen dataclass as Python's own, each of its field's type.

    So 1, 1.0 and np.float32(1) make the same value with the same serialized form, and -0.0 is 0.0.
    """
    kind: Any = type(value)
    for name, is_float in _fields_of(kind):
        given = getattr(value, name)
        if is_float:
            object.__setattr__(value, name, float(given) + 0.0)
        elif is_integer(given):
            object.__setattr__(value, name, int(given))


@cache
def _fields_of(kind: type) -> tuple[tuple[str, bool], ...]:
    """Names of a dataclass's fields, and which of them are floats; a search makes schedules by the ten thousand."""
    return tuple((one.name, one.type == "float") for one in fields(kind))


def plain(value: Any) -> Any:
    """A number of NumPy as Python's own; anything else as it is."""
    return value.item() if isinstance(value, np.generic) else value


def shown(value: Any) -> str:
    """A value as a message shows it: NumPy's numbers like Python's."""
    return repr(plain(value))


def _text(bound: float) -> str:
    return f"{bound:g}"
