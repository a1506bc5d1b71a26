"""The champion of every answer: the candidate that the model believes in most, whether it was run or not.

A candidate that was run is judged by its posterior mean and a little by its own score (`CurveModel.judged`), one that
was not by the bad end of what the model expects of it (`refine`): only where the model is sure of a gain does an
untried curve replace a tried one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log10
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schedsearch.schedule import Schedule, bold_base_lr, describe_curve
from schedsearch.search.model import CurveModel
from schedsearch.search.pool import Describer
from schedsearch.search.refine import CAUTION_SD, LR_STEP, Effort, best_tried, most_certain
from schedsearch.search.trials import Candidate
from schedsearch.space import Answer, Arm, SearchSpace, arm_of

Array = NDArray[np.float64]

DRAWS, FEWEST_DRAWS = 2048, 32
ROUNDS, NEIGHBOURS = 4, 64
SAME_LR = 0.02


@dataclass(frozen=True, eq=False)
class Tried:
    """A candidate that was run to its horizon. params: those of the space; None for a baseline or the user's own.
    candidate_id: whatever names it for the caller. score: in the task's units."""

    params: Mapping[str, Any] | None
    schedule: Schedule
    candidate_id: int | None
    score: float | None


@dataclass(frozen=True)
class Champion:
    """The best candidate for one arm or answer. candidate_id: None when it was never run. mean, sd: what the model
    expects of it, in score units (seed noise not included). badness: what it is judged by, latent units, smaller is
    better."""

    schedule: Schedule
    candidate_id: int | None
    mean: float
    sd: float
    badness: float


def name_champions(
    model: CurveModel,
    space: SearchSpace,
    tried: Sequence[Tried],
    total_updates: int,
    updates_per_epoch: int | None,
    rng: np.random.Generator,
) -> dict[Answer, Champion]:
    """The best candidate for every answer that the space can give; answers that share theirs share one `Champion`.

    model: of all results, in the space's horizon. tried: baselines count for the answers of their arm, where the space
    has that arm. An answer for which nothing possible was found (at this horizon) is left out.
    """
    return best_of_answers(space, arm_champions(model, space, tried, total_updates, updates_per_epoch, rng))


def best_of_answers(space: SearchSpace, champions: Mapping[Arm, Champion]) -> dict[Answer, Champion]:
    """The best of the arms' champions for every answer."""
    best = {}
    for answer in space.answers:
        sharing = [one for arm, one in champions.items() if arm.answers[answer.question] == answer.value]
        if sharing:
            best[answer] = min(sharing, key=lambda one: one.badness)
    return best


def arm_champions(
    model: CurveModel,
    space: SearchSpace,
    tried: Sequence[Tried],
    total_updates: int,
    updates_per_epoch: int | None,
    rng: np.random.Generator,
) -> dict[Arm, Champion]:
    """The best candidate of every arm that has a possible one; the arguments are those of `name_champions`."""
    describer = Describer(space, total_updates, updates_per_epoch)
    contenders = _tried_contenders(model, tried, total_updates, updates_per_epoch)
    best: dict[Arm, Champion] = {}
    for arm in space.arms:
        own = [one for one in tried if arm_of(one.schedule) == arm]
        found = contenders[arm] + _untried(model, describer, arm, own, rng)
        if found:
            best[arm] = min(found, key=lambda one: one.badness)
    return best


def _tried_contenders(
    model: CurveModel, tried: Sequence[Tried], total_updates: int, updates_per_epoch: int | None
) -> dict[Arm, list[Champion]]:
    contenders: dict[Arm, list[Champion]] = defaultdict(list)
    if not tried:
        return contenders
    curves = [one.schedule.lrs(total_updates, updates_per_epoch) for one in tried]
    expected, badness = model.predict(curves), model.judged(curves, [one.score for one in tried])
    for one, mean, sd, bad in zip(tried, expected.mean, expected.sd, badness, strict=True):
        champion = Champion(one.schedule, one.candidate_id, float(mean), float(sd), float(bad))
        contenders[arm_of(one.schedule)].append(champion)
    return contenders


def _untried(
    model: CurveModel, describer: Describer, arm: Arm, tried: Sequence[Tried], rng: np.random.Generator
) -> list[Champion]:
    """The surest of this arm's candidates that were never run; none when the arm has none."""
    known = [Candidate(describer.shape(one.params), log10(one.schedule.base_lr)) for one in tried if one.params]
    effort = Effort(max(FEWEST_DRAWS, DRAWS // len(describer.space.arms)), ROUNDS, NEIGHBOURS)
    found = most_certain(model, describer, arm, best_tried(model, known), effort, rng)
    schedules = [describer.space.schedule(params) for params in found]
    untried = [one for one in schedules if one not in {run.schedule for run in tried}][:1]
    if not untried:
        return []
    expected = model.predict([untried[0].lrs(describer.total_updates, describer.updates_per_epoch)])
    badness = float(expected.latent_mean[0] + CAUTION_SD * expected.latent_sd[0])
    return [Champion(untried[0], None, float(expected.mean[0]), float(expected.sd[0]), badness)]


def best_base_lr(
    model: CurveModel | None,
    baseline: Schedule,
    base_lr: tuple[float, float],
    total_updates: int,
    updates_per_epoch: int | None,
    tried: Sequence[float],
) -> float:
    """The base LR to run this schedule at next, inside the range `base_lr`.

    Without a model the (logarithmic) middle of the range moved by the schedule's own g*, so that all baselines start
    equally bold. With one where it expects the best score, at least SAME_LR decades from the base LRs `tried` (or as
    far from them as the range allows).
    """
    if model is None:
        return bold_base_lr(baseline, base_lr, total_updates, updates_per_epoch)
    low, high = log10(base_lr[0]), log10(base_lr[1])
    log_lrs = np.linspace(low, high, 1 + max(1, round((high - low) / LR_STEP)))
    shape = describe_curve(baseline.with_base_lr(1.0).lrs(total_updates, updates_per_epoch))
    expected = model.view(shape + log_lrs[:, None]).mean
    apart = _distance(log_lrs, tried)
    allowed = apart >= min(SAME_LR, float(apart.max()))
    return _inside(float(log_lrs[np.argmin(np.where(allowed, expected, np.inf))]), base_lr)


def _distance(log_lrs: Array, tried: Sequence[float]) -> Array:
    """Decades to the nearest base LR that was tried; infinite where none was."""
    if not tried:
        return np.full(len(log_lrs), np.inf)
    return np.asarray(np.abs(log_lrs[:, None] - np.log10(tried)).min(axis=1), dtype=np.float64)


def _inside(log_lr: float, base_lr: tuple[float, float]) -> float:
    return float(min(base_lr[1], max(base_lr[0], 10**log_lr)))
