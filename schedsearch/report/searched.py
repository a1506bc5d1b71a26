"""The search as the report shows it: arms, the course of the search, every candidate."""

from __future__ import annotations

from collections.abc import Mapping

from schedsearch.report.rows import FREEFORM, StudyRows, name_of
from schedsearch.report.values import ArmFacts, CandidateFacts, FinalistFacts, SearchedRun
from schedsearch.space import answers_of
from schedsearch.store import Candidate, Phase, Run, RunState


def arm_facts(rows: StudyRows, finalists: Mapping[int, FinalistFacts]) -> tuple[ArmFacts, ...]:
    """Every arm that was searched or confirmed, best first: by confirmed mean, the others by their best run."""
    searched: dict[str, list[Run]] = {}
    for run in rows.ended(Phase.SEARCH):
        candidate = rows.by_id[run.candidate_id]
        if candidate.kind != FREEFORM:
            searched.setdefault(candidate.arm, []).append(run)
    named = {one: facts for one, facts in finalists.items() if rows.by_id[one].kind != FREEFORM}
    labels = dict.fromkeys([*searched, *(one.arm for one in named.values())])
    arms = [_arm(rows, label, searched.get(label, []), named) for label in labels]
    return tuple(sorted(arms, key=lambda arm: _place(rows, arm)))


def _arm(rows: StudyRows, label: str, runs: list[Run], finalists: Mapping[int, FinalistFacts]) -> ArmFacts:
    confirmed = [one for one in finalists.values() if one.arm == label and one.score.value is not None]
    best = min(confirmed, key=lambda one: one.rank, default=None)
    return ArmFacts(
        label=label,
        by_base_lr=tuple((rows.by_id[run.candidate_id].schedule.base_lr, run.score) for run in runs),
        scores=tuple(run.score for run in runs if run.score is not None),
        diverged=sum(run.state is RunState.DIVERGED for run in runs),
        confirmed=None if best is None else best.score,
        is_recommended=any(one.is_recommended and one.arm == label for one in finalists.values()),
    )


def _place(rows: StudyRows, arm: ArmFacts) -> tuple[int, float]:
    if arm.confirmed is not None and arm.confirmed.value is not None:
        return (0, rows.sign * arm.confirmed.value)
    best = rows.best(arm.scores)
    return (2, 0.0) if best is None else (1, rows.sign * best)


def searched_runs(rows: StudyRows) -> tuple[SearchedRun, ...]:
    """Every run of the search phase with the best so far."""
    found: list[SearchedRun] = []
    best: float | None = None
    for number, run in enumerate(rows.ended(Phase.SEARCH), start=1):
        best = rows.best([best, run.score])
        candidate = rows.by_id[run.candidate_id]
        answers = {question.value: answer for question, answer in answers_of(candidate.schedule).items()}
        schedule = candidate.schedule
        found.append(
            SearchedRun(number, schedule.describe(), candidate.kind, schedule.base_lr, answers, run.score, best)
        )
    return tuple(found)


def candidate_facts(rows: StudyRows, finalists: Mapping[int, FinalistFacts]) -> tuple[CandidateFacts, ...]:
    """Every candidate with a run: the confirmed first, then by the score of the search."""
    runs: dict[int, list[Run]] = {}
    for run in rows.ended():
        runs.setdefault(run.candidate_id, []).append(run)
    found = [_candidate(rows, rows.by_id[one], own, finalists.get(one)) for one, own in runs.items()]
    return tuple(sorted(found, key=lambda one: _order(rows, one)))


def _candidate(
    rows: StudyRows, candidate: Candidate, runs: list[Run], finalist: FinalistFacts | None
) -> CandidateFacts:
    searched = [run.score for run in runs if run.phase is Phase.SEARCH]
    return CandidateFacts(
        candidate_id=candidate.id,
        name=name_of(candidate),
        description=candidate.schedule.describe(),
        kind=candidate.kind,
        arm=candidate.arm,
        base_lr=candidate.schedule.base_lr,
        search_score=searched[0] if searched else None,
        runs=len(runs),
        diverged=sum(run.state is RunState.DIVERGED for run in runs),
        confirmed=None if finalist is None else finalist.score.value,
    )


def _order(rows: StudyRows, one: CandidateFacts) -> tuple[int, float]:
    if one.confirmed is not None:
        return (0, rows.sign * one.confirmed)
    return (1, rows.sign * one.search_score) if one.search_score is not None else (2, 0.0)
