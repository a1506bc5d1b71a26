"""What to try next: a pure function of the history, the seed and the numbers of the trials that ask.

Half of the proposals are taken from Thompson samples, a quarter by expected improvement, a quarter by what they are
expected to improve their own arm: the answers to the three questions are compared at the end, so that no arm may be
left untuned because another one leads. Some are plain draws, more of them where the model explains little. Pending
candidates are filled in with the model's own mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import log10
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schedsearch.schedule import FEATURE_NAMES
from schedsearch.search.acquisition import PoolView
from schedsearch.search.cost import forks, shares_to_train
from schedsearch.search.gp import Fitter, Hyperparameters
from schedsearch.search.model import CurveModel, Observation, fit_latent, latent
from schedsearch.search.pool import (
    Centre,
    Describer,
    Pool,
    Shape,
    centred_log_lrs,
    reflected,
)
from schedsearch.search.start import start_params
from schedsearch.search.trials import Candidate, Key, Past, key_of
from schedsearch.space import Arm, Dimension

Array = NDArray[np.float64]

FEWEST_RESULTS = 4
REFIT_AT = (4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 1024, 2048, 4096)
POOL_PART, POOL_PARTS = 200, 4
COPIES = 2
PARENTS = 10
NEIGHBOURS, NEIGHBOURS_EACH, MOST_NEIGHBOURS = 40, 12, 160
NEIGHBOUR_SIZES = (0.01, 0.3)
BOLDNESS_SPREAD = 0.08
CENTRE_OF, CENTRE_SPREAD = 5, 0.2
NEAR_CENTRE = 0.7
PLAIN_SHARE = 0.03
MOST_PLAIN_SHARE = 0.5
TRUSTED_AGREEMENT = 0.5
WARM_STARTUP, FEWEST_LENT = 4, 12
ARMS_TURN = 4
PENDING_PER_RESULT = 1 / 3
FEWEST_GUESSES = 4
POOL, NEIGHBOUR, CHOICE, MOVE = 11, 12, 13, 14


@dataclass(frozen=True, eq=False)
class Evidence:
    """Everything that was learned so far. values: None is a divergence; the first `trials` rows are Optuna's trials.
    sources: empty for this study's own runs, else the name of an earlier study."""

    features: Array
    values: list[float | None]
    sources: list[str]
    trials: int
    direction: str

    @property
    def lent(self) -> int:
        """How many runs are an earlier study's."""
        return sum(bool(source) for source in self.sources)


