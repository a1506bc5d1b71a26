"""The noise and search phases: tell what ended, tune the baselines, ask for more, try free shapes, start the race."""

from __future__ import annotations

from schedsearch.errors import InvalidInput
from schedsearch.schedule import Schedule
from schedsearch.search.plan import Plan, fit_to_runs, shrink_to_runs
from schedsearch.store import Phase, Run, RunState, StudyState
from schedsearch.workers import resolution, screening
from schedsearch.workers.confirmation import start_race
from schedsearch.workers.desk import Desk, seeds_of
from schedsearch.workers.rows import FIXED_KINDS, FREEFORM, NamedSchedule, named_baselines, new_candidate

STARTUP_BATCH = 8
FREEFORM_BATCH = 2
RUNS_PER_BATCHED_ASK = 8
FEWEST_ROUNDS = 8
"""Of asking and learning, where more are asked for so that workers have enough to train together: what that costs the
search is in benchmarks/results/search.md (`curve-by-16`, `curve-by-32`)."""
TIMING_MARGIN = 1.1


def after_noise(desk: Desk) -> bool:
    """The search starts once no noise run waits; a budget in hours needs them all, and is now a number of runs; so does
    a resolution, which is now a number of seeds."""
    if desk.study.budget.get("hours") is not None:
        return desk.done(Phase.NOISE) and _resolve_hours(desk)
    if desk.study.budget.get("resolution") is not None:
        return desk.done(Phase.NOISE) and desk.advance(Phase.SEARCH, _resolved(desk))
    return all(run.state is not RunState.WAITING for run in desk.of(Phase.NOISE)) and desk.advance(Phase.SEARCH)


def _resolve_hours(desk: Desk) -> bool:
    """A plan for what the hours pay for, by what runs take; the same whether they were trained now or copied."""
    hours = desk.study.budget["hours"]
    durations = [run.duration_s for run in desk.runs if run.duration_s is not None]
    if not durations:
        return desk.advance(Phase.SEARCH)
    runs = int(hours * 3600 / (TIMING_MARGIN * max(durations)))
    try:
        plan = fit_to_runs(desk.plan, runs, what=f"`hours` = {hours}, at {max(durations):.1f} s a run,")
    except InvalidInput as error:
        desk.store.set_study_state(desk.study.id, StudyState.FAILED, str(error))
        return True
    return desk.advance(Phase.SEARCH, resolution.planned(desk, plan, runs))


