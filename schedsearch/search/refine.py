"""The best that a model can name in one arm, among curves that were mostly never run.

A model's favourite among thousands of untried curves is over-optimistic: it is picked for the luck of its prediction
too. So untried curves are judged by the bad end of what the model expects of them, mean + CAUTION_SD * sd, which a
curve only wins by when the model is sure of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schedsearch.schedule import FEATURE_NAMES
from schedsearch.search.model import CurveModel
from schedsearch.search.pool import Describer, Pool, centred_log_lrs
from schedsearch.search.proposals import NEAR_CENTRE, centre_of, neighbours
from schedsearch.search.trials import Candidate
from schedsearch.space import Arm

Array = NDArray[np.float64]

CAUTION_SD = 1.0
COPIES = 4
PARENTS = 3
LR_STEP = 0.01
LR_REACH = 0.3
BOLD = [FEATURE_NAMES.index("log_max"), FEATURE_NAMES.index("log_arrival_64")]
BOLDER_DECADES = 1e-6


@dataclass(frozen=True)
class Effort:
    """How hard to look: random draws, then rounds of this many perturbations of the best few."""

    draws: int
    rounds: int
    neighbours: int


def most_certain(
    model: CurveModel,
    describer: Describer,
    arm: Arm,
    parents: Sequence[Candidate],
    effort: Effort,
    rng: np.random.Generator,
    count: int = PARENTS,
) -> list[dict[str, Any]]:
    """The parameters of the `count` best curves of this arm, surest first, each at its best base LR nearby.

    parents: what to start from beside random draws. No curve is bolder, at its peak or at its start, than every run
    that ended well. Empty when the arm has none at this horizon.
    """
    shapes = describer.shapes(describer.space.draw(rng, arm) for _ in range(effort.draws))
    if not shapes:
        return []
    log_lrs = centred_log_lrs(shapes, COPIES, describer.log_range, centre_of(parents), NEAR_CENTRE, rng)
    pool = Pool.of(shapes, log_lrs)
    for _ in range(effort.rounds):
        best = [Candidate(*pool.at(index)) for index in _order(model, pool)[:PARENTS]]
        pool = pool.and_also(neighbours(describer, [*best, *parents], effort.neighbours, rng))
    best = [Candidate(*pool.at(index)) for index in _order(model, pool)[:count]]
    return _at_best_lr(model, describer, best)


def best_tried(model: CurveModel, tried: Sequence[Candidate]) -> list[Candidate]:
    """The best few of these runs by posterior mean."""
    if not tried:
        return []
    expected = model.view(np.stack([one.shape.features + one.log_lr for one in tried])).mean
    return [tried[index] for index in np.argsort(expected, kind="stable")[:PARENTS]]


def _order(model: CurveModel, pool: Pool) -> list[int]:
    return [int(index) for index in np.argsort(_bad_end(model, pool), kind="stable")]


def _bad_end(model: CurveModel, pool: Pool) -> Array:
    """Mean + CAUTION_SD * sd, (m,), latent units; infinite for a curve bolder than any that ended well."""
    view = model.view(pool.features)
    bolder = (pool.features[:, BOLD] > _boldest(model) + BOLDER_DECADES).any(axis=1)
    return np.where(bolder, np.inf, view.mean + CAUTION_SD * view.sd)


def _boldest(model: CurveModel) -> Array:
    """The highest peak and the highest start among the study's runs that ended well: log10, (2,).

    Stability ends at a cliff, which a smooth model does not see.
    """
    posterior = model.posterior
    y, bold = posterior.y[posterior.own], posterior.x[posterior.own][:, BOLD]
    well = y < model.scale.ceiling
    return np.asarray(bold[well].max(axis=0) if well.any() else np.full(len(BOLD), np.inf), dtype=np.float64)


def _at_best_lr(model: CurveModel, describer: Describer, best: Sequence[Candidate]) -> list[dict[str, Any]]:
    """Each of these shapes at its surest base LR within LR_REACH decades, surest first."""
    steps = np.arange(-LR_REACH, LR_REACH + LR_STEP, LR_STEP)
    log_lrs = np.clip(np.array([one.log_lr for one in best])[:, None] + steps, *describer.log_range)
    pool = Pool.of([one.shape for one in best], log_lrs)
    bad_end = _bad_end(model, pool).reshape(log_lrs.shape)
    order = [index for index in np.argsort(bad_end.min(axis=1), kind="stable") if np.isfinite(bad_end[index].min())]
    return [describer.params(best[index].shape, float(log_lrs[index, bad_end[index].argmin()])) for index in order]
