"""The race among champions, and who goes from it to the confirmation batch.

The race only picks; the verdict (`concluding.py`) is read from the confirmation batch alone (other seeds), because an
estimate that was used to pick the winner overstates its lead. The best free shape is measured beside the champions in
the race's first round and in the confirmation; it takes no champion's place.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from schedsearch import evidence
from schedsearch.evidence import Scores
from schedsearch.space import Question, answers_of
from schedsearch.store import Phase, RunState, StudyState
from schedsearch.workers import resolution
from schedsearch.workers.desk import Desk, seeds_of
from schedsearch.workers.rows import FIXED_KINDS, FREEFORM, NamedSchedule, new_candidate

MIN_CONFIRM_SEEDS = 2


def start_race(desk: Desk) -> bool:
    """Name the champion of every answer and queue their first fresh seeds, and those of the best free shape."""
    model = desk.surrogate.model(desk.candidates, desk.runs)
    desk.note_agreement(model.rank_agreement())
    champions = desk.surrogate.champions(desk.candidates, desk.runs)
    ids: dict[int, None] = {}
    for champion in champions.values():
        row = new_candidate(NamedSchedule("champion", None, champion.schedule))
        ids[champion.candidate_id or desk.store.add_candidate(desk.study.id, row)] = None
    lost = (RunState.DIVERGED, RunState.FAILED)
    shapes = [run.candidate_id for run in desk.of_kind(Phase.SEARCH, FREEFORM) if run.state not in lost]
    _queue_race_round(desk, [*ids, *best_expected(desk, shapes)[:1]], 0)
    return desk.advance(Phase.RACE)


def best_expected(desk: Desk, candidate_ids: Sequence[int]) -> list[int]:
    """These candidates, those that the model of all runs expects most of first."""
    ids = list(dict.fromkeys(candidate_ids))
    if not ids:
        return []
    model = desk.surrogate.model(desk.candidates, desk.runs)
    predicted = desk.surrogate.predict(model, [desk.candidates[one].schedule for one in ids])
    expected = {one: mean for one, (mean, _, _) in zip(ids, predicted, strict=True)}
    return sorted(ids, key=lambda one: desk.sign * expected[one])


def _queue_race_round(desk: Desk, candidate_ids: Sequence[int], round_: int) -> int:
    seeds = desk.plan.race_seeds[round_]
    seeds = max(1, min(seeds, desk.affordable() // max(1, len(candidate_ids))))
    start = sum(desk.plan.race_seeds[:round_])
    added = desk.add_runs(candidate_ids, Phase.RACE, seeds_of(desk.study.seed, Phase.RACE, seeds, start=start), round_)
    _confirm_baselines_ahead(desk, round_)
    return added


def _confirm_baselines_ahead(desk: Desk, round_: int) -> None:
    """Behind this round of the race, a share of what the baselines will be trained for in the confirmation anyway: no
    worker is idle while the last run of the round ends. Not where a budget in hours may yet cut the confirmation, or a
    resolution settle its seeds."""
    if desk.study.budget.get("hours") is None and resolution.asked(desk.study) is None:
        seeds = desk.plan.confirm_seeds * (round_ + 1) // len(desk.plan.race_seeds)
        desk.add_runs(_baselines(desk), Phase.CONFIRM, seeds_of(desk.study.seed, Phase.CONFIRM, seeds))


def race_scores(desk: Desk) -> Scores:
    """What the champions scored in the race."""
    return {one: scores for one, scores in desk.scores(Phase.RACE).items() if desk.candidates[one].kind != FREEFORM}


def race_step(desk: Desk) -> bool:
    """When a round of the race has ended: another round for those not clearly behind, or the confirmation."""
    if not desk.done(Phase.RACE):
        return False
    scores = race_scores(desk)
    round_ = max((run.round for run in desk.of(Phase.RACE)), default=0) + 1
    racing = {run.candidate_id for run in desk.of(Phase.RACE) if run.round == round_ - 1}
    alive = evidence.survivors({one: scores[one] for one in scores if one in racing}, desk.study.direction)
    if round_ < len(desk.plan.race_seeds) and len(alive) > 1 and desk.affordable() > len(alive):
        return bool(_queue_race_round(desk, alive[: desk.plan.race_size(round_)], round_))
    return _start_confirmation(desk, scores)


def _start_confirmation(desk: Desk, scores: Scores) -> bool:
    baselines = _baselines(desk)
    finalists = _name_finalists(desk, scores, baselines)[: desk.affordable() // MIN_CONFIRM_SEEDS]
    if not finalists:
        hours = desk.study.budget.get("hours")
        reason = f"`hours` = {hours} was spent before two runs of a confirmation; its runs took longer than at first."
        desk.store.set_study_state(desk.study.id, StudyState.FAILED, reason)
        return True
    plan = resolution.settled(desk, scores, len(finalists))
    seeds = min(plan.confirm_seeds, desk.affordable() // len(finalists))
    queued = sorted(finalists, key=lambda one: one not in baselines)
    desk.add_runs(queued, Phase.CONFIRM, seeds_of(desk.study.seed, Phase.CONFIRM, seeds))
    return desk.advance(Phase.CONFIRM, plan)


def _name_finalists(desk: Desk, scores: Scores, baselines: Sequence[int]) -> list[int]:
    """The winner of the race, every baseline at its best base LR, each question's runner-up, and the free shape: in the
    order in which a budget that runs short gives them up, the last first."""
    finalists: dict[int, None] = {}
    winner = evidence.race_winner(scores, desk.study.direction)
    if winner is not None:
        finalists[winner] = None
    finalists |= dict.fromkeys(baselines)
    if winner is not None:
        answers = {one: answers_of(desk.candidates[one].schedule) for one in scores}
        for question in Question:
            runner_up = evidence.runner_up(scores, desk.study.direction, answers, winner, question)
            if runner_up is not None:
                finalists[runner_up] = None
    return [*finalists, *_free_shape(desk)]


def _baselines(desk: Desk) -> list[int]:
    """Those whose confirmation has begun; else each baseline at the best of the base LRs at which it was run.

    The best by its own scores: the model cuts what is far from the best of the study, where baselines often are, and
    then cannot tell one base LR from another.
    """
    begun = [run.candidate_id for run in desk.of_kind(Phase.CONFIRM, *FIXED_KINDS)]
    return list(dict.fromkeys(begun)) or _best_baselines(desk)


def _best_baselines(desk: Desk) -> list[int]:
    scores: dict[int, list[float]] = {}
    for run in desk.runs:
        if run.score is not None and desk.candidates[run.candidate_id].kind in FIXED_KINDS:
            scores.setdefault(run.candidate_id, []).append(run.score)
    best_last = sorted(scores, key=lambda one: desk.sign * fmean(scores[one]), reverse=True)
    return list({desk.candidates[one].label: one for one in best_last}.values())


def _free_shape(desk: Desk) -> list[int]:
    """The free shape that raced, unless it diverged there."""
    raced = [(one, scores) for one, scores in desk.scores(Phase.RACE).items() if desk.candidates[one].kind == FREEFORM]
    return [one for one, scores in raced if None not in scores.values()]
