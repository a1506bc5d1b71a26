"""A study with known truth: race among champions, then a verdict batch; for the tests of its statistics."""

from dataclasses import dataclass
from math import sqrt
from statistics import fmean

import numpy as np

from schedsearch.evidence import (
    AnswerResult,
    Finalist,
    Verdict,
    decide,
    finishers,
    pairing_correlation,
    pairing_pays,
    race_winner,
    runner_up,
    survivors,
)
from schedsearch.search.plan import RACE_SEEDS, Plan
from schedsearch.space import Question

CONFIRM_SEEDS = 6
ALL_SEEDS = sum(RACE_SEEDS)


@dataclass(frozen=True)
class Simulated:
    """One study's truth and outcome. Noise has standard deviation 1, low scores are good."""

    truth: np.ndarray
    verdict: Verdict
    baselines: tuple[int, ...]
    runs: int
    race_winner: int
    pick_of_all: int
    race_mean: float
    racing: tuple[int, ...]
    best_on_one_seed: int

    @property
    def race_error(self) -> float:
        """By how much the race's own scores overstate its winner."""
        return float(self.truth[self.race_winner]) - self.race_mean

    def rival(self, answer: AnswerResult) -> int:
        """The candidate that an answer was compared with."""
        assert answer.mean is not None and answer.difference is not None
        mean = answer.mean - answer.difference
        others = [one for one in self.verdict.standings if one.mean is not None]
        return min(others, key=lambda one: abs((one.mean or 0.0) - mean)).candidate_id

    @property
    def runs_of_all(self) -> int:
        """What it costs to give every entrant all seeds of the race, and everyone all seeds of the confirmation."""
        return len(self.entrants) * ALL_SEEDS + len(self.truth) * CONFIRM_SEEDS

    @property
    def entrants(self) -> np.ndarray:
        return self.truth[list(self.racing)]

    def regret_among_searched(self, one: int) -> float:
        """How much worse than the truly best candidate of the search this one is."""
        return float(self.truth[one] - self.truth[: self.baselines[0]].min())

    @property
    def regret(self) -> float:
        """Of the race's winner among those that raced."""
        return float(self.truth[self.race_winner] - self.entrants.min())

    @property
    def regret_of_all(self) -> float:
        """Of picking the best mean when everyone gets all seeds of the race."""
        return float(self.truth[self.pick_of_all] - self.entrants.min())


@dataclass(frozen=True)
class World:
    """What a simulated study draws from. correlation: of two candidates' scores on one seed."""

    rng: np.random.Generator
    truth: np.ndarray
    answers: list[dict[Question, str]]
    correlation: float

    def train(self, ids: list[int], first_seed: int, count: int) -> dict[int, dict[int, float]]:
        common = self.rng.normal(0, sqrt(self.correlation), count)
        own = self.rng.normal(0, sqrt(1 - self.correlation), (len(ids), count))
        values = self.truth[ids][:, None] + common + own
        return {
            one: {first_seed + k: float(value) for k, value in enumerate(row)}
            for one, row in zip(ids, values, strict=True)
        }


def simulate(
    rng: np.random.Generator,
    *,
    spread: float,
    correlation: float,
    entrants: int = 9,
    baselines: int = 3,
    searched: int | None = None,
) -> Simulated:
    """One study. searched: how many candidates the search tried, on one seed each; the best of them enter the race."""
    many = searched or entrants
    world = _world(rng, spread, correlation, many + baselines)
    single = world.train(list(range(many)), 0, 1)
    best = sorted(single, key=lambda one: single[one][0])
    racing = sorted(best[:entrants])
    race, runs = _race(world, racing)
    winner = race_winner(race, "minimize")
    assert winner is not None
    answers = dict(enumerate(world.answers))
    rivals = [runner_up(race, "minimize", answers, winner, question) for question in Question]
    roles = {one: "runner-up" for one in rivals if one is not None} | {winner: "winner"}
    fixed = tuple(range(many, many + baselines))
    roles |= dict.fromkeys(fixed, "baseline")
    confirmed = world.train(list(roles), 1000, CONFIRM_SEEDS)
    lasting = finishers(race, "minimize")
    verdict = decide(
        [
            Finalist(
                one,
                str(one),
                role,
                0.1,
                world.answers[one],
                (one,),
                confirmed[one],
                left_race=one in race and one not in lasting,
            )
            for one, role in roles.items()
        ],
        "minimize",
        use_pairing=pairing_pays(pairing_correlation(race)),
    )
    everyone = world.train(racing, 5000, ALL_SEEDS)
    pick = min(everyone, key=lambda one: fmean(everyone[one].values()))
    spent = runs + CONFIRM_SEEDS * len(roles)
    mean = fmean(race[winner].values())
    return Simulated(world.truth, verdict, fixed, spent, winner, pick, mean, tuple(racing), best[0])


def _world(rng: np.random.Generator, spread: float, correlation: float, count: int) -> World:
    answers = [
        {
            Question.WARMUP: str(rng.choice(["yes", "no"])),
            Question.DECAY: str(rng.choice(["cosine", "linear", "wsd"])),
            Question.RESTARTS: str(rng.choice(["yes", "no"])),
        }
        for _ in range(count)
    ]
    return World(rng, rng.normal(0, spread, count), answers, correlation)


def _race(world: World, alive: list[int]) -> tuple[dict[int, dict[int, float]], int]:
    """The race as the confirmation room runs it; the number of its runs."""
    plan = Plan(3, 40, 3, 2, len(alive), RACE_SEEDS, CONFIRM_SEEDS)
    scores: dict[int, dict[int, float]] = {one: {} for one in alive}
    runs = 0
    for number, seeds in enumerate(plan.race_seeds):
        alive = alive[: plan.race_size(number)]
        for one, new in world.train(alive, 100 + 10 * number, seeds).items():
            scores[one].update(new)
        runs += seeds * len(alive)
        alive = survivors({one: scores[one] for one in alive}, "minimize")
        if len(alive) < 2:
            break
    return scores, runs
