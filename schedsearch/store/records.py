"""The store's values: frozen, one a row. Times are seconds since 1970 (UTC) by the database's own clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from math import ceil
from typing import Any

from schedsearch.schedule import Schedule


class Phase(StrEnum):
    """The phases of a study, in order."""

    NOISE = "noise"  # one baseline on several seeds: how much do results scatter?
    SEARCH = "search"  # candidates, and every baseline's base LR, on one seed
    SCREEN = "screen"  # runs of the search at a shorter horizon, which decide what is trained in full; never entered
    RACE = "race"  # the champions of all answers on fresh seeds; it only picks
    CONFIRM = "confirm"  # winner, runners-up and baselines on other fresh seeds: the only runs that are reported


class RunState(StrEnum):
    """The life of a run."""

    WAITING = "waiting"  # anyone may claim it
    RUNNING = "running"  # one worker holds its lease
    COMPLETED = "completed"  # reached its horizon
    DIVERGED = "diverged"  # ended early with an exploded or non-finite loss: a result, not an error
    FAILED = "failed"  # the user's code raised, or its workers died too often

    @property
    def is_finished(self) -> bool:
        return self in (RunState.COMPLETED, RunState.DIVERGED, RunState.FAILED)


class Failure(StrEnum):
    """Why an attempt at a run had no result."""

    ERROR = "error"  # the task's code raised
    EXIT = "exit"  # the task's code ended its process
    MEMORY = "memory"  # memory ran out, the device's or the machine's
    CRASH = "crash"  # the process that trained it was ended by a signal
    STALL = "stall"  # it made no progress for too long
    LOST = "lost"  # its worker died or went silent


class StudyState(StrEnum):
    """The life of a study."""

    RUNNING = "running"  # workers serve it
    STOPPED = "stopped"  # asked to stop; can be resumed
    FINISHED = "finished"  # has its verdict
    FAILED = "failed"  # given up; `reason` says why


@dataclass(frozen=True)
class NewStudy:
    """A study to be written. budget and plan are the search room's values as plain mappings."""

    name: str
    task: str
    task_options: Mapping[str, Any]
    task_fingerprint: str
    metric: str
    direction: str
    space_name: str
    space_version: str
    space: Mapping[str, Any]
    strategy: str
    seed: int
    total_updates: int
    updates_per_epoch: int
    budget: Mapping[str, Any]
    plan: Mapping[str, Any]
    code_version: str
    optuna_study: str


@dataclass(frozen=True)
class Study(NewStudy):
    """A study as it stands."""

    id: int
    phase: Phase
    state: StudyState
    reason: str | None
    created_at: float
    finished_at: float | None
    mlflow_experiment_id: str | None
    mlflow_run_id: str | None


@dataclass(frozen=True)
class NewCandidate:
    """A schedule to be tried. kind: search, baseline, incumbent, champion, freeform; trial_number: Optuna's, if any."""

    kind: str
    label: str | None
    schedule: Schedule
    trial_number: int | None
    arm: str
    answer_warmup: str
    answer_decay: str
    answer_restarts: str


@dataclass(frozen=True)
class Candidate(NewCandidate):
    """A candidate of a study."""

    id: int
    study_id: int


@dataclass(frozen=True)
class NewRun:
    """A training to be done. `round` counts the race's rounds (and each baseline's tuning runs)."""

    candidate_id: int
    phase: Phase
    round: int
    seed: int
    total_updates: int


@dataclass(frozen=True)
class Run(NewRun):
    """One training of one candidate. score is None unless it completed; attempt counts the leases given so far.

    reason, failure, log_tail: of the last attempt without a result, also while the run waits to be tried again.
    copied_from: the run that trained the same before, where this one was not trained; duration_s is what that took.
    """

    id: int
    study_id: int
    state: RunState
    attempt: int
    worker_id: str | None
    device: str | None
    claimed_at: float | None
    finished_at: float | None
    duration_s: float | None
    updates_done: int | None
    initial_loss: float | None
    score: float | None
    test_score: float | None
    diverged_at: int | None
    reason: str | None
    failure: Failure | None
    log_tail: str | None
    peak_memory_bytes: int | None
    utilization: float | None
    energy_j: float | None
    trained_together: int | None
    told: bool
    mirrored: bool
    mlflow_run_id: str | None
    copied_from: int | None = None

    @property
    def spent_s(self) -> float:
        """The seconds that this study spent on it: none where it was copied."""
        return 0.0 if self.copied_from is not None else self.duration_s or 0.0


@dataclass(frozen=True)
class Activity:
    """A run that a worker trains now. seconds: since it was claimed; lease_left_s: below 0 once the lease has expired;
    both by the database's clock."""

    run_id: int
    candidate_id: int
    worker_id: str
    device: str
    attempt: int
    updates_done: int
    total_updates: int
    seconds: float
    lease_left_s: float


