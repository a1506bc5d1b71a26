"""What a report shows, as plain frozen values: everything that a template needs, nothing of how it is stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from schedsearch.search.importance import Importances


@dataclass(frozen=True)
class Interval:
    """A mean or a difference with its 95 % interval, in the metric's units; None where it is not known."""

    value: float | None = None
    low: float | None = None
    high: float | None = None

    @property
    def holds_zero(self) -> bool:
        """Whether 0 is a plausible value; True where there is no interval."""
        return self.low is None or self.high is None or self.low <= 0 <= self.high


@dataclass(frozen=True)
class Line:
    """Points (x, y) of a curve; y is None where nothing is known."""

    x: tuple[float, ...]
    y: tuple[float | None, ...]


def copies_sentence(copied: int) -> str:
    """That so many runs of a study were not trained by it."""
    what = "1 run was" if copied == 1 else f"{copied} runs were"
    return f"{what} taken from earlier studies, which had trained the same; `launch --fresh` trains everything anew."


@dataclass(frozen=True)
class StudyFacts:
    """What was asked, of what, with what. Times are texts in UTC; hours are device-hours of all runs that it trained.
    copied: runs that were taken from earlier studies."""

    name: str
    task: str
    metric: str
    direction: str
    state: str
    phase: str
    reason: str | None
    total_updates: int
    updates_per_epoch: int
    space: str
    strategy: str
    seed: int
    budget: str
    started: str
    finished: str
    hours: float
    copied: int
    devices: tuple[str, ...]
    base_lr_range: tuple[float, float] | None
    held_fixed: tuple[tuple[str, str], ...]
    versions: tuple[tuple[str, str], ...]

    @property
    def copies(self) -> str:
        """What to say of the runs that were taken from earlier studies."""
        return copies_sentence(self.copied)


@dataclass(frozen=True)
class VerdictFacts:
    """The conclusion. tied: how many cannot be told apart; of: how many took part (a free shape does not)."""

    text: str
    is_tie: bool
    tied: int
    of: int
    recommended_id: int
    winner_id: int
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class FinalistFacts:
    """A candidate of the confirmation. role: winner, runner-up, baseline, incumbent or free shape.

    is_erratic: its own scatter hides how far it is from the recommended one. scores: (seed, None if diverged).

    gain: of the recommended schedule over this one, turned so that positive means that the recommended one is better;
    None for itself. p_permutation: of that gain, by a sign-flip permutation test. lrs: the schedule, thinned; learning:
    the metric on the validation split, mean over seeds.
    """

    candidate_id: int
    name: str
    description: str
    role: str
    arm: str
    base_lr: float
    score: Interval
    test_mean: float | None
    seeds: int
    diverged: int
    probability_best: float
    rank: int
    is_recommended: bool
    is_tied: bool
    is_erratic: bool
    scores: tuple[tuple[int, float | None], ...]
    gain: Interval | None
    gain_is_paired: bool
    p_permutation: float | None
    lrs: Line
    learning: Line


@dataclass(frozen=True)
class AnswerFacts:
    """One answer to a question at its best candidate. confirmed: measured on the confirmation's fresh seeds.

    lead: over the best of the other answers, positive is better; None where the two cannot be compared. p_permutation:
    of the lead, by a sign-flip permutation test.
    """

    answer: str
    schedule: str
    base_lr: float
    score: Interval
    lead: Interval | None
    runs: int
    confirmed: bool
    is_chosen: bool
    p_permutation: float | None = None


@dataclass(frozen=True)
class QuestionFacts:
    """One of the three questions. gain: of the chosen answer over the best other one, positive is better. is_tie: the
    two cannot be told apart. is_asked: the space has another answer. lr_sentence: the base LRs that the confirmed
    answers like best."""

    key: str
    title: str
    chosen: str
    sentence: str
    gain: Interval | None
    is_tie: bool
    is_asked: bool
    lr_sentence: str
    answers: tuple[AnswerFacts, ...]


@dataclass(frozen=True)
class ArmFacts:
    """One arm: its searched scores (one seed each), how many of its runs diverged, and its best confirmed finalist.

    by_base_lr: (base LR, score) of every searched run, the score None where it diverged.
    """

    label: str
    by_base_lr: tuple[tuple[float, float | None], ...]
    scores: tuple[float, ...]
    diverged: int
    confirmed: Interval | None
    is_recommended: bool


