"""Screening in the search: candidates are trained at a shorter horizon first, once that has proved to be a fair judge.

The first CALIBRATION candidates are trained at both horizons. Where the shorter one keeps the best beyond doubt
(`evidence.calibrate`), the search asks for three times as many from then on, trains them short, and promotes the third
of which the curve model, which learns from both horizons, expects most. Else every candidate is trained in full. A
budget in candidates counts full runs: two short ones at half the horizon are one.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

from schedsearch import evidence
from schedsearch.store import Candidate, Phase, Run, RunState, Study
from schedsearch.workers.desk import Desk, seeds_of

CALIBRATION = 16
ASKED_PER_PROMOTED = 3
SHORTEST = 20
ENDED = (RunState.COMPLETED, RunState.DIVERGED)


def ratio(study: Study) -> int | None:
    """By how much the horizon is shortened; None where no screening was asked for."""
    return study.budget.get("screen")


def short_updates(study: Study) -> int:
    """The shorter horizon."""
    return max(1, study.total_updates // (ratio(study) or 1))


def spent(desk: Desk) -> int:
    """What the search spent of a budget in candidates: full runs, and short ones by their share of one."""
    updates = sum(run.total_updates for run in _searched(desk, Phase.SEARCH) + _searched(desk, Phase.SCREEN))
    return ceil(updates / desk.study.total_updates)


def is_open(desk: Desk) -> bool:
    """Whether short runs, or the decision about them, are still to come."""
    if ratio(desk.study) is None:
        return False
    short = _searched(desk, Phase.SCREEN)
    return any(not run.state.is_finished for run in short) or bool(_undecided(desk))


def calibration(desk: Desk) -> evidence.Calibration | None:
    """What the candidates that were trained at both horizons show; None before they have all ended."""
    if ratio(desk.study) is None:
        return None
    first = _first(desk)
    short, full = (_scores(desk, phase) for phase in (Phase.SCREEN, Phase.SEARCH))
    ended = [one for one in first if one.id in short and one.id in full]
    lost = [run for run in desk.runs if run.state is RunState.FAILED and run.candidate_id in {one.id for one in first}]
    if len(ended) + len({run.candidate_id for run in lost}) < CALIBRATION:
        return None
    pairs = [(short[one.id], full[one.id]) for one in ended]
    return evidence.calibrate(
        pairs, desk.study.direction, short=short_updates(desk.study), full=desk.study.total_updates
    )


def result(desk: Desk) -> evidence.Screening | None:
    """What screening did in this study; None where it was not asked for or never calibrated."""
    found = calibration(desk)
    if found is None:
        return None
    first = {one.id for one in _first(desk)}
    short = {run.candidate_id for run in _searched(desk, Phase.SCREEN)} - first
    promoted = short & {run.candidate_id for run in _searched(desk, Phase.SEARCH)}
    return evidence.Screening(found, len(short) - len(promoted), len(promoted))


def batch(desk: Desk, size: int, left: int) -> tuple[int, tuple[Phase, ...]]:
    """How many candidates to ask for now, of which a search without screening would ask for `size`, and in which phases
    to train them first. left: full runs that the budget has left."""
    if ratio(desk.study) is None:
        return min(size, left), (Phase.SEARCH,)
    short = short_updates(desk.study) / desk.study.total_updates
    asked = len(_first(desk))
    if asked < CALIBRATION:
        return min(size, CALIBRATION - asked, int(left / (1 + short))), (Phase.SEARCH, Phase.SCREEN)
    found = calibration(desk)
    if found is None:
        return 0, ()  # what is being trained decides
    many = min(ASKED_PER_PROMOTED * size, int(left / (short + 1 / ASKED_PER_PROMOTED)))
    if not found.holds or many < ASKED_PER_PROMOTED:
        return min(size, left), (Phase.SEARCH,)
    return many, (Phase.SCREEN,)


def promote(desk: Desk) -> int:
    """Where all short runs have ended: a third of their candidates, those that the model expects most of, are queued in
    full; the others are done. Returns how many were queued."""
    if ratio(desk.study) is None:
        return 0
    waiting = _undecided(desk)
    if not waiting:
        return _complete_calibration(desk)
    if any(not run.state.is_finished for run in _searched(desk, Phase.SCREEN)):
        return 0
    scores = _scores(desk, Phase.SCREEN)
    alive = [one for one in waiting if scores.get(one.id) is not None]
    count = ceil(len(waiting) / ASKED_PER_PROMOTED)
    chosen = _most_expected(desk, alive)[:count]
    for one in waiting:
        if one not in chosen and one.trial_number is not None:
            desk.surrogate.history.screen_out(one.trial_number)
    return queue(desk, [one.id for one in chosen], (Phase.SEARCH,))


def _complete_calibration(desk: Desk) -> int:
    """Runs of the calibration that a planner which died did not come to queue."""
    first = {one.id for one in _first(desk)}
    if calibration(desk) is not None:
        return 0
    missing = first - {run.candidate_id for run in _searched(desk, Phase.SCREEN)}
    return queue(desk, sorted(missing), (Phase.SCREEN,))


def queue(desk: Desk, candidate_ids: Sequence[int], phases: Sequence[Phase]) -> int:
    """Queue the first runs of these candidates, each phase at its own horizon; returns how many."""
    seeds = seeds_of(desk.study.seed, Phase.SEARCH, 1)
    horizons = {Phase.SEARCH: desk.study.total_updates, Phase.SCREEN: short_updates(desk.study)}
    return sum(desk.add_runs(candidate_ids, phase, seeds, total_updates=horizons[phase]) for phase in phases)


def _most_expected(desk: Desk, candidates: Sequence[Candidate]) -> list[Candidate]:
    if not candidates:
        return []
    model = desk.surrogate.model(desk.candidates, desk.runs)
    means = [mean for mean, _, _ in desk.surrogate.predict(model, [one.schedule for one in candidates])]
    order = sorted(range(len(candidates)), key=lambda index: desk.sign * means[index])
    return [candidates[index] for index in order]


def _undecided(desk: Desk) -> list[Candidate]:
    """Candidates that were trained short and neither promoted nor sorted out."""
    if ratio(desk.study) is None:
        return []
    full = {run.candidate_id for run in _searched(desk, Phase.SEARCH)}
    short = [desk.candidates[run.candidate_id] for run in _searched(desk, Phase.SCREEN) if run.candidate_id not in full]
    return [one for one in short if one.trial_number in desk.surrogate.history.running()]


def _searched(desk: Desk, phase: Phase) -> list[Run]:
    return desk.of_kind(phase, "search")


def _first(desk: Desk) -> list[Candidate]:
    """The candidates of the calibration, in the order in which they were asked for."""
    begun = {run.candidate_id for run in _searched(desk, Phase.SEARCH) + _searched(desk, Phase.SCREEN)}
    return sorted((desk.candidates[one] for one in begun), key=lambda one: one.trial_number or 0)[:CALIBRATION]


def _scores(desk: Desk, phase: Phase) -> dict[int, float | None]:
    return {run.candidate_id: run.score for run in _searched(desk, phase) if run.state in ENDED}
