"""A study with known truth: race among champions, then a verdict batch; for the tests of its statistics."""

from dataclasses import dataclass
from math import ceil, sqrt
from statistics import fmean

import numpy as np

from schedsearch.evidence import RACE_ROUNDS, Finalist, Scores, Verdict, decide, pairing_correlation, survivors
from schedsearch.space import Question

KEEPS = (1.0, 0.5, 0.25)
CONFIRM_SEEDS = 6
PAIRING_PAYS_FROM = 0.2
ALL_SEEDS = 5


@dataclass(frozen=True)
class Simulated:
    """One study's truth and outcome. Noise has standard deviation 1, low scores are good."""

    truth: np.ndarray
    verdict: Verdict
    baselines: tuple[int, ...]
    runs: int
    race_winner: int
    pick_of_all: int

    @property
    def entrants(self) -> np.ndarray:
        return self.truth[: self.baselines[0]]

    @property
    def regret(self) -> float:
        """Of the race's winner among those that raced."""
        return float(self.truth[self.race_winner] - self.entrants.min())

    @property
    def regret_of_all(self) -> float:
        """Of picking the best mean when everyone that raced gets five seeds."""
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
    rng: np.random.Generator, *, spread: float, correlation: float, entrants: int = 9, baselines: int = 3
) -> Simulated:
    world = _world(rng, spread, correlation, entrants + baselines)
    race, runs = _race(world, list(range(entrants)))
    winner = min(race, key=lambda one: (-len(race[one]), _mean(race, one)))
    roles = _finalists(world, race, winner, range(entrants, entrants + baselines))
    confirmed = world.train(list(roles), 1000, CONFIRM_SEEDS)
    measured = pairing_correlation(race)
    verdict = decide(
        [Finalist(one, str(one), role, 0.1, world.answers[one], (one,), confirmed[one]) for one, role in roles.items()],
        "minimize",
        use_pairing=measured is not None and measured >= PAIRING_PAYS_FROM,
    )
    everyone = world.train(list(range(entrants)), 5000, ALL_SEEDS)
    pick = min(everyone, key=lambda one: _mean(everyone, one))
    fixed = tuple(range(entrants, entrants + baselines))
    return Simulated(world.truth, verdict, fixed, runs + CONFIRM_SEEDS * len(roles), winner, pick)


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


def _race(world: World, alive: list[int]) -> tuple[dict[int, dict[int, float | None]], int]:
    entrants, runs = len(alive), 0
    scores: dict[int, dict[int, float | None]] = {one: {} for one in alive}
    for number, (seeds, keeps) in enumerate(zip(RACE_ROUNDS, KEEPS, strict=True)):
        alive = alive[: max(2, ceil(entrants * keeps))]
        for one, new in world.train(alive, 100 + 10 * number, seeds).items():
            scores[one].update(new)
        runs += seeds * len(alive)
        alive = survivors({one: scores[one] for one in alive}, "minimize")
        if len(alive) < 2:
            break
    return scores, runs


def _finalists(world: World, race: Scores, winner: int, baselines: range) -> dict[int, str]:
    roles = {winner: "winner"}
    for question in Question:
        others = [one for one in race if world.answers[one][question] != world.answers[winner][question]]
        if others:
            roles.setdefault(min(others, key=lambda one: _mean(race, one)), "runner-up")
    return {**roles, **dict.fromkeys(baselines, "baseline")}


def _mean(scores: Scores, one: int) -> float:
    return fmean(value for value in scores[one].values() if value is not None)
