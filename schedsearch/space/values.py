"""The values a space file may hold: a fixed number or whole number, or a range to search in its place."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from math import inf, isinf
from typing import Annotated, Any, Self, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag, model_validator

NUMBER_TEXT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
FIXED, SEARCHED = "fixed value", "searched range"
T = TypeVar("T")


class Part(BaseModel):
    """Base of everything in a space file: unknown keys are refused, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _number(value: Any) -> Any:
    """YAML reads `1e-3` as text: where a number belongs, text that spells one is a number. `yes` is not 1."""
    if isinstance(value, bool):
        raise ValueError(f"must be a number, but is {value} instead.")
    return float(value) if isinstance(value, str) and NUMBER_TEXT.fullmatch(value) else value


def _whole(value: Any) -> Any:
    number = _number(value)
    return int(number) if isinstance(number, float) and number.is_integer() else number


Number = Annotated[float, BeforeValidator(_number), Field(allow_inf_nan=False)]
Whole = Annotated[int, BeforeValidator(_whole)]


class Range(Part):
    """Search between two numbers, both included; on a log scale if `log` is true."""

    low: Number
    high: Number
    log: bool = False

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        refuse_unordered(self.low, self.high)
        if self.log and self.low <= 0:
            raise ValueError(f"must have a `low` greater than 0 where `log` is true, but has {self.low:g}.")
        return self


class Integers(Part):
    """Search between two whole numbers, both included."""

    low: Whole
    high: Whole

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        refuse_unordered(self.low, self.high)
        return self


class Final(Part):
    """Search the end of a decay: exactly 0 half of the time (`or_zero`), else between two ratios of the base LR."""

    low: Number
    high: Number
    log: bool = True
    or_zero: bool = True

    @model_validator(mode="after")
    def _inside(self) -> Self:
        refuse_unordered(self.low, self.high)
        if not (self.low > 0 and self.high < 1):
            raise ValueError(f"must lie in (0, 1), but is from {self.low:g} to {self.high:g}.")
        return self


def refuse_unordered(low: float, high: float) -> None:
    """Raises ValueError unless low < high."""
    if not low < high:
        raise ValueError(f"must have `low` below `high`, but has low {low:g} and high {high:g}.")


def distinct(values: tuple[T, ...]) -> tuple[T, ...]:
    """Raises ValueError for an empty list or one that names something twice."""
    if not values:
        raise ValueError("must list at least one choice, but is empty.")
    if len(set(values)) < len(values):
        raise ValueError(f"must list every choice once, but is {list(values)} instead.")
    return values


def _between(low: float, high: float, brackets: str = "()") -> Callable[[Any], Any]:
    """A check that a value, and both ends of a range, lie between two bounds."""

    def inside(value: float) -> bool:
        above = value > low or (brackets[0] == "[" and value == low)
        return above and (value < high or (brackets[1] == "]" and value == high))

    def check(value: Any) -> Any:
        numbers = (value.low, value.high) if isinstance(value, (Range, Integers)) else (value,)
        outside = [number for number in numbers if not inside(number)]
        if outside:
            raise ValueError(f"must be {_interval(low, high, brackets)}, but is {outside[0]:g} instead.")
        return value

    return check


def _interval(low: float, high: float, brackets: str) -> str:
    if isinf(high):
        return f"at least {low:g}" if brackets[0] == "[" else f"greater than {low:g}"
    return f"in {brackets[0]}{low:g}, {high:g}{brackets[1]}"


def _which(value: Any) -> str:
    return SEARCHED if isinstance(value, (Mapping, Part)) else FIXED


NumberOrRange = Annotated[Annotated[Number, Tag(FIXED)] | Annotated[Range, Tag(SEARCHED)], Discriminator(_which)]
WholeOrRange = Annotated[Annotated[Whole, Tag(FIXED)] | Annotated[Integers, Tag(SEARCHED)], Discriminator(_which)]
FixedEnd = Annotated[Number, AfterValidator(_between(0, 1, "[)"))]
End = Annotated[Annotated[FixedEnd, Tag(FIXED)] | Annotated[Final, Tag(SEARCHED)], Discriminator(_which)]

Fraction = Annotated[NumberOrRange, AfterValidator(_between(0, 1))]
FractionOrOne = Annotated[NumberOrRange, AfterValidator(_between(0, 1, "(]"))]
Positive = Annotated[NumberOrRange, AfterValidator(_between(0, inf))]
FromOne = Annotated[NumberOrRange, AfterValidator(_between(1, inf, "[)"))]
WholeFromOne = Annotated[WholeOrRange, AfterValidator(_between(1, inf, "[)"))]
WholeFromTwo = Annotated[WholeOrRange, AfterValidator(_between(2, inf, "[)"))]