def _resolved(desk: Desk) -> Plan:
    updates = desk.study.budget.get("updates")
    return resolution.planned(desk, desk.plan, None if updates is None else updates // desk.study.total_updates)


def step(desk: Desk) -> bool:
    """One step of the search phase."""
    plan = _plan_for_what_is_left(desk)
    if plan != desk.plan:
        return desk.advance(Phase.SEARCH, plan)
    searched = desk.of(Phase.SEARCH)
    if any(run.state is RunState.WAITING for run in [*searched, *desk.of(Phase.SCREEN)]):
        return False
    if _tune_baselines(desk) + (screening.promote(desk) or _ask(desk)):
        return True
    if screening.is_open(desk):
        return False
    return desk.nearly_done(Phase.SEARCH) and _end_search(desk)


def _end_search(desk: Desk) -> bool:
    """Free shapes, and when they have been asked for and every baseline is tuned, the race."""
    if not any(run.state is RunState.COMPLETED for run in desk.of(Phase.SEARCH)):
        desk.store.set_study_state(desk.study.id, StudyState.FAILED, "No run of the search reached its horizon.")
        return True
    tuned = all(run.state.is_finished for run in desk.of_kind(Phase.SEARCH, *FIXED_KINDS))
    return bool(_ask_free_shapes(desk)) or (tuned and start_race(desk))


def _plan_for_what_is_left(desk: Desk) -> Plan:
    """A smaller plan where a budget in hours no longer pays for this one, because runs take longer than they did."""
    runs = desk.full_runs + desk.affordable()
    return desk.plan if runs >= desk.plan.most_runs else shrink_to_runs(desk.plan, runs)


def _trials(desk: Desk) -> list[Run]:
    return desk.of_kind(Phase.SEARCH, "search")


def tell_finished(desk: Desk) -> None:
    """Tell Optuna how the searched runs ended that it does not know of yet."""
    untold = [run for run in desk.of(Phase.SEARCH) if run.state.is_finished and not run.told]
    for run in untold:
        number = desk.candidates[run.candidate_id].trial_number
        if number is not None:
            diverged = run.state is RunState.DIVERGED
            desk.surrogate.history.tell(number, run.score, diverged=diverged, worst=_worst(desk))
    if untold:
        desk.store.mark_told([run.id for run in untold])


def _worst(desk: Desk) -> float:
    """The finite value that stands for a divergence: no better than any score or starting loss seen."""
    scores = [run.score for run in desk.runs if run.score is not None]
    if desk.study.direction == "maximize":
        return min([*scores, 0.0])
    starts = [run.initial_loss for run in desk.runs if run.initial_loss is not None]
    return max([*scores, *starts, 0.0])


def _ask(desk: Desk) -> int:
    trials = _trials(desk)
    left = min((desk.plan.trials or 0) - screening.spent(desk), desk.affordable())
    if left <= 0 or screening.is_open(desk):
        return 0
    finished = sum(run.state.is_finished for run in desk.runs)
    abreast = min(desk.study.budget.get("runs_at_once", 1), (desk.plan.trials or 0) // FEWEST_ROUNDS)
    size = max(1, abreast, finished // RUNS_PER_BATCHED_ASK if trials else STARTUP_BATCH)
    count, phases = screening.batch(desk, size, left)
    if count <= 0:
        return 0
    begun = [*trials, *desk.of_kind(Phase.SCREEN, "search")]
    numbers = {desk.candidates[run.candidate_id].trial_number for run in begun}
    desk.surrogate.history.fail_orphans({number for number in numbers if number is not None})
    asked = desk.surrogate.ask(count, desk.candidates, desk.untold_runs)
    desk.note_agreement(desk.surrogate.rank_agreement)
    ids = [
        desk.store.add_candidate(desk.study.id, new_candidate(NamedSchedule("search", None, one.schedule), one.number))
        for one in asked
    ]
    return screening.queue(desk, ids, phases)


def _ask_free_shapes(desk: Desk) -> int:
    """Once the families are searched: curves of no family that the model expects most of, a few at a time."""
    asked = {run.candidate_id for run in desk.of_kind(Phase.SEARCH, FREEFORM)}
    count = min(FREEFORM_BATCH, desk.plan.freeform_runs - len(asked), desk.affordable())
    if count <= 0:
        return 0
    shapes = desk.surrogate.free_shapes(count, desk.candidates, desk.runs)
    ids = [desk.store.add_candidate(desk.study.id, new_candidate(NamedSchedule(FREEFORM, None, one))) for one in shapes]
    return desk.add_runs(ids, Phase.SEARCH, seeds_of(desk.study.seed, Phase.SEARCH, 1))


def _tune_baselines(desk: Desk) -> int:
    """Every baseline is run `plan.baseline_runs` times: first, with the noise runs, as bold as the middle of the range;
    then where the model expects its best base LR, for the last time when every candidate has been asked for."""
    plan = desk.plan
    rounds = {run.round for run in desk.of_kind(Phase.SEARCH, *FIXED_KINDS)}
    round_ = max(rounds, default=-1) + 1
    due_at = (plan.trials or 0) * round_ / max(1, plan.baseline_runs - 1)
    if round_ >= plan.baseline_runs or screening.spent(desk) < due_at:
        return 0
    ids = [desk.store.add_candidate(desk.study.id, new_candidate(_tuned(desk, one))) for one in _baselines(desk)]
    return desk.add_runs(ids, Phase.SEARCH, seeds_of(desk.study.seed, Phase.SEARCH, 1), round_)


def _baselines(desk: Desk) -> list[NamedSchedule]:
    incumbent = desk.study.budget.get("incumbent")
    return named_baselines(desk.space, None if incumbent is None else Schedule.from_dict(incumbent))


def _tuned(desk: Desk, baseline: NamedSchedule) -> NamedSchedule:
    tried = [
        desk.candidates[run.candidate_id].schedule.base_lr
        for run in desk.runs
        if desk.candidates[run.candidate_id].label == baseline.label
    ]
    if baseline.kind == "incumbent" and not tried:
        return baseline
    schedule = desk.surrogate.tune(baseline.schedule, tried, desk.candidates, desk.runs)
    return NamedSchedule(baseline.kind, baseline.label, schedule)