@dataclass
class Proposer:
    """Proposes candidates for one study. What it remembers between calls (described shapes, fitted hyperparameters) is
    a cache: another process with the same history and seed proposes the same."""

    describer: Describer
    seed: int
    startup: int
    cost_aware: bool = False
    fitter: Fitter = "botorch"
    _parts: dict[int, list[Shape]] = field(default_factory=dict)
    _fits: dict[bytes, Hyperparameters] = field(default_factory=dict)
    rank_agreement: float | None = None

    def propose(
        self, past: Past, numbers: Sequence[int], extra: Sequence[Observation], direction: str
    ) -> list[dict[str, Any]]:
        """Parameters for the trials of these numbers, none of which was asked for before."""
        taken = set(past.keys)
        proposals: list[dict[str, Any]] = []
        search: _Search | None = None
        evidence = _evidence(past, extra, direction)
        startup = self._startup(evidence) if numbers[0] < self.startup else self.startup
        for number in numbers:
            if number < startup or len(evidence.values) < FEWEST_RESULTS:
                params = self._fresh(number, taken)
            else:
                search = search or self._search(past, evidence, extra, numbers)
                params = search.next(number, taken)
            taken.add(key_of(params))
            proposals.append(params)
        return proposals

    def _startup(self, evidence: Evidence) -> int:
        """How many trials the starting design has: fewer where an earlier study agrees, and so teaches the model."""
        if evidence.lent < FEWEST_LENT or self.startup <= WARM_STARTUP:
            return self.startup
        return WARM_STARTUP if any(self.model(evidence).agreements.values()) else self.startup

    def _fresh(self, number: int, taken: set[Key]) -> dict[str, Any]:
        """Candidate `number` of the starting design, or another in its place when it was asked for before."""
        for attempt in range(20):
            params = start_params(self.describer, self.seed, number, self.startup, attempt)
            if key_of(params) not in taken:
                break
        return params

    def _search(self, past: Past, evidence: Evidence, extra: Sequence[Observation], numbers: Sequence[int]) -> _Search:
        model = self.model(evidence)
        self.rank_agreement = model.rank_agreement()
        pool = self._pool(past, evidence, model, numbers)
        pending = [one.shape.features + one.log_lr for one in past.pending]
        view = PoolView(model.posterior.extended(np.array(pending).reshape(-1, len(FEATURE_NAMES))), pool.features)
        arms_best = _arms_best(pool, past, model)
        search = _Search(self, pool, view, arms_best, plain_share(self.rank_agreement), self._guesses(past, evidence))
        if self.cost_aware:
            trained = [told.candidate for told in past.told if told.value is not None]
            search.shares = shares_to_train(
                self.describer, pool, trained, self._curves(extra), view.expected_improvement()
            )
        return search

    def _curves(self, extra: Sequence[Observation]) -> list[Array]:
        """The curves run outside that a candidate could go on from: this task's, at this horizon."""
        usable = [one for one in extra if not one.source and one.value is not None]
        return [one.lrs for one in usable if len(one.lrs) == self.describer.total_updates]

    def _guesses(self, past: Past, evidence: Evidence) -> int:
        """How many more of the model's guesses may be out at once; idle workers beyond that get plain draws."""
        most = max(FEWEST_GUESSES, int(PENDING_PER_RESULT * len(evidence.values)))
        return most - len(past.pending)

    def model(self, evidence: Evidence) -> CurveModel:
        """The model of all results, with hyperparameters of the first m of them, m growing in steps."""
        return CurveModel.of_features(
            evidence.features,
            evidence.values,
            evidence.direction,
            self._hyperparameters(evidence),
            evidence.sources,
            bad_end="cut",
        )

    def _hyperparameters(self, evidence: Evidence) -> Hyperparameters:
        rows = _fitted_rows(evidence)
        values, sources = [evidence.values[row] for row in rows], [evidence.sources[row] for row in rows]
        data, _ = latent(evidence.features[rows], values, sources, evidence.direction, "cut")
        key = data.x.tobytes() + data.y.tobytes() + data.source.tobytes()
        if key not in self._fits:
            self._fits.clear()
            self._fits[key] = fit_latent(data, self.fitter)
        return self._fits[key]

    def _pool(self, past: Past, evidence: Evidence, model: CurveModel, numbers: Sequence[int]) -> Pool:
        latent = model.posterior.mean(evidence.features[: evidence.trials])
        best = [past.told[index].candidate for index in np.argsort(latent, kind="stable")[:PARENTS]]
        rng = np.random.default_rng([self.seed, POOL, numbers[0]])
        shapes = self._shapes(len(evidence.values))
        bounds = self.describer.log_range
        drawn = Pool.of(shapes, centred_log_lrs(shapes, COPIES, bounds, centre_of(best), NEAR_CENTRE, rng))
        if not best:
            return drawn
        count = min(MOST_NEIGHBOURS, NEIGHBOURS + NEIGHBOURS_EACH * len(numbers))
        pool = drawn.and_also(neighbours(self.describer, best, count, rng))
        return pool.and_also(forks(self.describer, best, count, rng)) if self.cost_aware else pool

    def _shapes(self, results: int) -> list[Shape]:
        """Shapes over all arms: POOL_PARTS parts, of which the oldest is replaced at every refit."""
        first = sum(step <= results for step in REFIT_AT)
        return [shape for part in range(first, first + POOL_PARTS) for shape in self._part(part)]

    def _part(self, part: int) -> list[Shape]:
        if part not in self._parts:
            rng = np.random.default_rng([self.seed, POOL, part, 0])
            self._parts[part] = self.describer.shapes(self.describer.space.draw(rng, arm) for arm in self._arms(rng))
            self._parts.pop(part - POOL_PARTS, None)
        return self._parts[part]

    def _arms(self, rng: np.random.Generator) -> list[Any]:
        arms = self.describer.space.arms
        order = rng.permutation(len(arms))
        return [arms[order[index % len(arms)]] for index in range(POOL_PART)]


@dataclass
class _Search:
    """One batch of proposals on one view of the posterior."""

    proposer: Proposer
    pool: Pool
    view: PoolView
    arms_best: Array
    plain: float
    guesses: int
    shares: Array | None = None

    def next(self, number: int, taken: set[Key]) -> dict[str, Any]:
        rng = np.random.default_rng([self.proposer.seed, CHOICE, number])
        if self.guesses <= 0 or rng.random() < self.plain:
            return self.proposer._fresh(number, taken)
        self.guesses -= 1
        for index in self._order(number, rng):
            params = self.proposer.describer.params(*self.pool.at(int(index)))
            if key_of(params) not in taken:
                self.view.take(int(index))
                return params
        return self.proposer._fresh(number, taken)

    def _order(self, number: int, rng: np.random.Generator) -> NDArray[np.intp]:
        """Candidates, best first: by a Thompson sample or by expected improvement, on every ARMS_TURN-th number that on
        their own arm; where costs count, by the gain for each update that must be trained."""
        if number % 2:
            candidates, values = self.view.sample(rng)
            gains = self.view.best_mean - values
        else:
            best = self.arms_best if number % ARMS_TURN == 0 else None
            candidates, gains = np.arange(len(self.pool.log_lr)), self.view.expected_improvement(best)
        if self.shares is not None:
            gains = np.where(gains > 0, gains / self.shares[candidates], gains)
        return candidates[np.argsort(-gains, kind="stable")]


