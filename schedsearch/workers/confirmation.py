"""The race among champions and the confirmation batch: who runs on which fresh seeds, and what is concluded.

The race only picks; the verdict is read from the confirmation batch alone (other seeds), because an estimate that
was used to pick the winner overstates its lead.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from statistics import fmean

from schedsearch import evidence
from schedsearch.evidence import Finalist, Scores
from schedsearch.space import Question, answers_of, complexity
from schedsearch.store import Phase, StudyState
from schedsearch.workers.desk import Desk, seeds_of
from schedsearch.workers.rows import NamedSchedule, new_candidate, verdict_rows

MIN_CONFIRM_SEEDS = 2
PAIRING_PAYS_FROM = 0.2
FIXED_ROLES = ("baseline", "incumbent")


def start_race(desk: Desk) -> bool:
    """Name the champion of every answer and queue their first two fresh seeds."""
    model = desk.surrogate.model(desk.candidates, desk.runs)
    desk.store.add_model_check(desk.study.id, len(desk.runs), model.rank_agreement())
    champions = desk.surrogate.champions(model, desk.candidates, desk.runs)
    ids: dict[int, None] = {}
    for champion in champions.values():
        row = new_candidate(NamedSchedule("champion", None, champion.schedule))
        ids[champion.candidate_id or desk.store.add_candidate(desk.study.id, row)] = None
    _queue_race_round(desk, list(ids), 0)
    return desk.advance(Phase.RACE)


def _queue_race_round(desk: Desk, candidate_ids: list[int], round_: int) -> int:
    seeds = desk.plan.race_seeds[round_]
    seeds = max(1, min(seeds, desk.affordable() // max(1, len(candidate_ids))))
    start = sum(desk.plan.race_seeds[:round_])
    return desk.add_runs(
        candidate_ids, Phase.RACE, seeds_of(desk.study.seed, Phase.RACE, seeds, start=start), round_
    )


def race_step(desk: Desk) -> bool:
    """When a round of the race has ended: another round for those not clearly behind, or the confirmation."""
    if not desk.done(Phase.RACE):
        return False
    scores = desk.scores(Phase.RACE)
    round_ = max((run.round for run in desk.of(Phase.RACE)), default=0) + 1
    racing = {run.candidate_id for run in desk.of(Phase.RACE) if run.round == round_ - 1}
    alive = _still_racing({one: scores[one] for one in racing if one in scores}, desk, round_)
    if round_ < len(desk.plan.race_seeds) and len(alive) > 1 and desk.affordable() > len(alive):
        return bool(_queue_race_round(desk, alive, round_))
    return _start_confirmation(desk, scores)


def _still_racing(scores: Scores, desk: Desk, round_: int) -> list[int]:
    alive = evidence.survivors(scores, desk.study.direction)
    if round_ >= len(desk.plan.race_seeds):
        return alive
    return sorted(alive, key=_badness(scores, desk.study.direction))[: desk.plan.race_size(round_)]


def _badness(scores: Scores, direction: str) -> Callable[[int], float]:
    sign = 1.0 if direction == "minimize" else -1.0

    def mean(candidate_id: int) -> float:
        values = list(scores.get(candidate_id, {}).values())
        finite = [value for value in values if value is not None]
        return sign * fmean(finite) if values and len(finite) == len(values) else float("inf")

    return mean


def _start_confirmation(desk: Desk, scores: Scores) -> bool:
    finalists = _name_finalists(desk, scores)
    seeds = min(desk.plan.confirm_seeds, max(MIN_CONFIRM_SEEDS, desk.affordable() // max(1, len(finalists))))
    desk.add_runs(finalists, Phase.CONFIRM, seeds_of(desk.study.seed, Phase.CONFIRM, seeds))
    return desk.advance(Phase.CONFIRM)


def race_winner(scores: Scores, direction: str) -> int | None:
    """Who went furthest in the race, and of those the best on average; never one that diverged, if another did not."""
    badness = _badness(scores, direction)
    return min(
        scores, key=lambda one: (badness(one) == float("inf"), -len(scores[one]), badness(one)), default=None
    )


def _name_finalists(desk: Desk, scores: Scores) -> list[int]:
    """The winner of the race, each question's runner-up, and every baseline at its best tuned base LR."""
    finalists: dict[int, None] = {}
    winner = race_winner(scores, desk.study.direction)
    if winner is not None:
        finalists[winner] = None
        for question in Question:
            runner_up = _runner_up(desk, scores, winner, question)
            if runner_up is not None:
                finalists[runner_up] = None
    for candidate_id in _best_baselines(desk):
        finalists[candidate_id] = None
    return list(finalists)