@dataclass(frozen=True)
class Overview:
    """A study at one moment. trained_s: what its runs that ended took together; copied: runs that an earlier one had
    trained, which took nothing; run_s: the mean of all, as they were trained. failures: by the class of an attempt that
    had no result; retried: runs that took more than one. recent: runs trained to their end in the last recent_s
    seconds. best: candidate and score. peak_memory_bytes: the most that any run took; utilization: the mean of the
    runs'; energy_j: joules of all runs trained here together; None where nobody told."""

    counts: Mapping[Phase, Mapping[RunState, int]]
    failures: Mapping[Failure, int]
    retried: int
    trained_s: float
    copied: int
    run_s: float | None
    peak_memory_bytes: int | None
    utilization: float | None
    energy_j: float | None
    recent: int
    recent_s: float
    best: tuple[int, float] | None
    active: tuple[Activity, ...]


@dataclass(frozen=True)
class Claim:
    """The right to train a run: valid while the lease lives and `attempt` is the row's. last_failure: why the attempt
    before this one had no result."""

    run_id: int
    attempt: int
    worker_id: str
    study_id: int
    candidate: Candidate
    phase: Phase
    seed: int
    total_updates: int
    last_failure: Failure | None = None


@dataclass(frozen=True)
class Alike:
    """Waiting runs of one horizon that were never tried: of one seed, and of all. running: the study's runs that are
    trained now; workers: how many trained its last runs."""

    of_its_seed: int
    of_all_seeds: int
    running: int
    workers: int

    def share(self, waiting: int, workers: int) -> int:
        """What of these waiting runs is one worker's share, the run that it holds included; workers: those known of."""
        fair = ceil((waiting + self.running) / max(1, workers, self.workers))
        return min(waiting + 1, fair)


@dataclass(frozen=True)
class MeasurementRow:
    """After update `update` (from 0): the LR it used, the mean training loss since the row before, validation."""

    update: int
    lr: float
    train_loss: float | None
    val_loss: float | None
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class RunResult:
    """How a run ended."""

    state: RunState
    score: float | None = None
    test_score: float | None = None
    updates_done: int | None = None
    initial_loss: float | None = None
    diverged_at: int | None = None
    reason: str | None = None
    duration_s: float | None = None
    failure: Failure | None = None
    log_tail: str | None = None
    peak_memory_bytes: int | None = None
    utilization: float | None = None
    energy_j: float | None = None
    trained_together: int | None = None


@dataclass(frozen=True)
class StandingRow:
    """One finalist of the confirmation. role: winner, runner-up, baseline, incumbent, free shape. 95 % intervals."""

    candidate_id: int
    role: str
    seeds: int
    diverged: int
    mean: float | None
    ci_low: float | None
    ci_high: float | None
    probability_best: float
    test_mean: float | None
    rank_position: int
    is_recommended: bool
    is_tied: bool


@dataclass(frozen=True)
class ComparisonRow:
    """candidate minus against, in the metric's units, on the confirmation's seeds. p_permutation: sign-flip test."""

    candidate_id: int
    against_id: int
    difference: float | None
    ci_low: float | None
    ci_high: float | None
    p_value: float | None
    paired: bool
    seeds: int
    p_permutation: float | None = None


@dataclass(frozen=True)
class AnswerRow:
    """One answer to one question, at its best candidate. difference: to the best other answer (None: not run)."""

    question: str
    answer: str
    candidate_id: int
    phase: str
    runs: int
    mean: float | None
    ci_low: float | None
    ci_high: float | None
    difference: float | None
    diff_low: float | None
    diff_high: float | None
    best_base_lr: float
    is_chosen: bool
    sentence: str
    p_permutation: float | None = None


@dataclass(frozen=True)
class Verdict:
    """What a finished study concludes. `details`: noise, pairing, warnings, as plain values."""

    recommended_id: int
    winner_id: int
    is_tie: bool
    text: str
    details: Mapping[str, Any]
    standings: tuple[StandingRow, ...]
    comparisons: tuple[ComparisonRow, ...]
    answers: tuple[AnswerRow, ...]


@dataclass(frozen=True)
class ModelCheck:
    """How well the curve model ranked runs it had not seen (leave-one-out Spearman), after `runs` runs."""

    runs: int
    rank_agreement: float | None


@dataclass(frozen=True)
class Probe:
    """What a probe found of a task with these options: the range to look for the base LR in, whether a warm-up matters.

    best_lr: of its best short run; edge_lr: where its range test's loss climbed again. details: its runs, plain values.
    """

    task_fingerprint: str
    task: str
    task_options: Mapping[str, Any]
    total_updates: int
    base_lr_low: float
    base_lr_high: float
    best_lr: float
    edge_lr: float
    warmup_matters: bool
    sentence: str
    details: Mapping[str, Any]
    code_version: str

    @property
    def base_lr(self) -> tuple[float, float]:
        """The range, (low, high)."""
        return self.base_lr_low, self.base_lr_high


@dataclass(frozen=True)
class SchemaStatus:
    """The store's schema revision against this code's."""

    found: str | None
    expected: str
    fits: bool
