"""The verdict of a study: read from the confirmation batch, stored with everything that a report shows beside it."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib import metadata
from math import isfinite
from typing import Any

from schedsearch import evidence
from schedsearch.evidence import AnswerResult, Circumstances, Finalist, Resolution, Screening, Trust
from schedsearch.space import answers_of, complexity
from schedsearch.store import AnswerRow, Candidate, ComparisonRow, Phase, Run, StandingRow, StudyState, Verdict
from schedsearch.workers import screening
from schedsearch.workers.confirmation import race_scores
from schedsearch.workers.desk import Desk
from schedsearch.workers.rows import FIXED_KINDS, FREEFORM

LIBRARIES = ("torch", "optuna", "botorch", "numpy")
HELD_FIXED = ("optimizer", "batch_size", "parameters")


def confirm_step(desk: Desk) -> bool:
    """When the confirmation batch has ended: the verdict, stored, and the study is finished."""
    if not desk.done(Phase.CONFIRM):
        return False
    finalists = confirmed_finalists(desk)
    if not any(value is not None for one in _named(finalists) for value in one.scores.values()):
        reason = "No run of the confirmation reached its horizon."
        desk.store.set_study_state(desk.study.id, StudyState.FAILED, reason)
        return True
    desk.store.save_verdict(desk.study.id, desk.token, conclude(desk, finalists))
    return True


def conclude(desk: Desk, finalists: Sequence[Finalist]) -> Verdict:
    """The verdict on these finalists, as the store keeps it."""
    correlation = evidence.pairing_correlation(desk.scores(Phase.RACE))
    use_pairing = evidence.pairing_pays(correlation)
    resolution = _resolution(desk, finalists, correlation if use_pairing else None)
    screened = screening.result(desk)
    found = evidence.decide(finalists, desk.study.direction, use_pairing=use_pairing, metric=desk.study.metric)
    predicted, trust, model = _model(desk, finalists)
    noise = evidence.estimate_noise(desk.scores(Phase.NOISE))
    details = {
        "warnings": list(evidence.warnings(found, _circumstances(desk, finalists, trust, resolution, screened))),
        "noise": asdict(noise),
        "pairing": {"correlation": correlation, "used": use_pairing},
        "resolution": _as_details(resolution),
        "screening": _as_details(screened),
        "held_fixed": {key: desk.study.budget[key] for key in HELD_FIXED if desk.study.budget.get(key) is not None},
        "versions": {**{name: metadata.version(name) for name in LIBRARIES}, "python": platform.python_version()},
        "predictions": predicted,
        "ties": [one.question for one in found.answers if one.is_chosen and one.is_tie],
        "erratic": list(found.erratic_ids),
        "shape": None if found.shape is None else asdict(found.shape),
        "model": model,
        "importances": asdict(desk.surrogate.importances(desk.candidates, desk.of(Phase.SEARCH))),
    }
    sentences = [one.sentence for one in (resolution, screened) if one is not None and one.sentence]
    return Verdict(
        recommended_id=found.recommended_id,
        winner_id=found.winner_id,
        is_tie=found.is_tie,
        text="\n".join([found.text, *sentences, trust.sentence]),
        details=details,
        standings=tuple(StandingRow(**vars(one)) for one in found.standings),
        comparisons=tuple(ComparisonRow(**vars(one)) for one in found.comparisons),
        answers=tuple(_answer_row(one) for one in [*found.answers, *_unconfirmed(desk, found.answers)]),
    )


def _as_details(one: Resolution | Screening | None) -> dict[str, Any] | None:
    return None if one is None else {**asdict(one), "sentence": one.sentence}


def _resolution(desk: Desk, finalists: Sequence[Finalist], correlation: float | None) -> Resolution | None:
    """What the confirmation can tell apart; None where no finalist has two scores."""
    sd, _ = evidence.common_noise({one.candidate_id: one.scores for one in finalists})
    seeds = min(len(one.scores) for one in finalists)
    if seeds < 2 or not isfinite(sd):
        return None
    return Resolution(seeds, sd, correlation, desk.study.budget.get("resolution"))


def _named(finalists: Sequence[Finalist]) -> list[Finalist]:
    return [one for one in finalists if one.role != evidence.FREE_SHAPE]


def _answer_row(answer: AnswerResult) -> AnswerRow:
    values = vars(answer)
    return AnswerRow(**{name: values[name] for name in values if name != "is_tie"})


def confirmed_finalists(desk: Desk) -> list[Finalist]:
    """Every candidate of the confirmation with its scores."""
    scores, race = desk.scores(Phase.CONFIRM), race_scores(desk)
    direction = desk.study.direction
    winner = evidence.race_winner({one: race[one] for one in race if one in scores}, direction)
    lasting = evidence.finishers(race, direction)
    tuned = {desk.candidates[one].label: one for one in reversed(list(scores))}  # the tuned baselines were queued first
    return [
        finalist(
            desk,
            desk.candidates[one],
            role="winner" if one == winner else _role(desk.candidates[one], tuned),
            scores=scores[one],
            left_race=one in race and one not in lasting,
        )
        for one in scores
    ]


def _role(candidate: Candidate, tuned: Mapping[str | None, int]) -> str:
    """A baseline that came through the race at another base LR than the one it was tuned to is a runner-up."""
    if candidate.kind == FREEFORM:
        return evidence.FREE_SHAPE
    is_fixed = candidate.kind in FIXED_KINDS and tuned[candidate.label] == candidate.id
    return candidate.kind if is_fixed else "runner-up"


def finalist(
    desk: Desk, candidate: Candidate, *, role: str, scores: Mapping[int, float | None], left_race: bool = False
) -> Finalist:
    """What the verdict needs to know of one candidate."""
    tests = {
        run.seed: run.test_score
        for run in desk.of(Phase.CONFIRM)
        if run.candidate_id == candidate.id and run.test_score is not None
    }
    return Finalist(
        candidate_id=candidate.id,
        label=candidate.label or candidate.schedule.describe(),
        role=role,
        base_lr=candidate.schedule.base_lr,
        answers=answers_of(candidate.schedule),
        complexity=complexity(candidate.schedule),
        scores=scores,
        test_scores=tests,
        description=candidate.schedule.describe(),
        left_race=left_race,
    )


def _unconfirmed(desk: Desk, answers: Sequence[AnswerResult]) -> list[AnswerResult]:
    """Answers that only the race or the search has seen, for the record."""
    rows = list(answers)
    for phase in (Phase.RACE, Phase.SEARCH):
        seen = [
            finalist(desk, desk.candidates[one], role="runner-up", scores=scores)
            for one, scores in desk.scores(phase).items()
            if desk.candidates[one].kind != FREEFORM
        ]
        known = {(one.question, one.answer) for one in rows}
        rows += evidence.unconfirmed_answers(seen, desk.study.direction, phase=phase.value, confirmed=known)
    return rows[len(answers) :]


def prepare(desk: Desk) -> None:
    """Work out what the verdict will need of the runs before the confirmation, while that is still being trained."""
    desk.surrogate.picture(desk.candidates, _searched(desk))
    desk.surrogate.importances(desk.candidates, desk.of(Phase.SEARCH))


def _searched(desk: Desk) -> list[Run]:
    return [run for run in desk.runs if run.phase in (Phase.NOISE, Phase.SEARCH, Phase.SCREEN)]


def _model(desk: Desk, finalists: Sequence[Finalist]) -> tuple[list[dict[str, Any]], Trust, dict[str, Any]]:
    """What the curve model of the search expected of the finalists; its worth; its picture.

    The race's runs are left out: most are near ties on several seeds, where no model can rank one run before another.
    """
    before = _searched(desk)
    model = desk.surrogate.model(desk.candidates, before)
    expected = desk.surrogate.predict(model, [desk.candidates[one.candidate_id].schedule for one in finalists])
    means = {one.candidate_id: mean for one, (mean, _, _) in zip(finalists, expected, strict=True)}
    named = _named(finalists)
    trust = evidence.trust(
        {one.candidate_id: means[one.candidate_id] for one in named},
        {one.candidate_id: one.scores for one in named},
        left_out=model.rank_agreement(),
        plain_share=desk.surrogate.plain_share(model),
    )
    predicted = [
        {"candidate_id": one.candidate_id, "mean": mean, "low": low, "high": high}
        for one, (mean, low, high) in zip(finalists, expected, strict=True)
    ]
    picture = desk.surrogate.picture(desk.candidates, before)
    return predicted, trust, {**picture, "trust": asdict(trust), "sentence": trust.sentence}


def _circumstances(
    desk: Desk,
    finalists: Sequence[Finalist],
    trust: Trust,
    resolution: Resolution | None,
    screened: Screening | None,
) -> Circumstances:
    searched = desk.of(Phase.SEARCH)
    arms = [desk.candidates[run.candidate_id].arm for run in searched]
    return Circumstances(
        base_lrs={one.candidate_id: one.base_lr for one in finalists},
        base_lr_range=desk.space.base_lr,
        runs_by_arm={arm.label: arms.count(arm.label) for arm in desk.space.arms},
        trust=trust,
        resolution=resolution,
        screening=screened,
        noise=evidence.estimate_noise(desk.scores(Phase.NOISE)),
        search_seeds={run.seed for run in desk.runs if run.phase is not Phase.CONFIRM},
        confirm_seeds={run.seed for run in desk.of(Phase.CONFIRM)},
    )
