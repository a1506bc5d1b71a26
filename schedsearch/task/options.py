"""The options of a task: declared on its class with a type, a default and bounds, and read from text."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar, cast

T = TypeVar("T")
KINDS = {int: "an integer", float: "a finite number", bool: "true or false", str: "a text"}
BOOLEANS = {"true": True, "false": False}


@dataclass(frozen=True)
class Option:
    """One declared option. A default of None makes it optional; then `none` is a valid value too."""

    default: Any
    kind: type
    about: str = ""
    at_least: float | None = None
    above: float | None = None
    below: float | None = None
    choices: tuple[Any, ...] = ()

    def read(self, name: str, value: Any) -> Any:
        """The value as the option's type, also from text (`"1e-3"`). Raises ValueError with one sentence."""
        if self.default is None and (value is None or value == "none"):
            return None
        found = _converted(self.kind, value)
        if found is None or not self._holds(found):
            raise ValueError(f"`{name}` must be {self.bound()}, but is {value!r} instead.")
        return found

    def bound(self) -> str:
        """What a value must be, in words: `an integer of at least 1`."""
        if self.choices:
            return f"one of {', '.join(map(repr, self.choices))}"
        limits = [
            f"{words} {limit:g}"
            for words, limit in (("of at least", self.at_least), ("above", self.above), ("below", self.below))
            if limit is not None
        ]
        optional = ["or none"] if self.default is None else []
        return " ".join([KINDS[self.kind], " and ".join(limits), *optional]).replace("  ", " ").strip()

    def _holds(self, value: Any) -> bool:
        return (
            (not self.choices or value in self.choices)
            and (self.at_least is None or value >= self.at_least)
            and (self.above is None or value > self.above)
            and (self.below is None or value < self.below)
        )


def option(
    default: T,
    about: str = "",
    *,
    kind: type | None = None,
    at_least: float | None = None,
    above: float | None = None,
    below: float | None = None,
    choices: tuple[Any, ...] = (),
) -> T:
    """Declare an option in the body of a task: `width: int = option(64, "hidden units", at_least=1)`.

    The type is that of the default; `kind` gives it where the default is None. An instance of the task has the value.
    """
    found = kind or type(default)
    if found not in KINDS:
        raise TypeError(f"An option must be of type int, float, bool or str, but is {found.__name__} instead.")
    return cast(T, Option(default, found, about, at_least, above, below, choices))


def declared_options(owner: type) -> dict[str, Option]:
    """The options of a class by name, inherited ones included; a plain value in a subclass is a new default."""
    declared: dict[str, Option] = {}
    for cls in reversed(owner.__mro__):
        for name, value in vars(cls).items():
            if isinstance(value, Option):
                declared[name] = value
            elif name in declared:
                declared[name] = replace(declared[name], default=value)
    return declared


def read_options(
    task: str, declared: Mapping[str, Option], given: Mapping[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    """The value of every declared option, and one sentence for every unknown name and every bad value."""
    valid = ", ".join(sorted(declared))
    unknown = [name for name in given if name not in declared]
    faults = [f"The task {task!r} has no option `{name}`; its options: {valid}." for name in unknown]
    values: dict[str, Any] = {}
    for name, one in declared.items():
        try:
            values[name] = one.read(name, given.get(name, one.default))
        except ValueError as error:
            faults.append(str(error))
    return values, faults


def _converted(kind: type, value: Any) -> Any:
    """The value as int, float, bool or str, or None where it is none."""
    if kind is str:
        return value if isinstance(value, str) else None
    if kind is bool:
        return value if isinstance(value, bool) else BOOLEANS.get(str(value).lower())
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    return _number(kind, value)


def _number(kind: type, value: int | float | str) -> int | float | None:
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    if not math.isfinite(number):
        return None
    if kind is float:
        return number
    return int(number) if number.is_integer() else None
