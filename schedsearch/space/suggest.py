"""Who answers the search space: a protocol that Optuna's Trial satisfies, a random draw, a replay, a recorder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import exp, log
from typing import Any, Protocol

import numpy as np


class Suggest(Protocol):
    """What `SearchSpace.build` asks for values. Names are unique within one candidate."""

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float: ...

    def suggest_int(self, name: str, low: int, high: int) -> int: ...

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any: ...


@dataclass(frozen=True)
class Dimension:
    """One thing that was asked for. kind: float, int or categorical; bounds inclusive; choices of a categorical."""

    name: str
    kind: str
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    choices: tuple[Any, ...] = ()

    def holds(self, value: Any) -> bool:
        """Whether this answer is one of those that were offered."""
        if self.kind == "categorical":
            return value in self.choices
        return bool(self.low <= value <= self.high)

    def to_unit(self, value: float) -> float:
        """A number's place between low (0) and high (1), on the log scale where the dimension has one."""
        if self.high == self.low:
            return 0.5
        if self.log:
            return (log(value) - log(self.low)) / (log(self.high) - log(self.low))
        return (value - self.low) / (self.high - self.low)

    def from_unit(self, place: float) -> float:
        """The number at this place, never outside the bounds."""
        if self.log:
            value = exp(log(self.low) + place * (log(self.high) - log(self.low)))
        else:
            value = self.low + place * (self.high - self.low)
        return min(self.high, max(self.low, value))


@dataclass
class RandomDraw:
    """Answers every question at random: uniform, or log-uniform; `fixed` answers are given as they are."""

    rng: np.random.Generator
    fixed: Mapping[str, Any] = field(default_factory=dict)
    params: dict[str, Any] = field(default_factory=dict)

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        place = self.rng.random()
        return float(self._keep(name, Dimension(name, "float", low, high, log).from_unit(place)))

    def suggest_int(self, name: str, low: int, high: int) -> int:
        return int(self._keep(name, int(self.rng.integers(low, high + 1))))

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        return self._keep(name, choices[int(self.rng.integers(len(choices)))])

    def _keep(self, name: str, value: Any) -> Any:
        self.params[name] = self.fixed.get(name, value)
        return self.params[name]


@dataclass
class Replay:
    """Answers from known parameters and remembers what was asked. Raises KeyError for a parameter that is missing."""

    params: Mapping[str, Any]
    asked: list[Dimension] = field(default_factory=list)

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        self.asked.append(Dimension(name, "float", low, high, log))
        return float(self.params[name])

    def suggest_int(self, name: str, low: int, high: int) -> int:
        self.asked.append(Dimension(name, "int", low, high))
        return int(self.params[name])

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        self.asked.append(Dimension(name, "categorical", choices=tuple(choices)))
        return self.params[name]