def _runner_up(desk: Desk, scores: Scores, winner: int, question: Question) -> int | None:
    badness = _badness(scores, desk.study.direction)
    chosen = answers_of(desk.candidates[winner].schedule)[question]
    others = [one for one in scores if answers_of(desk.candidates[one].schedule)[question] != chosen]
    return min((one for one in others if badness(one) < float("inf")), key=badness, default=None)


def _best_baselines(desk: Desk) -> list[int]:
    """For each baseline the candidate (a base LR that was run) that the model expects most of."""
    scored = {run.candidate_id for run in desk.runs if run.score is not None}
    tuned = [one for one in desk.candidates.values() if one.kind in FIXED_ROLES and one.id in scored]
    if not tuned:
        return []
    model = desk.surrogate.model(desk.candidates, desk.runs)
    sign = 1.0 if desk.study.direction == "minimize" else -1.0
    predicted = desk.surrogate.predict(model, [one.schedule for one in tuned])
    ranked = sorted(zip(predicted, tuned, strict=True), key=lambda pair: sign * pair[0], reverse=True)
    return list({candidate.label: candidate.id for _, candidate in ranked}.values())


def confirm_step(desk: Desk) -> bool:
    """When the confirmation batch has ended: the verdict, stored, and the study is finished."""
    if not desk.done(Phase.CONFIRM):
        return False
    finalists = _finalists(desk)
    if not any(value is not None for one in finalists for value in one.scores.values()):
        reason = "No run of the confirmation reached its horizon."
        desk.store.set_study_state(desk.study.id, StudyState.FAILED, reason)
        return True
    correlation = evidence.pairing_correlation(desk.scores(Phase.RACE))
    use_pairing = correlation is not None and correlation >= PAIRING_PAYS_FROM
    verdict = evidence.decide(finalists, desk.study.direction, use_pairing=use_pairing)
    desk.store.save_verdict(desk.study.id, desk.token, verdict_rows(verdict, desk, correlation))
    return True


def _finalists(desk: Desk) -> list[Finalist]:
    scores = desk.scores(Phase.CONFIRM)
    race = {one: seeds for one, seeds in desk.scores(Phase.RACE).items() if one in scores}
    winner = race_winner(race, desk.study.direction)
    return [finalist(desk, one, is_winner=one == winner, scores=scores[one]) for one in scores]


def finalist(
    desk: Desk, candidate_id: int, *, is_winner: bool, scores: Mapping[int, float | None]
) -> Finalist:
    """What the verdict needs to know of one candidate of the confirmation batch."""
    candidate = desk.candidates[candidate_id]
    other_role = candidate.kind if candidate.kind in FIXED_ROLES else "runner-up"
    tests = {
        run.seed: run.test_score
        for run in desk.of(Phase.CONFIRM)
        if run.candidate_id == candidate_id and run.test_score is not None
    }
    return Finalist(
        candidate_id=candidate_id,
        label=candidate.label or candidate.schedule.describe(),
        role="winner" if is_winner else other_role,
        base_lr=candidate.schedule.base_lr,
        answers=answers_of(candidate.schedule),
        complexity=complexity(candidate.schedule),
        scores=scores,
        test_scores=tests,
    )
