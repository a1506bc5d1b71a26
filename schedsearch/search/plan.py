"""The plan of a study: how one budget is split over its phases, before the first run starts.

A study runs in phases: `noise` (one baseline on several seeds), `search` (candidates, and each baseline's base LR),
`race` (the champions of all answers on fresh seeds; who is clearly behind stops) and `confirm` (the winner, the
runner-up of each question and the baselines on another batch of seeds; only these are reported). At the end of the
search a few runs go to free shapes, curves of no family: the yardstick for what the families leave on the table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from math import ceil
from typing import Any

from schedsearch.errors import InvalidInput
from schedsearch.space import SearchSpace

DEFAULT_TRIALS = 48
MIN_TRIALS = 4
RACE_SEEDS = (2, 2, 2)
RACE_KEEPS = (1.0, 0.5, 0.25)
RUNNERS_UP = 3
BASELINE_RUNS = 3
FREEFORM_RUNS = 4
TRIALS_PER_FREEFORM_RUN = 8
FREE_ARM = "spline"
CHEAPER = (  # (race seeds, confirm seeds, runs to tune a baseline, free shapes), in turn when the budget is small
    (RACE_SEEDS, None, BASELINE_RUNS, FREEFORM_RUNS),
    ((2, 2), 5, 2, 2),
    ((2,), 4, 1, 0),
    ((2,), 3, 1, 0),
)


@dataclass(frozen=True)
class Budget:
    """What a study may spend: exactly one of the three is set.

    trials: candidates searched; the runs of the other phases come on top, and `Plan.most_runs` bounds them.
    updates: optimizer updates of all runs of all phases.
    hours: device-hours of all runs of all phases, turned into a number of runs once the noise phase has timed some.
    """

    trials: int | None = None
    updates: int | None = None
    hours: float | None = None

    def __post_init__(self) -> None:
        given = {name: value for name, value in asdict(self).items() if value is not None}
        if len(given) != 1:
            stated = ", ".join(sorted(given)) or "none"
            raise InvalidInput(f"Exactly one of `trials`, `updates`, `hours` must be given, but {stated} was.")
        name, value = next(iter(given.items()))
        lowest = MIN_TRIALS if name == "trials" else 0
        if value < lowest or value <= 0:
            bound = f"at least {lowest}" if lowest else "greater than 0"
            raise InvalidInput(f"`{name}` must be {bound}, but is {value} instead.")

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Plan:
    """How many runs each phase may use. `trials` is None while a budget in hours waits for the first timings.

    entrants: champions in the race. freeform_runs: searched runs of free shapes; if there are any, the best of them
    also gets the race's first seeds and the confirmation's, beside the others.
    """

    noise_seeds: int
    trials: int | None
    baselines: int
    baseline_runs: int
    entrants: int
    race_seeds: tuple[int, ...]
    confirm_seeds: int
    freeform_runs: int = 0

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "race_seeds": list(self.race_seeds)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Plan:
        return cls(**{**values, "race_seeds": tuple(values["race_seeds"])})

    def race_size(self, round_index: int) -> int:
        """The most candidates that may run in this round of the race."""
        return max(2, ceil(self.entrants * RACE_KEEPS[round_index]))

    @property
    def search_runs(self) -> int:
        return (self.trials or 0) + self.baselines * self.baseline_runs + self.freeform_runs

    @property
    def free_shapes(self) -> int:
        """How many free shapes are raced and confirmed: 1 or none."""
        return min(1, self.freeform_runs)

    @property
    def most_race_runs(self) -> int:
        champions = sum(seeds * self.race_size(index) for index, seeds in enumerate(self.race_seeds))
        return champions + self.free_shapes * self.race_seeds[0]

    @property
    def most_confirm_runs(self) -> int:
        return self.confirm_seeds * (1 + RUNNERS_UP + self.baselines + self.free_shapes)

    @property
    def most_runs(self) -> int:
        """No study of this plan ever trains more runs than this."""
        return self.noise_seeds + self.search_runs + self.most_race_runs + self.most_confirm_runs


def most_entrants(space: SearchSpace) -> int:
    """How many champions a race can have: one for each answer of each question that has a choice."""
    by_question: dict[str, int] = {}
    for answer in space.answers:
        by_question[answer.question] = by_question.get(answer.question, 0) + 1
    return max(1, sum(count for count in by_question.values() if count > 1))


def most_freeform_runs(space: SearchSpace, trials: int | None) -> int:
    """Runs of free shapes: a few beside a search of some size; none where the space has the free shape as an arm."""
    if any(arm.decay == FREE_ARM for arm in space.arms):
        return 0
    return FREEFORM_RUNS if trials is None else min(FREEFORM_RUNS, trials // TRIALS_PER_FREEFORM_RUN)


def make_plan(
    budget: Budget,
    space: SearchSpace,
    *,
    total_updates: int,
    baselines: int,
    noise_seeds: int,
    confirm_seeds: int,
) -> Plan:
    """The plan for this budget. Raises InvalidInput when the budget cannot pay for a search and a confirmation."""
    plan = Plan(
        noise_seeds=noise_seeds,
        trials=budget.trials,
        baselines=baselines,
        baseline_runs=BASELINE_RUNS,
        entrants=most_entrants(space),
        race_seeds=RACE_SEEDS,
        confirm_seeds=confirm_seeds,
        freeform_runs=most_freeform_runs(space, budget.trials),
    )
    if budget.updates is None:
        return plan
    return fit_to_runs(plan, budget.updates // total_updates, what=f"`updates` = {budget.updates}")


def with_confirm_seeds(plan: Plan, seeds: int, runs: int | None) -> Plan:
    """This plan with `seeds` seeds a finalist, for the resolution that was asked for.

    runs: all that the budget pays for, None where it counts candidates only. They are taken from the search, which
    keeps a third of the budget: where that is too little there are as many seeds as it leaves room for.
    """
    if runs is None:
        return replace(plan, confirm_seeds=seeds)
    for fewer in range(seeds, plan.confirm_seeds, -1):
        dearer = replace(plan, confirm_seeds=fewer, trials=0)
        left = runs - dearer.most_runs
        if left >= max(MIN_TRIALS, runs // 3):
            return replace(dearer, trials=left)
    return plan


def fit_to_runs(plan: Plan, runs: int, *, what: str) -> Plan:
    """This plan with as many trials as `runs` runs in all leave room for.

    A small budget races and confirms on fewer seeds. Raises InvalidInput where even that is too dear.
    """
    fitting = shrink_to_runs(plan, runs)
    trials = fitting.trials or 0
    if trials < MIN_TRIALS:
        needed = fitting.most_runs - trials + MIN_TRIALS
        raise InvalidInput(
            f"{what} pays for {runs} runs, but this study needs at least {needed} (noise, search, race, confirm)."
        )
    return fitting


def shrink_to_runs(plan: Plan, runs: int) -> Plan:
    """This plan with as many trials as `runs` runs in all leave room for, down to none: for a study that has begun."""
    for race_seeds, confirm_seeds, baseline_runs, freeform_runs in CHEAPER:
        cheaper = replace(
            plan,
            race_seeds=min(plan.race_seeds, race_seeds, key=len),
            confirm_seeds=min(plan.confirm_seeds, confirm_seeds or plan.confirm_seeds),
            baseline_runs=min(plan.baseline_runs, baseline_runs),
            freeform_runs=min(plan.freeform_runs, freeform_runs),
            trials=0,
        )
        left = runs - cheaper.most_runs
        if left >= max(MIN_TRIALS, runs // 3):
            break
    return replace(cheaper, trials=max(0, left))
