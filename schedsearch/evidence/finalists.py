"""What the verdict knows of one candidate of the confirmation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from schedsearch.space import Question

FIXED_ROLES = ("baseline", "incumbent")
FREE_SHAPE = "free shape"


@dataclass(frozen=True)
class Finalist:
    """A candidate with its scores on the confirmation's fresh seeds.

    role: "winner" (of the race: at most one), "runner-up", "baseline", "incumbent" or "free shape" (a yardstick: never
    recommended, no answer to a question). complexity: sorts simple before complicated. scores: seed -> score in the
    metric's units, None where the run diverged. test_scores: the same for the held-out test split, where the task has
    one. label: a baseline's name (`incumbent` for the user's own schedule), or the description again. description: the
    schedule in a line; the label stands in where empty. left_race: it did not last to the end of the race, which is
    evidence against it that the confirmation's few seeds may not repeat.
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
    left_race: bool = False

    @property
    def name(self) -> str:
        """What people call it: `warm-up + cosine` for the label `warmup_cosine`."""
        return spoken(self.label)

    @property
    def words(self) -> str:
        """The schedule in a line; a baseline (whatever its role became) with its name behind."""
        if self.description and self.label != self.description:
            kind = "your own schedule" if self.label == "incumbent" else f"the {self.name} baseline"
            return f"{self.description} ({kind})"
        return self.description or self.label


def spoken(label: str) -> str:
    """A baseline's label as people say it."""
    return label.replace("warmup_", "warm-up + ").replace("_", " ")
