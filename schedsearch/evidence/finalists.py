"""What the verdict knows of one candidate of the confirmation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from schedsearch.space import Question

FIXED_ROLES = ("baseline", "incumbent")


@dataclass(frozen=True)
class Finalist:
    """A candidate with its scores on the confirmation's fresh seeds.

    role: "winner" (of the race: at most one), "runner-up", "baseline" or "incumbent". complexity: sorts simple before
    complicated. scores: seed -> score in the metric's units, None where the run diverged. test_scores: the same for the
    held-out test split, where the task has one. description: the schedule in a line; the label stands in where empty.
    """

    candidate_id: int
    label: str
    role: str
    base_lr: float
    answers: Mapping[Question, str]
    complexity: tuple[int, ...]
    scores: Mapping[int, float | None]
    test_scores: Mapping[int, float | None] = field(default_factory=dict)
    description: str = ""

    @property
    def words(self) -> str:
        """The schedule in a line; a baseline with its name in front."""
        if self.description and self.role in FIXED_ROLES and self.label != self.description:
            return f"{self.label} ({self.description})"
        return self.description or self.label