@dataclass(frozen=True)
class SearchedRun:
    """One run of the search in the order in which they ended; best: of all so far. answers: by question."""

    number: int
    schedule: str
    kind: str
    base_lr: float
    answers: Mapping[str, str]
    score: float | None
    best: float | None


@dataclass(frozen=True)
class Prediction:
    """What the curve model expected of a candidate before the confirmation measured it."""

    name: str
    predicted: Interval
    measured: Interval
    is_erratic: bool = False


@dataclass(frozen=True)
class ShapeFacts:
    """The best named schedule beside the best free shape. gap: by how many percent the named one is worse."""

    sentence: str
    gap: Interval
    named: FinalistFacts
    free: FinalistFacts


@dataclass(frozen=True)
class ArmCurve:
    """The schedule that the model expects most of in one arm, and what it expects."""

    arm: str
    description: str
    base_lr: float
    expected: Interval
    lrs: Line


@dataclass(frozen=True)
class ModelFacts:
    """What the curve model learned before the confirmation.

    sentence: its worth in words. points: (measured, predicted by the model of all other runs) of single runs.
    agreement: its leave-one-out rank agreement by the number of runs. features: (meaning, share in the prediction).
    arms: best first. earlier: (study it started from, agreement).
    """

    sentence: str
    points: tuple[tuple[float, Interval], ...]
    agreement: Line
    features: tuple[tuple[str, float], ...]
    arms: tuple[ArmCurve, ...]
    earlier: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class DiagnosedRun:
    """One run and what its curves tell. losses: as measured (training, where known); lrs: at the same updates."""

    run_id: int
    schedule: str
    arm: str
    has_warmup: bool
    base_lr: float
    phase: str
    seed: int
    kind: str
    sentence: str
    losses: Line
    lrs: Line


@dataclass(frozen=True)
class DiagnosisFacts:
    """Every run's diagnosis. kinds: (name, meaning). arms: (label, runs of each kind), those with
    the most troubled runs first. sentence: unstable starts with and without a warm-up. runs: the troubled first."""

    sentence: str
    kinds: tuple[tuple[str, str], ...]
    arms: tuple[tuple[str, tuple[int, ...]], ...]
    runs: tuple[DiagnosedRun, ...]


@dataclass(frozen=True)
class CandidateFacts:
    """A row of the full table. search_score: its one run in the search; confirmed: on fresh seeds."""

    candidate_id: int
    name: str
    description: str
    kind: str
    arm: str
    base_lr: float
    search_score: float | None
    runs: int
    diverged: int
    confirmed: float | None


@dataclass(frozen=True)
class PhaseFacts:
    """How one phase went. seeds: a text such as `1000 .. 1005`. copied: taken from earlier studies; hours, updates: of
    the others."""

    name: str
    meaning: str
    runs: int
    completed: int
    diverged: int
    failed: int
    copied: int
    seeds: str
    hours: float
    updates: int


@dataclass(frozen=True)
class NoiseFacts:
    """How results scatter, and whether pairs of seeds help. sentences: what the confirmation can tell apart, and what a
    shorter horizon was worth."""

    sd: float | None
    relative_sd: float | None
    seeds: int
    pairing_correlation: float | None
    pairing_used: bool
    sentences: tuple[str, ...]


@dataclass(frozen=True)
class ReportData:
    """Everything a report shows of one study, finished or not (then without verdict, finalists and questions)."""

    study: StudyFacts
    verdict: VerdictFacts | None
    finalists: tuple[FinalistFacts, ...]
    questions: tuple[QuestionFacts, ...]
    importances: Importances
    arms: tuple[ArmFacts, ...]
    searched: tuple[SearchedRun, ...]
    predictions: tuple[Prediction, ...]
    shape: ShapeFacts | None
    model: ModelFacts | None
    diagnosis: DiagnosisFacts
    candidates: tuple[CandidateFacts, ...]
    phases: tuple[PhaseFacts, ...]
    noise: NoiseFacts
    generated: str

    @property
    def recommended(self) -> FinalistFacts | None:
        """The finalist that the verdict recommends."""
        return next((one for one in self.finalists if one.is_recommended), None)
