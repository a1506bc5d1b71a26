"""The free-form question: how good could any falling curve be, whatever its family?

With a model over curves the spline can be optimised directly, without a run. What it finds is a proposal: the model is
over-optimistic about untried curves, so a free shape counts once it was confirmed like every champion.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from schedsearch.schedule import Schedule, Warmup
from schedsearch.search.model import CurveModel
from schedsearch.search.pool import Describer
from schedsearch.search.refine import CAUTION_SD, Effort, most_certain
from schedsearch.space import SearchSpace

EFFORT = Effort(draws=256, rounds=10, neighbours=96)
OTHER_SHAPE = 0.05
CONSIDERED = 400


@dataclass(frozen=True)
class FreeShape:
    """A free shape that was not run. mean, sd: what the model expects, in score units (seed noise not included)."""

    schedule: Schedule
    mean: float
    sd: float


def best_free_shapes(
    model: CurveModel,
    total_updates: int,
    base_lr: tuple[float, float],
    *,
    rng: np.random.Generator,
    updates_per_epoch: int | None = None,
    warmup: Warmup | None = None,
    step_every: int | Literal["epoch"] = 1,
    count: int = 2,
) -> list[FreeShape]:
    """The `count` best free shapes (splines), surest first, no two of which are nearly the same curve.

    base_lr: the range (low, high). warmup: that of the best named schedule; shapes with it and without are searched.
    Fewer than `count` where the horizon allows fewer. The same model and rng give the same shapes.
    """
    horizon = total_updates, updates_per_epoch
    found = [
        one
        for start in dict.fromkeys((None, warmup))
        for one in _surest(model, Describer(_space(base_lr, start, step_every), *horizon), rng)
    ]
    if not found:
        return []
    curves = [schedule.lrs(*horizon) for schedule in found]
    expected = model.predict(curves)
    order = np.argsort(expected.latent_mean + CAUTION_SD * expected.latent_sd, kind="stable")
    kept = _unalike([int(index) for index in order], curves, count)
    return [FreeShape(found[index], float(expected.mean[index]), float(expected.sd[index])) for index in kept]


def _surest(model: CurveModel, describer: Describer, rng: np.random.Generator) -> list[Schedule]:
    arm = describer.space.arms[0]
    found = most_certain(model, describer, arm, [], EFFORT, rng, CONSIDERED)
    return [describer.space.schedule(params) for params in found]


def _unalike(order: Sequence[int], curves: Sequence[np.ndarray], count: int) -> list[int]:
    """The first `count` of the order whose curves differ from each other by OTHER_SHAPE of the peak on average."""
    kept: list[int] = []
    for index in order:
        if all(_apart(curves[index], curves[other]) > OTHER_SHAPE for other in kept):
            kept.append(index)
        if len(kept) == count:
            break
    return kept


def _apart(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a - b).mean() / max(a.max(), b.max()))


def _space(base_lr: tuple[float, float], warmup: Warmup | None, step_every: int | Literal["epoch"]) -> SearchSpace:
    start: dict[str, Any] = {"kinds": ["none"]}
    if warmup is not None:
        fixed = asdict(warmup)
        start = {"kinds": [fixed.pop("kind")], **fixed}
    return SearchSpace.from_dict(
        {
            "name": "free-form",
            "title": "free shapes",
            "base_lr": {"low": base_lr[0], "high": base_lr[1]},
            "warmup": start,
            "decay": {"spline": {"final_share": {"low": 0.001, "high": 0.9}}},
            "restarts": {"choices": ["single"]},
            "step_every": step_every,
        }
    )