def _evidence(past: Past, extra: Sequence[Observation], direction: str) -> Evidence:
    rows = [told.candidate.shape.features + told.candidate.log_lr for told in past.told]
    rows += [one.features for one in extra]
    features = np.stack(rows) if rows else np.empty((0, len(FEATURE_NAMES)))
    values = [told.value for told in past.told] + [one.value for one in extra]
    sources = [""] * len(past.told) + [one.source for one in extra]
    return Evidence(features, values, sources, len(past.told), direction)


def _arms_best(pool: Pool, past: Past, model: CurveModel) -> Array:
    """For every candidate the best posterior mean among the trials of its arm, (m,); where it has none, the worst of
    the other arms' bests."""
    tried = [told.candidate for told in past.told]
    if not tried:
        return np.full(len(pool.log_lr), model.posterior.hyper.mean)
    means = model.view(np.array([one.shape.features + one.log_lr for one in tried])).mean
    best: dict[Arm, float] = {}
    for one, mean in zip(tried, means.tolist(), strict=True):
        best[one.shape.arm] = min(mean, best.get(one.shape.arm, np.inf))
    worst = max(best.values())
    return np.array([best.get(arm, worst) for arm in pool.arms])


def _fitted_rows(evidence: Evidence) -> list[int]:
    """The runs that hyperparameters are fitted to: the first m of this study's, m growing in the steps REFIT_AT (before
    the first step all, then also an earlier study's)."""
    outside = [row for row in range(evidence.trials, len(evidence.values)) if not evidence.sources[row]]
    own = [*outside, *range(evidence.trials)]
    if len(own) < REFIT_AT[0]:
        return list(range(len(evidence.values)))
    return own[: max(step for step in REFIT_AT if step <= len(own))]


def plain_share(rank_agreement: float) -> float:
    """The share of plain draws: PLAIN_SHARE always, so that no wrong model locks the search, and more of them the less
    the model explains (by its leave-one-out rank agreement)."""
    distrust = float(np.clip(1 - rank_agreement / TRUSTED_AGREEMENT, 0, 1))
    return PLAIN_SHARE + (MOST_PLAIN_SHARE - PLAIN_SHARE) * distrust


def centre_of(best: Sequence[Candidate]) -> Centre | None:
    """Where the base LRs of the best few lie, their shapes' g* taken out."""
    if not best:
        return None
    bold = np.array([one.log_lr - one.shape.log_scale for one in best[:CENTRE_OF]])
    return Centre(float(bold.mean()), max(CENTRE_SPREAD, float(bold.std())))


def neighbours(describer: Describer, parents: Sequence[Candidate], count: int, rng: np.random.Generator) -> Pool:
    """`count` perturbations of these candidates in turn, each as it came and once as bold as its parent."""
    around = [(parent, describer.space.dimensions(parent.params)) for parent in parents]
    turns = [around[index % len(around)] for index in range(count)]
    moved = [_neighbour(describer, *turn, rng) for turn in turns]
    parent_of = {id(params): parent for params, (parent, _) in zip(moved, turns, strict=True)}
    shapes = describer.shapes(moved)
    own = np.array([log10(shape.params["base_lr"]) for shape in shapes])  # as in Candidate, to the last digit
    near = [(shape.log_scale, parent_of[id(shape.params)]) for shape in shapes]
    bold = np.array([log_scale + one.log_lr - one.shape.log_scale for log_scale, one in near])
    bold = bold + BOLDNESS_SPREAD * rng.standard_normal(len(bold))
    return Pool.of(shapes, np.column_stack([own, reflected(bold, describer.log_range)]))


def _neighbour(
    describer: Describer, parent: Candidate, dimensions: Sequence[Dimension], rng: np.random.Generator
) -> dict[str, Any]:
    size = float(np.exp(rng.uniform(*np.log(NEIGHBOUR_SIZES))))
    coordinates = int(rng.integers(1, len(parent.params) + 1))
    return describer.space.perturb(parent.params, rng, size=size, coordinates=coordinates, dimensions=dimensions)
