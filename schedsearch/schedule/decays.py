"""The decay families, in the order of the serialized kinds; `z` is the progress in the cycle, `r` the final factor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any, ClassVar

import numpy as np

from schedsearch.errors import InvalidSchedule
from schedsearch.schedule import checks
from schedsearch.schedule.decay import Array, Decay, end_faults, end_text
from schedsearch.schedule.spline import Spline

# A joint belongs to its far side. Progress is a rounded quotient, so a joint is taken to be reached this much earlier:
# far above rounding (1e-16), far below one update of any horizon that is trained.
JOINT = 1e-12


@dataclass(frozen=True)
class Constant(Decay):
    """1 throughout: the baseline of every study. (torch ConstantLR with factor 1)"""

    kind: ClassVar[str] = "constant"

    def value(self, z: Array) -> Array:
        return np.ones_like(z)

    def faults(self) -> list[str]:
        return []

    def describe(self) -> str:
        return "constant"


@dataclass(frozen=True)
class Step(Decay):
    """`gamma ** floor(z (drops + 1))`: `drops` drops at equal distances, each by `gamma` in (0, 1). (torch StepLR)"""

    drops: int
    gamma: float
    kind: ClassVar[str] = "step"

    def value(self, z: Array) -> Array:
        return np.asarray(self.gamma ** np.floor((z + JOINT) * (self.drops + 1)), dtype=np.float64)

    def faults(self) -> list[str]:
        return checks.at_least("decay.drops", self.drops, 1) + checks.within("decay.gamma", self.gamma, 0, 1)

    def describe(self) -> str:
        return f"{self.drops} equal step{'s' if self.drops > 1 else ''} x {self.gamma:.3g}"


@dataclass(frozen=True)
class MultiStep(Decay):
    """`gamma ** #{m in milestones: m <= z}`: a drop by `gamma` in (0, 1) at each milestone. (torch MultiStepLR)

    milestones: fractions of the cycle that rise strictly inside (0, 1).
    """

    milestones: tuple[float, ...]
    gamma: float
    kind: ClassVar[str] = "multistep"

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "milestones", tuple(float(one) for one in self.milestones))

    def value(self, z: Array) -> Array:
        passed = np.searchsorted(np.asarray(self.milestones), z + JOINT, side="right")
        return np.asarray(self.gamma**passed, dtype=np.float64)

    def faults(self) -> list[str]:
        milestones = checks.rising("decay.milestones", self.milestones, 0, 1)
        return milestones + checks.within("decay.gamma", self.gamma, 0, 1)

    def describe(self) -> str:
        return f"steps x {self.gamma:.3g} at {', '.join(f'{100 * m:.3g}' for m in self.milestones)} %"


@dataclass(frozen=True)
class Exponential(Decay):
    """`r ** z`, r = final_factor in (0, 1). (torch ExponentialLR with gamma = r ** (1 / D) for D decay updates)"""

    final_factor: float
    kind: ClassVar[str] = "exponential"

    def value(self, z: Array) -> Array:
        return np.asarray(self.final_factor**z, dtype=np.float64)

    def faults(self) -> list[str]:
        return checks.within("decay.final_factor", self.final_factor, 0, 1)

    def describe(self) -> str:
        return f"exponential {end_text(self.final_factor)}"


@dataclass(frozen=True)
class Cosine(Decay):
    """`r + (1 - r) ((1 + cos(pi z)) / 2) ** power`, r = final_factor in [0, 1), power > 0.

    power = 1: Loshchilov & Hutter 2016 (arXiv 1608.03983); torch CosineAnnealingLR with eta_min = r * base LR.
    """

    final_factor: float = 0.0
    power: float = 1.0
    kind: ClassVar[str] = "cosine"

    def value(self, z: Array) -> Array:
        half_wave = (1 + np.cos(np.pi * z)) / 2
        return np.asarray(self.final_factor + (1 - self.final_factor) * half_wave**self.power, dtype=np.float64)

    def faults(self) -> list[str]:
        return end_faults(self.final_factor) + checks.positive("decay.power", self.power)

    def describe(self) -> str:
        power = "" if self.power == 1 else f" to the power {self.power:.3g}"
        return f"cosine{power} {end_text(self.final_factor)}"


@dataclass(frozen=True)
class Linear(Decay):
    """`1 - (1 - r) z = r + (1 - r) (1 - z)`, r = final_factor in [0, 1). (torch LinearLR; PolynomialLR of power 1)"""

    final_factor: float = 0.0
    kind: ClassVar[str] = "linear"

    def value(self, z: Array) -> Array:
        return np.asarray(self.final_factor + (1 - self.final_factor) * (1 - z), dtype=np.float64)

    def faults(self) -> list[str]:
        return end_faults(self.final_factor)

    def describe(self) -> str:
        return f"linear {end_text(self.final_factor)}"


@dataclass(frozen=True)
class Polynomial(Decay):
    """`r + (1 - r) (1 - z) ** power`, r = final_factor in [0, 1), power > 0. (torch PolynomialLR)"""

    final_factor: float = 0.0
    power: float = 2.0
    kind: ClassVar[str] = "polynomial"

    def value(self, z: Array) -> Array:
        return np.asarray(self.final_factor + (1 - self.final_factor) * (1 - z) ** self.power, dtype=np.float64)

    def faults(self) -> list[str]:
        return end_faults(self.final_factor) + checks.positive("decay.power", self.power)

    def describe(self) -> str:
        return f"polynomial of power {self.power:.3g} {end_text(self.final_factor)}"


@dataclass(frozen=True)
class Rex(Decay):
    """`r + (1 - r) (1 - z) / (1 - (1 - beta) z)`, r = final_factor in [0, 1), beta > 0.

    beta = 1 is linear, a smaller one holds high for longer; beta = 0.5 is the profile of Chen et al. 2021
    (arXiv 2107.04197).
    """

    final_factor: float = 0.0
    beta: float = 0.5
    kind: ClassVar[str] = "rex"

    def value(self, z: Array) -> Array:
        profile = (1 - z) / ((1 - z) + self.beta * z)
        return np.asarray(self.final_factor + (1 - self.final_factor) * profile, dtype=np.float64)

    def faults(self) -> list[str]:
        return end_faults(self.final_factor) + checks.positive("decay.beta", self.beta)

    def describe(self) -> str:
        return f"REX of beta {self.beta:.3g} {end_text(self.final_factor)}"


@dataclass(frozen=True)
class Wsd(Decay):
    """Hold, then cool down: 1 until z = 1 - cooldown, from there `r + (1 - r) shape(u)`.

    u = (z - (1 - cooldown)) / cooldown; shape: linear 1 - u, sqrt 1 - sqrt(u), cosine (1 + cos(pi u)) / 2.
    cooldown in (0, 1], r = final_factor in [0, 1).
    Source: Hägele et al. 2024 (arXiv 2405.18392).
    """

    cooldown: float
    shape: str = "linear"
    final_factor: float = 0.0
    kind: ClassVar[str] = "wsd"
    SHAPES: ClassVar[tuple[str, ...]] = ("linear", "sqrt", "cosine")

    def value(self, z: Array) -> Array:
        left = np.minimum(1 - z, self.cooldown) / self.cooldown
        left = np.where(left > 1 - JOINT, 1.0, left)
        return np.asarray(self.final_factor + (1 - self.final_factor) * self._shape(left), dtype=np.float64)

    def _shape(self, left: Array) -> Array:
        """The shape by what is left of the cooldown, 1 - u."""
        if self.shape == "linear":
            return left
        return 1 - np.sqrt(1 - left) if self.shape == "sqrt" else (1 - np.cos(np.pi * left)) / 2

    def faults(self) -> list[str]:
        cooldown = checks.within("decay.cooldown", self.cooldown, 0, 1, "(]")
        shape = checks.one_of("decay.shape", self.shape, self.SHAPES)
        return cooldown + shape + end_faults(self.final_factor)

    def describe(self) -> str:
        last = f"the last {100 * self.cooldown:.3g} %"
        return f"hold, then {self.shape} cooldown over {last} {end_text(self.final_factor)}"


@dataclass(frozen=True)
class InverseSqrt(Decay):
    """`sqrt(s / (s + z))`, s = timescale > 0, a fraction of the cycle. (Vaswani et al. 2017, arXiv 1706.03762)"""

    timescale: float
    kind: ClassVar[str] = "inverse_sqrt"

    def value(self, z: Array) -> Array:
        return np.asarray(np.sqrt(self.timescale / (self.timescale + z)), dtype=np.float64)

    def faults(self) -> list[str]:
        return checks.positive("decay.timescale", self.timescale)

    def describe(self) -> str:
        return f"inverse square root of timescale {100 * self.timescale:.3g} %"


FAMILIES: tuple[type[Decay], ...] = (
    Constant, Step, MultiStep, Exponential, Cosine, Linear, Polynomial, Rex, Wsd, InverseSqrt, Spline,
)  # fmt: skip
KINDS: dict[str, type[Decay]] = {family.kind: family for family in FAMILIES}


def decay_from_dict(values: Mapping[str, Any]) -> Decay:
    """The decay of a serialized form; a parameter with a default may be left out.

    Raises InvalidSchedule for an unknown kind, for unknown and missing keys, and for bad values.
    """
    if not isinstance(values, Mapping):
        raise InvalidSchedule(f"`decay` must be an object, but is {values!r} instead.")
    kind = values.get("kind")
    checks.raise_if_any(checks.one_of("decay.kind", kind, tuple(KINDS)))
    family = KINDS[str(kind)]
    given = {key: value for key, value in values.items() if key != "kind"}
    checks.raise_if_any(
        checks.unknown_keys("decay", given, family.parameters())
        + checks.missing_keys("decay", given, _required(family))
    )
    return family(**given)


def _required(family: type[Decay]) -> tuple[str, ...]:
    return tuple(one.name for one in fields(family) if one.default is MISSING)  # type: ignore[arg-type]
