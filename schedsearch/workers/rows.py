"""Domain values turned into the store's rows."""

from __future__ import annotations

from dataclasses import dataclass

from schedsearch.schedule import Schedule
from schedsearch.space import Question, SearchSpace, answers_of, arm_of
from schedsearch.store import NewCandidate

FIXED_KINDS = ("baseline", "incumbent")
FREEFORM = "freeform"


@dataclass(frozen=True)
class NamedSchedule:
    """A schedule and its place in the study. kind: search, baseline, incumbent, champion, freeform; label: its name."""

    kind: str
    label: str | None
    schedule: Schedule


def named_baselines(space: SearchSpace, incumbent: Schedule | None) -> list[NamedSchedule]:
    """The baselines of this space, and the user's own schedule where one was given."""
    named = [NamedSchedule("baseline", one.name, one.schedule) for one in space.baselines]
    return named if incumbent is None else [*named, NamedSchedule("incumbent", "incumbent", incumbent)]


def new_candidate(named: NamedSchedule, trial_number: int | None = None) -> NewCandidate:
    """The candidate row of a schedule."""
    answers = answers_of(named.schedule)
    return NewCandidate(
        kind=named.kind,
        label=named.label,
        schedule=named.schedule,
        trial_number=trial_number,
        arm=arm_of(named.schedule).label,
        answer_warmup=answers[Question.WARMUP],
        answer_decay=answers[Question.DECAY],
        answer_restarts=answers[Question.RESTARTS],
    )
