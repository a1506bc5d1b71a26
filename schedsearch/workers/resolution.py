"""The seeds of a confirmation where `--resolution` was given: planned on the noise phase, settled on the race, which
has seen many more runs."""

from __future__ import annotations

from dataclasses import replace
from math import isfinite

from schedsearch import evidence
from schedsearch.search.plan import Plan, with_confirm_seeds
from schedsearch.store import Phase, Study
from schedsearch.workers.desk import Desk

RESERVE = 2  # times the seeds that the noise phase foresaw: its few runs know the noise by a factor only
MOST_PLANNED = 50


def asked(study: Study) -> float | None:
    """The smallest difference that the user wants to see, in the score's units."""
    return study.budget.get("resolution")


def planned(desk: Desk, plan: Plan, runs: int | None) -> Plan:
    """The plan with the seeds that the noise phase shows to be needed; as it is where no resolution was asked for.

    runs: all that the budget pays for, None where it counts candidates only.
    """
    wanted = asked(desk.study)
    sd, _ = evidence.common_noise(desk.scores(Phase.NOISE))
    if wanted is None or not isfinite(sd):
        return plan
    return with_confirm_seeds(plan, min(MOST_PLANNED, evidence.seeds_needed(sd, wanted)), runs)


def settled(desk: Desk, scores: evidence.Scores, finalists: int) -> Plan:
    """The plan with the seeds that these scores of the race show to be needed, as far as the budget pays for them."""
    wanted = asked(desk.study)
    sd, _ = evidence.common_noise(scores)
    if wanted is None or not isfinite(sd):
        return desk.plan
    needed = evidence.seeds_needed(sd, wanted, evidence.worth_of_pairs(scores))
    return replace(desk.plan, confirm_seeds=min(needed, max(desk.plan.confirm_seeds, _payable(desk, finalists))))


def _payable(desk: Desk, finalists: int) -> int:
    """Seeds a finalist that what is left of the budget pays for; a budget in candidates pays for what the noise phase
    foresaw, RESERVE times."""
    updates: int | None = desk.study.budget.get("updates")
    if updates is None:
        return min(MOST_PLANNED, RESERVE * desk.plan.confirm_seeds)
    left = updates // desk.study.total_updates - desk.full_runs
    return min(MOST_PLANNED, max(0, left) // max(1, finalists))
