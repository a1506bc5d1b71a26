"""What every decay family is: a frozen value with one pure function of its cycle's progress."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import fields
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from schedsearch.schedule import checks

Array = NDArray[np.float64]


class Decay(ABC):
    """How the base LR falls over one cycle; subclasses are frozen dataclasses, serialized under `kind`.

    Progress z runs from 0 at a cycle's first update to 1, which would be the update after its last and is never
    trained. Every decay is 1 at z = 0. `final_factor` is the value at z = 1: a ratio of the base LR, never an absolute
    LR. A parameter out of bounds raises InvalidSchedule, with one sentence for each.
    """

    kind: ClassVar[str]

    @abstractmethod
    def value(self, z: Array) -> Array:
        """The factor at progress `z`, an array of numbers in [0, 1]; same shape."""

    @abstractmethod
    def faults(self) -> list[str]:
        """One sentence for each parameter out of bounds."""

    @abstractmethod
    def describe(self) -> str:
        """A few words that a person would say."""

    def __post_init__(self) -> None:
        checks.raise_if_any(self.faults())
        checks.settle(self)

    def to_dict(self) -> dict[str, Any]:
        """The serialized form: `kind` and the parameters."""
        return {"kind": self.kind} | {name: _as_json(getattr(self, name)) for name in self.parameters()}

    @classmethod
    def parameters(cls) -> tuple[str, ...]:
        """The names of the parameters, in order."""
        return tuple(one.name for one in fields(cls))  # type: ignore[arg-type]  # every subclass is a dataclass


def end_faults(final_factor: float) -> list[str]:
    """Faults of a `final_factor` that may be 0."""
    return checks.within("decay.final_factor", final_factor, 0, 1, "[)")


def end_text(final_factor: float) -> str:
    """Where a decay ends, as a person would say it: `to 0`, `to 10 %`."""
    return f"to {100 * final_factor:.3g} %" if final_factor else "to 0"


def _as_json(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
