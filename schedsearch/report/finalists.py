"""The confirmation as the report shows it: finalists, gains, the three questions, predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

import numpy as np

from schedsearch.evidence import FREE_SHAPE, liked_base_lrs
from schedsearch.evidence.words import capital
from schedsearch.report.rows import StudyRows, better_by, name_of
from schedsearch.report.values import (
    AnswerFacts,
    FinalistFacts,
    Interval,
    Line,
    Prediction,
    QuestionFacts,
    VerdictFacts,
)
from schedsearch.schedule import Schedule
from schedsearch.store import AnswerRow, ComparisonRow, MeasurementRow, Phase, RunState, StandingRow, Verdict

MOST_POINTS = 240
TITLES = {"warmup": "Warm-up", "decay": "Decay", "restarts": "Restarts"}


def verdict_facts(verdict: Verdict) -> VerdictFacts:
    """The conclusion; warnings as they were computed with it."""
    return VerdictFacts(
        text=verdict.text,
        is_tie=verdict.is_tie,
        tied=sum(one.is_tied for one in verdict.standings),
        of=sum(one.role != FREE_SHAPE for one in verdict.standings),
        recommended_id=verdict.recommended_id,
        winner_id=verdict.winner_id,
        warnings=tuple(str(one) for one in verdict.details.get("warnings", ())),
    )


def finalist_facts(rows: StudyRows, verdict: Verdict) -> tuple[FinalistFacts, ...]:
    """Every finalist, best first."""
    gains = {one.against_id: one for one in verdict.comparisons if one.candidate_id == verdict.recommended_id}
    ordered = sorted(verdict.standings, key=lambda one: one.rank_position)
    erratic = verdict.details.get("erratic", ())
    return tuple(
        _finalist(rows, one, gains.get(one.candidate_id), erratic=one.candidate_id in erratic) for one in ordered
    )


def _finalist(rows: StudyRows, standing: StandingRow, gain: ComparisonRow | None, *, erratic: bool) -> FinalistFacts:
    candidate = rows.by_id[standing.candidate_id]
    own = rows.scores(Phase.CONFIRM).get(candidate.id, {})
    return FinalistFacts(
        candidate_id=candidate.id,
        name=name_of(candidate),
        description=candidate.schedule.describe(),
        role=standing.role,
        arm=candidate.arm,
        base_lr=candidate.schedule.base_lr,
        score=Interval(standing.mean, standing.ci_low, standing.ci_high),
        test_mean=standing.test_mean,
        seeds=standing.seeds,
        diverged=standing.diverged,
        probability_best=standing.probability_best,
        rank=standing.rank_position,
        is_recommended=standing.is_recommended,
        is_tied=standing.is_tied,
        is_erratic=erratic,
        scores=tuple(sorted(own.items())),
        gain=None if gain is None else better_by(gain.difference, gain.ci_low, gain.ci_high, rows.sign),
        gain_is_paired=gain is not None and gain.paired,
        p_permutation=None if gain is None else gain.p_permutation,
        lrs=thinned_lrs(candidate.schedule, rows.study.total_updates, rows.study.updates_per_epoch),
        learning=_learning(rows, candidate.id),
    )


def thinned_lrs(schedule: Schedule, total_updates: int, updates_per_epoch: int) -> Line:
    """At most 240 points of the schedule, its corners and jumps among them."""
    lrs = schedule.lrs(total_updates, updates_per_epoch)
    if total_updates <= MOST_POINTS:
        kept = np.arange(total_updates)
    else:
        even = np.linspace(0, total_updates - 1, MOST_POINTS // 2).round().astype(int)
        bends = np.argsort(np.abs(np.diff(lrs, 2)))[::-1][: MOST_POINTS // 6] + 1
        near = np.concatenate([even, bends - 1, bends, bends + 1])
        kept = np.unique(near[(near >= 0) & (near < total_updates)])
    return Line(tuple(float(t) for t in kept), tuple(float(lrs[t]) for t in kept))


def _learning(rows: StudyRows, candidate_id: int) -> Line:
    """The metric on the validation split at each evaluated update: mean over the completed seeds that have it."""
    completed = [run for run in rows.ended(Phase.CONFIRM) if run.candidate_id == candidate_id]
    points: dict[int, list[float]] = {}
    for run in completed:
        for row in rows.measurements.get(run.id, ()) if run.state is RunState.COMPLETED else ():
            value = _metric(row, rows.study.metric)
            if value is not None:
                points.setdefault(row.update, []).append(value)
    updates = sorted(points)
    return Line(tuple(float(one) for one in updates), tuple(fmean(points[one]) for one in updates))


def _metric(row: MeasurementRow, metric: str) -> float | None:
    return row.val_loss if metric == "loss" else row.metrics.get(metric)


def question_facts(rows: StudyRows, verdict: Verdict) -> tuple[QuestionFacts, ...]:
    """The three questions in the order in which they are decided."""
    by_question = {key: [one for one in verdict.answers if one.question == key] for key in TITLES}
    ties = verdict.details.get("ties", ())
    return tuple(_question(rows, key, answers, tie=key in ties) for key, answers in by_question.items() if answers)


def _question(rows: StudyRows, key: str, answers: Sequence[AnswerRow], *, tie: bool) -> QuestionFacts:
    ordered = sorted(answers, key=lambda one: (not one.is_chosen, one.phase != "confirm", _badness(one, rows.sign)))
    chosen = ordered[0]
    known = chosen.difference is not None
    return QuestionFacts(
        key=key,
        title=TITLES[key],
        chosen=chosen.answer,
        sentence=_without_title(chosen.sentence, f"{TITLES[key]}: {chosen.answer}"),
        gain=better_by(chosen.difference, chosen.diff_low, chosen.diff_high, rows.sign) if known else None,
        is_tie=tie,
        is_asked=key in rows.asked,
        lr_sentence=liked_base_lrs({one.answer: one.best_base_lr for one in ordered if one.phase == "confirm"}),
        answers=tuple(_answer(rows, one) for one in ordered),
    )


def _without_title(sentence: str, title: str) -> str:
    """The sentence as it reads under its title: without it, from a capital on."""
    return capital(sentence.removeprefix(title).lstrip(".,;: "))


def _badness(answer: AnswerRow, sign: float) -> float:
    return float("inf") if answer.mean is None else sign * answer.mean


def _answer(rows: StudyRows, row: AnswerRow) -> AnswerFacts:
    return AnswerFacts(
        answer=row.answer,
        schedule=rows.by_id[row.candidate_id].schedule.describe(),
        base_lr=row.best_base_lr,
        score=Interval(row.mean, row.ci_low, row.ci_high),
        lead=None if row.difference is None else better_by(row.difference, row.diff_low, row.diff_high, rows.sign),
        runs=row.runs,
        confirmed=row.phase == Phase.CONFIRM.value,
        is_chosen=row.is_chosen,
        p_permutation=row.p_permutation,
    )


def prediction_facts(rows: StudyRows, verdict: Verdict) -> tuple[Prediction, ...]:
    """The model's expectation of each finalist beside its measurement, where the verdict's details hold them.

    `details["predictions"]`: a list of {"candidate_id", "mean", "low", "high"}, 95 % intervals, before confirmation.
    """
    measured = {one.candidate_id: one for one in verdict.standings}
    erratic = verdict.details.get("erratic", ())
    given: list[Mapping[str, Any]] = list(verdict.details.get("predictions", ()))
    return tuple(
        _prediction(rows, one, measured[one["candidate_id"]], erratic=one["candidate_id"] in erratic)
        for one in given
        if one["candidate_id"] in measured
    )


def _prediction(rows: StudyRows, given: Mapping[str, Any], standing: StandingRow, *, erratic: bool) -> Prediction:
    return Prediction(
        name=name_of(rows.by_id[standing.candidate_id]),
        predicted=Interval(given.get("mean"), given.get("low"), given.get("high")),
        measured=Interval(standing.mean, standing.ci_low, standing.ci_high),
        is_erratic=erratic,
    )
