"""What the report is made of: the store's rows of one study, read once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from schedsearch.evidence import Scores, spoken
from schedsearch.report.values import Interval
from schedsearch.search.importance import Importances
from schedsearch.space import SearchSpace
from schedsearch.store import Candidate, MeasurementRow, ModelCheck, Phase, Run, RunState, Study, Verdict

FREEFORM = "freeform"
ENDED = (RunState.COMPLETED, RunState.DIVERGED)


@dataclass(frozen=True)
class StudyRows:
    """One study's rows. measurements: by run id, of every run that has some.
    importances: what mattered in the search."""

    study: Study
    candidates: Sequence[Candidate]
    runs: Sequence[Run]
    verdict: Verdict | None
    measurements: Mapping[int, Sequence[MeasurementRow]]
    model_checks: Sequence[ModelCheck]
    importances: Importances

    @cached_property
    def by_id(self) -> dict[int, Candidate]:
        return {one.id: one for one in self.candidates}

    @property
    def sign(self) -> float:
        """1 where low scores are good, -1 where high ones are."""
        return 1.0 if self.study.direction == "minimize" else -1.0

    @cached_property
    def asked(self) -> set[str]:
        """The questions that the study's space asks."""
        return {question.value for question in SearchSpace.from_dict(self.study.space).asked}

    def ended(self, *phases: Phase) -> list[Run]:
        """Runs of these phases (of all, where none is named) that completed or diverged, in the order of their end."""
        found = [run for run in self.runs if run.state in ENDED and (not phases or run.phase in phases)]
        return sorted(found, key=lambda run: (run.finished_at or 0.0, run.id))

    def scores(self, phase: Phase) -> Scores:
        """Score by candidate and seed; None where a run diverged."""
        found: dict[int, dict[int, float | None]] = {}
        for run in self.ended(phase):
            found.setdefault(run.candidate_id, {})[run.seed] = run.score
        return found

    def best(self, scores: Iterable[float | None]) -> float | None:
        """The best of the scores that are known."""
        known = [score for score in scores if score is not None]
        return min(known, key=lambda score: self.sign * score, default=None)


def better_by(difference: float | None, low: float | None, high: float | None, sign: float) -> Interval:
    """A difference (this minus other) turned so that positive means that this is better."""
    if sign < 0 or difference is None:
        return Interval(difference, low, high)
    return Interval(-difference, None if high is None else -high, None if low is None else -low)


def name_of(candidate: Candidate) -> str:
    """What people call it: a baseline's own name, or the arm's answers in short."""
    if candidate.kind in ("baseline", "incumbent") and candidate.label:
        return spoken(candidate.label)
    if candidate.kind == FREEFORM:
        return "free shape"
    return short_arm(candidate.arm)


def short_arm(arm: str) -> str:
    """`warm-up + cosine` for `linear warm-up + cosine, single`."""
    return arm.replace("no warm-up + ", "").replace("linear warm-up", "warm-up").replace(", single", "")
