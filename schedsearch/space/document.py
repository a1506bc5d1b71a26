"""The search space file as pydantic models: every key known, every bound checked.

A parameter is a fixed value or a range; only ranges (and lists with more than one choice) are searched. The formulas
behind the parameters are those of `schedsearch.schedule`.
"""

from __future__ import annotations

from functools import cached_property
from itertools import pairwise
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from schedsearch.errors import InvalidSchedule
from schedsearch.schedule import Schedule
from schedsearch.space.values import (
    End,
    Fraction,
    FractionOrOne,
    FromOne,
    Number,
    Part,
    Positive,
    Range,
    WholeFromOne,
    WholeFromTwo,
    distinct,
    refuse_unordered,
)

WarmupKind = Literal["none", "linear", "cosine", "exponential"]
Trajectory = Literal["single", "restarts"]
CooldownShape = Literal["linear", "sqrt", "cosine"]


class WarmupSpace(Part):
    """Question 1, the startup: `none`, kinds of warm-up, or both; more than one makes it a question."""

    kinds: Annotated[tuple[WarmupKind, ...], AfterValidator(distinct)]
    fraction: Fraction = Field(default=0.05, description="How long: a share of all updates, in (0, 1).")
    start_factor: Fraction = Field(default=0.01, description="Where it starts: a ratio of the base LR, in (0, 1).")


class ConstantSpace(Part):
    """No decay at all. Never restarted: a constant has nothing to restart."""


class StepSpace(Part):
    """Equally spaced drops."""

    drops: WholeFromOne = Field(default=2, description="How many drops, at least 1.")
    gamma: Fraction = Field(default=0.1, description="What is left of the LR after a drop, in (0, 1).")


class MultiStepSpace(Part):
    """Drops at given places."""

    milestones: tuple[Number, ...] = Field(
        default=(0.5, 0.75), description="Where: rising shares of the decay, in (0, 1)."
    )
    gamma: Fraction = Field(default=0.1, description="What is left of the LR after a drop, in (0, 1).")

    @model_validator(mode="after")
    def _rising(self) -> Self:
        marks = (0.0, *self.milestones, 1.0)
        if not self.milestones or any(a >= b for a, b in pairwise(marks)):
            given = list(self.milestones)
            raise ValueError(f"must have `milestones` that rise strictly inside (0, 1), but has {given}.")
        return self


class ExponentialSpace(Part):
    """The same ratio lost in equal times."""

    final_factor: Fraction = Field(default=0.01, description="Where it ends: a ratio of the base LR, in (0, 1).")


class CosineSpace(Part):
    """Half a cosine wave, down to a floor."""

    final_factor: End = Field(default=0.0, description="Where it ends: a ratio of the base LR, in [0, 1).")
    power: Positive = Field(default=1.0, description="Above 1 falls earlier, below 1 holds longer; greater than 0.")


class LinearSpace(Part):
    """A straight line down."""

    final_factor: End = Field(default=0.0, description="Where it ends: a ratio of the base LR, in [0, 1).")


class PolynomialSpace(Part):
    """(1 - z) to a power; 1 is linear."""

    final_factor: End = Field(default=0.0, description="Where it ends: a ratio of the base LR, in [0, 1).")
    power: Positive = Field(default=2.0, description="Above 1 falls earlier, below 1 holds longer; greater than 0.")


class RexSpace(Part):
    """REX: holds high and dives late (beta below 1), or the mirror image (above 1)."""

    final_factor: End = Field(default=0.0, description="Where it ends: a ratio of the base LR, in [0, 1).")
    beta: Positive = Field(default=0.5, description="0.5 is REX as published, 1 is linear; greater than 0.")


class WsdSpace(Part):
    """Hold, then cool down."""

    cooldown: FractionOrOne = Field(default=0.2, description="The last share of the decay that falls, in (0, 1].")
    shape: Annotated[tuple[CooldownShape, ...], AfterValidator(distinct)] = ("linear",)
    final_factor: End = Field(default=0.0, description="Where it ends: a ratio of the base LR, in [0, 1).")


class InverseSqrtSpace(Part):
    """One over the square root of time."""

    timescale: Positive = Field(
        default=0.03, description="When the fall sets in: a share of the decay; greater than 0."
    )


