"""The three questions, the answers a schedule gives to them, and arms: combinations of answers."""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any

from schedsearch.schedule import Schedule

SIMPLEST_FIRST = (
    "constant",
    "linear",
    "cosine",
    "exponential",
    "inverse_sqrt",
    "polynomial",
    "rex",
    "wsd",
    "step",
    "multistep",
    "spline",
)


class Question(StrEnum):
    """The three questions of learning-rate scheduling, in the order in which they are decided."""

    WARMUP = "warmup"  # does the startup need protection? yes or no
    DECAY = "decay"  # how should the rate decay over the bulk of training? the decay's kind
    RESTARTS = "restarts"  # one trajectory or several cycles? yes or no


@dataclass(frozen=True, order=True)
class Answer:
    """One answer to one question, e.g. (warmup, yes) or (decay, cosine)."""

    question: Question
    value: str


@dataclass(frozen=True, order=True)
class Arm:
    """One combination of answers. warmup: "none" or the warm-up's kind; restarts: "single" or "restarts"."""

    warmup: str
    decay: str
    restarts: str

    @property
    def label(self) -> str:
        """E.g. `linear warm-up + cosine, restarts`."""
        start = "no warm-up" if self.warmup == "none" else f"{self.warmup} warm-up"
        return f"{start} + {self.decay}, {self.restarts}"

    @property
    def answers(self) -> dict[Question, str]:
        """The arm's answer to each question."""
        return {
            Question.WARMUP: "no" if self.warmup == "none" else "yes",
            Question.DECAY: self.decay,
            Question.RESTARTS: "no" if self.restarts == "single" else "yes",
        }


def arm_of(schedule: Schedule) -> Arm:
    """The arm that a schedule belongs to."""
    return Arm(
        warmup="none" if schedule.warmup is None else schedule.warmup.kind,
        decay=schedule.decay.kind,
        restarts="single" if schedule.restarts is None else "restarts",
    )


def answers_of(schedule: Schedule) -> dict[Question, str]:
    """The schedule's answer to each question."""
    return arm_of(schedule).answers


def complexity(schedule: Schedule) -> tuple[int, ...]:
    """Sorts schedules from simple to complicated, for "the simplest of those that tie".

    First how many questions are answered with something (a warm-up, a decay, restarts), then how plain the kind of
    decay is (SIMPLEST_FIRST), then how many parameters differ from their usual value.
    """
    answered = (schedule.warmup is not None) + (schedule.decay.kind != "constant") + (schedule.restarts is not None)
    parts = (schedule.decay, schedule.warmup, schedule.restarts)
    parameters = sum(_parameters(part) for part in parts if part is not None)
    return (answered, SIMPLEST_FIRST.index(schedule.decay.kind), parameters)


def _parameters(part: Any) -> int:
    set_to = [(getattr(part, one.name), one.default) for one in fields(part)]
    return sum(len(value) if isinstance(value, tuple) else 1 for value, usual in set_to if value != usual)
