"""A study as it would stand in the store: rows made of real schedules, drawn scores and the real verdict."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import log10
from typing import Any

import numpy as np

from schedsearch import evidence
from schedsearch.evidence import Finalist, decide, unconfirmed_answers
from schedsearch.report.rows import StudyRows
from schedsearch.schedule import (
    FEATURE_NAMES,
    Constant,
    Cosine,
    Linear,
    MultiStep,
    Restarts,
    Schedule,
    Spline,
    Warmup,
    Wsd,
)
from schedsearch.search.importance import Importance, Importances
from schedsearch.space import SearchSpace, answers_of, arm_of, complexity, load_space
from schedsearch.space.answers import Arm, Question
from schedsearch.store import (
    AnswerRow,
    Candidate,
    ComparisonRow,
    MeasurementRow,
    ModelCheck,
    Phase,
    Run,
    RunState,
    StandingRow,
    Study,
    StudyState,
    Verdict,
)

TOTAL = 400
START = 1_790_000_000.0
WARMUP = Warmup("linear", 0.05, 0.01)
CHAMPIONS = (
    (Schedule(0.021, Wsd(0.27, "linear"), WARMUP), "winner"),
    (Schedule(0.008, Wsd(0.41, "linear")), "runner-up"),
    (Schedule(0.018, Linear(), WARMUP), "runner-up"),
    (Schedule(0.016, Cosine(0.01), WARMUP, Restarts(2, 2.0, 0.6)), "runner-up"),
)
FREE = Schedule(0.02, Spline(0.55, 0.8, 0.85, 0.45), WARMUP)
BASELINES = {
    "constant": Schedule(0.006, Constant()),
    "cosine": Schedule(0.009, Cosine()),
    "warmup_cosine": Schedule(0.015, Cosine(), WARMUP),
    "step": Schedule(0.008, MultiStep((0.5, 0.75), 0.1)),
}

IMPORTANCES = Importances(
    44,
    (
        Importance("base LR", 0.62, 0.81),
        Importance("warm-up", 0.21, 0.11),
        Importance("decay", 0.15, 0.07),
        Importance("restarts", 0.02, 0.01),
    ),
)


@dataclass(frozen=True)
class Example:
    """What may be varied. effect: how far families lie apart; noise: sd between seeds; diverging: baselines that do."""

    name: str = "charlm-framework"
    task: str = "charlm"
    metric: str = "loss"
    direction: str = "minimize"
    effect: float = 1.0
    noise: float = 0.012
    diverging: Sequence[str] = ()
    warnings: Sequence[str] = ()
    held_fixed: Mapping[str, str] = field(default_factory=lambda: {"optimizer": "adamw", "batch_size": "32"})
    trials: int = 40
    seed: int = 4
    with_free_shape: bool = True


def example_rows(given: Example, *, finished: bool = True) -> StudyRows:
    """The rows of one study; without `finished` it stands in the middle of its search."""
    builder = _Builder(given)
    builder.noise()
    builder.search(given.trials if finished else given.trials // 2)
    if finished:
        builder.race()
        builder.confirm()
    return builder.rows(finished=finished)


def answer_row(answer: evidence.AnswerResult) -> AnswerRow:
    values = vars(answer)
    return AnswerRow(**{name: values[name] for name in values if name != "is_tie"})


class _Builder:
    def __init__(self, given: Example) -> None:
        self.given = given
        self.rng = np.random.default_rng(given.seed)
        self.space: SearchSpace = load_space("framework").with_base_lr(0.0005, 0.1)
        self.candidates: dict[int, Candidate] = {}
        self.runs: list[Run] = []
        self.measurements: dict[int, list[MeasurementRow]] = {}
        self.roles: dict[int, str] = {}

    def candidate(self, schedule: Schedule, kind: str, label: str | None = None) -> int:
        number = len(self.candidates) + 1
        answers = answers_of(schedule)
        self.candidates[number] = Candidate(
            kind, label, schedule, None, arm_of(schedule).label,
            answers[Question.WARMUP], answers[Question.DECAY], answers[Question.RESTARTS], number, 1,
        )  # fmt: skip
        return number

    def true_score(self, schedule: Schedule) -> float:
        """A made-up landscape: each family has its level and its best base LR, which a warm-up raises."""
        level = {"wsd": 0.0, "linear": 0.02, "constant": 0.075, "spline": -0.01, "cosine": 0.11, "multistep": 0.1}
        warm = schedule.warmup is not None
        best = 0.02 if warm else 0.008
        off = log10(schedule.base_lr / best)
        lost = level.get(schedule.decay.kind, 0.06) + (0 if warm else 0.03) + (schedule.restarts is not None) * 0.025
        value = 1.84 + self.given.effect * lost + 0.35 * off**2
        return value if self.given.direction == "minimize" else 1.2 - 0.15 * value

    def run(self, candidate_id: int, phase: Phase, seed: int, round_: int = 0) -> None:
        candidate = self.candidates[candidate_id]
        unstable = candidate.schedule.warmup is None and candidate.schedule.base_lr > 0.045
        lost = (unstable or candidate.label in self.given.diverging) and not (phase is Phase.CONFIRM and seed % 2)
        common = np.random.default_rng(seed).normal(0, 0.6)
        score = self.true_score(candidate.schedule) + self.given.noise * (common + self.rng.normal(0, 0.8))
        number = len(self.runs) + 1
        self.runs.append(
            Run(
                candidate_id, phase, round_, seed, TOTAL, number, 1,
                RunState.DIVERGED if lost else RunState.COMPLETED, 1, "host:1", "cpu",
                START + 4 * number, START + 4 * number + 3.9, 3.9, 57 if lost else TOTAL, 4.6,
                None if lost else float(score), None if lost else float(score + 0.01), 57 if lost else None,
                "The loss was not finite at update 57." if lost else None,
                None, None, None, None, None, 1, True, False, None,
            )
        )  # fmt: skip
        points = self.curve(candidate.schedule, float(score))
        if lost:
            points = [one for one in points if one.update < 57]
            points.append(MeasurementRow(57, float(candidate.schedule.lrs(TOTAL)[57]), None, None))
        self.measurements[number] = points

    def curve(self, schedule: Schedule, final: float) -> list[MeasurementRow]:
        """The rows of a run; the first two of one at a base LR too high for its start are a spike."""
        lrs = schedule.lrs(TOTAL)
        spike = 9.0 if schedule.warmup is None and schedule.base_lr > 0.03 else 0.0
        points = []
        for t in range(TOTAL // 20 - 1, TOTAL, TOTAL // 20):
            left = 1 - (t + 1) / TOTAL
            value = final + 2.2 * np.exp(-9 * (1 - left)) * left + 0.12 * (lrs[t] / lrs.max()) * left
            train = value - 0.02 + (spike if t < 40 else 0.0)
            points.append(
                MeasurementRow(t, float(lrs[t]), train, value, {} if self.given.metric == "loss" else
                               {self.given.metric: final - 0.5 * left**2})
            )  # fmt: skip
        return points

    def noise(self) -> None:
        one = self.candidate(BASELINES["cosine"].with_base_lr(0.01), "baseline", "cosine")
        for seed in (1, 2, 3):
            self.run(one, Phase.NOISE, seed)

    def search(self, trials: int) -> None:
        for number in range(trials):
            arm: Arm = self.space.arms[number % len(self.space.arms)]
            schedule = self.space.schedule(self.space.draw(self.rng, arm))
            if number > trials // 3:
                pull = 10 ** self.rng.normal(log10(0.016 if schedule.warmup else 0.008), 0.2)
                schedule = schedule.with_base_lr(float(pull))
            self.run(self.candidate(schedule, "search"), Phase.SEARCH, 0)
        for name, schedule in BASELINES.items():
            bolder = schedule.with_base_lr(schedule.base_lr * 1.4)
            self.run(self.candidate(bolder, "baseline", name), Phase.SEARCH, 0, 1)

    def race(self) -> None:
        for schedule, role in CHAMPIONS:
            self.roles[self.candidate(schedule, "champion")] = role
        for round_ in range(3):
            for one in list(self.roles)[: 4 - round_]:
                for k in range(2):
                    self.run(one, Phase.RACE, 100 + 2 * round_ + k, round_)

    def confirm(self) -> None:
        if self.given.with_free_shape:
            self.roles[self.candidate(FREE, "freeform")] = "free shape"
        for name, schedule in BASELINES.items():
            self.roles[self.candidate(schedule, "baseline", name)] = "baseline"
        for seed in range(1000, 1006):
            for one in self.roles:
                self.run(one, Phase.CONFIRM, seed)

    def finalists(self) -> list[Finalist]:
        found = []
        for one, role in self.roles.items():
            candidate = self.candidates[one]
            own = [run for run in self.runs if run.candidate_id == one and run.phase is Phase.CONFIRM]
            found.append(
                Finalist(
                    one, candidate.label or candidate.schedule.describe(), role, candidate.schedule.base_lr,
                    answers_of(candidate.schedule), complexity(candidate.schedule),
                    {run.seed: run.score for run in own}, {run.seed: run.test_score for run in own},
                    candidate.schedule.describe(),
                )
            )  # fmt: skip
        return found

    def verdict(self) -> Verdict:
        found = decide(self.finalists(), self.given.direction, use_pairing=True, metric=self.given.metric)
        seen = [self._seen(run) for run in self.runs if run.phase is Phase.SEARCH]
        confirmed = {(one.question, one.answer) for one in found.answers}
        more = unconfirmed_answers(seen, self.given.direction, phase="search", confirmed=confirmed)
        predictions = [
            {"candidate_id": one.candidate_id, "mean": one.mean + 0.01 * np.sin(one.candidate_id),
             "low": one.mean - 0.03, "high": one.mean + 0.03}
            for one in found.standings if one.mean is not None
        ]  # fmt: skip
        details = {
            "warnings": list(self.given.warnings),
            "held_fixed": dict(self.given.held_fixed),
            "resolution": {"sentence": "With 6 seeds a finalist, differences of about 0.02 show."},
            "versions": {"torch": "2.13.0", "optuna": "5.0.0", "python": "3.11.9"},
            "predictions": predictions,
            "ties": [one.question for one in found.answers if one.is_chosen and one.is_tie],
            "erratic": list(found.erratic_ids),
            "shape": None if found.shape is None else asdict(found.shape),
            "model": self.model(found),
        }
        return Verdict(
            found.recommended_id, found.winner_id, found.is_tie, found.text, details,
            tuple(StandingRow(**vars(one)) for one in found.standings),
            tuple(ComparisonRow(**vars(one)) for one in found.comparisons),
            tuple(answer_row(one) for one in (*found.answers, *more)),
        )  # fmt: skip

    def model(self, found: evidence.Verdict) -> dict[str, Any]:
        """What a curve model might have said."""
        searched = [run for run in self.runs if run.phase is Phase.SEARCH and run.score is not None]
        rng = np.random.default_rng(3)
        scores = {one.candidate_id: one.scores for one in self.finalists() if one.role != "free shape"}
        foretold = {one: self.true_score(self.candidates[one].schedule) for one in scores}
        trusted = evidence.trust(foretold, scores, left_out=0.91, plain_share=0.06)
        arms = []
        for arm in self.space.arms:
            base_lr = 0.016 if arm.warmup != "none" else 0.008
            schedule = self.space.schedule(self.space.draw(rng, arm)).with_base_lr(base_lr)
            expected = self.true_score(schedule)
            arms.append({"arm": arm.label, "schedule": schedule.to_dict(), "mean": expected, "low": expected - 0.02,
                         "high": expected + 0.02})  # fmt: skip
        measured = np.array([run.score for run in searched], dtype=np.float64)
        predicted = measured + rng.normal(0, 0.03, len(measured))
        points = np.stack([measured, predicted, predicted - 0.06, predicted + 0.06])
        shares = np.array([0.08, 0.31, 0.12, 0.02, 0.03, 0.05, 0.09, 0.14, 0.11, 0.05])
        return {
            "points": points.T.tolist(),
            "features": dict(zip(FEATURE_NAMES, map(float, shares), strict=True)),
            "arms": sorted(arms, key=lambda one: self.sign * one["mean"]),
            "earlier": {},
            "trust": asdict(trusted),
            "sentence": trusted.sentence,
        }

    @property
    def sign(self) -> float:
        return 1.0 if self.given.direction == "minimize" else -1.0

    def _seen(self, run: Run) -> Finalist:
        candidate = self.candidates[run.candidate_id]
        return Finalist(
            candidate.id, candidate.arm, "search", candidate.schedule.base_lr, answers_of(candidate.schedule),
            complexity(candidate.schedule), {run.seed: run.score},
        )  # fmt: skip

    def rows(self, *, finished: bool) -> StudyRows:
        study = Study(
            self.given.name, self.given.task, {}, "f" * 16, self.given.metric, self.given.direction, self.space.name,
            self.space.version, self.space.to_dict(), "curve", 0, TOTAL, 40, {"trials": self.given.trials}, {}, "0.1.0",
            self.given.name, 1, Phase.CONFIRM if finished else Phase.SEARCH,
            StudyState.FINISHED if finished else StudyState.RUNNING, None, START, START + 1900 if finished else None,
            None, None,
        )  # fmt: skip
        return StudyRows(
            study, list(self.candidates.values()), self.runs, self.verdict() if finished else None, self.measurements,
            [ModelCheck(runs, 0.95 - 2.5 / runs) for runs in range(4, len(self.runs), 3)],
            IMPORTANCES if finished else Importances(11, (), "Importances need 20 searched runs or more."),
        )  # fmt: skip