class SplineSpace(Part):
    """The free shape: a smooth falling curve through two knots, by stick breaking (a share of what is left)."""

    first_knot: Fraction = Field(default=Range(low=0.05, high=0.9), description="Where the first knot is, in (0, 1).")
    second_knot_share: Fraction = Field(
        default=Range(low=0.1, high=0.9), description="The second knot, as a share of what is right of the first."
    )
    first_height: FractionOrOne = Field(
        default=Range(low=0.05, high=1.0), description="The factor at the first knot, in (0, 1]."
    )
    second_height_share: FractionOrOne = Field(
        default=Range(low=0.02, high=1.0), description="The factor at the second knot, as a share of the first's."
    )
    final_share: End = Field(
        default=0.0, description="The factor at the end, as a share of the second knot's, in [0, 1)."
    )


class DecaySpace(Part):
    """Question 2, the main decay: the kinds listed, each with its parameters (`linear:` alone takes the defaults)."""

    constant: ConstantSpace | None = None
    step: StepSpace | None = None
    multistep: MultiStepSpace | None = None
    exponential: ExponentialSpace | None = None
    cosine: CosineSpace | None = None
    linear: LinearSpace | None = None
    polynomial: PolynomialSpace | None = None
    rex: RexSpace | None = None
    wsd: WsdSpace | None = None
    inverse_sqrt: InverseSqrtSpace | None = None
    spline: SplineSpace | None = None

    @model_validator(mode="before")
    @classmethod
    def _empty_means_defaults(cls, values: Any) -> Any:
        if isinstance(values, dict):
            return {key: {} if value is None else value for key, value in values.items()}
        return values

    @model_validator(mode="after")
    def _at_least_one(self) -> Self:
        if not self.kinds:
            raise ValueError(f"must list at least one kind of {', '.join(type(self).model_fields)}, but is empty.")
        return self

    @cached_property
    def kinds(self) -> tuple[str, ...]:
        """The kinds to search, always in the same order."""
        return tuple(name for name in type(self).model_fields if getattr(self, name) is not None)


class RestartsSpace(Part):
    """Question 3, the trajectory: `single`, `restarts`, or both, which makes it a question."""

    choices: Annotated[tuple[Trajectory, ...], AfterValidator(distinct)] = ("single",)
    cycles: WholeFromTwo = Field(default=2, description="How many cycles, at least 2.")
    growth: FromOne = Field(
        default=1.0, description="How many times longer each cycle is than the one before, at least 1."
    )
    peak_decay: FractionOrOne = Field(
        default=1.0, description="Each cycle's peak as a ratio of the one before, in (0, 1]."
    )

    def choices_for(self, decay: str) -> tuple[str, ...]:
        """A constant has nothing to restart: restarted, it would be the same curve under another name."""
        return ("single",) if decay == "constant" else self.choices


class BaseLrSpace(Part):
    """The range of the base LR, searched on a log scale."""

    low: Number = Field(gt=0)
    high: Number = Field(gt=0)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        refuse_unordered(self.low, self.high)
        return self


def _updates_per_step(value: Any) -> Any:
    if value == "epoch" or (isinstance(value, int) and not isinstance(value, bool) and value >= 1):
        return value
    raise ValueError(f'must be a whole number of at least 1 or "epoch", but is {value!r} instead.')


def _schedules(baselines: dict[str, Any]) -> dict[str, Any]:
    faults = []
    for name, shape in baselines.items():
        try:
            baseline_schedule(shape)
        except InvalidSchedule as error:
            faults += [f"must be schedules, but in {name!r} {fault.rstrip('.')}." for fault in error.faults]
    if faults:
        raise ValueError("\n".join(faults))
    return baselines


def baseline_schedule(shape: Any) -> Schedule:
    """A baseline at base LR 1. Raises InvalidSchedule."""
    if not isinstance(shape, dict) or "base_lr" in shape:
        raise InvalidSchedule("a schedule without `base_lr` is expected (its base LR is tuned by the study).")
    return Schedule.from_dict({**shape, "base_lr": 1.0})


class Document(Part):
    """A search space: what a study may answer to the three questions of learning-rate scheduling."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")
    title: str = Field(default="", description="One line.")
    description: str = Field(default="", description="What it asks and when to choose it, in plain words.")
    base_lr: BaseLrSpace | None = Field(default=None, description="Left out: the task's own range.")
    warmup: WarmupSpace = WarmupSpace(kinds=("none",))
    decay: DecaySpace
    restarts: RestartsSpace = RestartsSpace()
    step_every: Annotated[int | Literal["epoch"], BeforeValidator(_updates_per_step)] = Field(
        default=1, description='The LR is held for so many updates at a time; "epoch": for an epoch.'
    )
    baselines: Annotated[dict[str, dict[str, Any]], AfterValidator(_schedules)] | None = Field(
        default=None, description="Schedules without a base LR that every study carries. Left out: the standard five."
    )
