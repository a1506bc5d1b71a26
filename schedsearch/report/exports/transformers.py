"""A schedule handed over for Hugging Face transformers: a scheduler for its Trainer, and the Trainer's arguments."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np

from schedsearch.report.exports.pytorch import CHECK, MAIN, scheduler_text
from schedsearch.report.exports.settings import Array, Curve, Difference, Setting, comment, fractions, nearest
from schedsearch.report.exports.text import python_file
from schedsearch.schedule import Constant, InverseSqrt, Schedule, Wsd

VERSION = "5.24"  # whose formulas these are

HEAD = '''"""{title}

Found for {total_updates} optimizer updates; it stretches to any other number. For transformers' Trainer, which steps
the scheduler after every optimizer update; needs PyTorch only:

    trainer = Trainer(..., optimizers=(optimizer, make_scheduler(optimizer, total_updates)))

or, where they say that they are equal, the TRAINING_ARGUMENTS below. The first parameter group trains at `lr(t)`,
whatever learning rate the optimizer was made with; the other groups keep their ratio to it. Past the last update the
last value is held. Run this file to check it against the learning rates that were trained.

{transfer}"""

'''

EQUAL = """
# For transformers.TrainingArguments, with max_steps = TOTAL_UPDATES: equal to the schedule at every update
# (formulas of transformers {version}).
{fractions}
TRAINING_ARGUMENTS = {{
{rows}
}}
"""

APART = """
{told}
{fractions}
NEAREST_TRAINING_ARGUMENTS = {{
{rows}
}}
"""

TOLD = """The Trainer's own arguments cannot express this schedule, use `make_scheduler`: {difference}, in the nearest
setting for transformers.TrainingArguments with max_steps = TOTAL_UPDATES (formulas of transformers {version})."""

NAMED = '''

def named_scheduler(optimizer: Optimizer) -> LRScheduler:
    """The Trainer's scheduler of these arguments over TOTAL_UPDATES, for an optimizer made with lr=BASE_LR."""
    from transformers import get_scheduler

    return get_scheduler(
        {name}["lr_scheduler_type"],
        optimizer,
        num_warmup_steps={name}["warmup_steps"],
        num_training_steps=TOTAL_UPDATES,
        scheduler_specific_kwargs={name}["lr_scheduler_kwargs"],
    )
'''

WARMED_COSINE = "cosine_warmup_with_min_lr"
NOTES = {
    WARMED_COSINE: """
# `warmup_steps` is one more than the warm-up: the last of them trains at the base LR. `num_cycles` is
# 0.5 * (decay - 1) / decay, for the Trainer's cosine would end an update early.""",
    "polynomial": """
# `lr_end` is a learning rate, not a ratio: it moves with `learning_rate`.""",
}
POWERS = (0.5, 1.0, 2.0, 3.0)
SHAPES = {"linear": "linear", "sqrt": "1-sqrt", "cosine": "cosine"}


def export_transformers(
    schedule: Schedule, total_updates: int, updates_per_epoch: int | None, provenance: Mapping[str, Any]
) -> str:
    """The text of a Python module with `make_scheduler` as of `export_torch`, and the Trainer's arguments that are
    equal to the schedule, or else the nearest ones and how far they are. Raises InvalidSchedule for an impossible
    horizon."""
    curve = Curve(schedule, total_updates, updates_per_epoch)
    imports, make = scheduler_text(curve)
    setting, apart = nearest(settings(curve), curve)
    use = "".join([make, _arguments(curve, setting, apart), CHECK, MAIN])
    return python_file(curve, provenance, HEAD, imports, use)


def settings(curve: Curve) -> Iterator[Setting]:
    """What `lr_scheduler_type`, its arguments and `warmup_steps` can say, for the parameters of this schedule.

    Every kind but `cosine_warmup_with_min_lr` warms up from an LR of 0, or from the LR that it ends at.
    """
    for warm in dict.fromkeys((curve.warm, 0)):
        for kind, arguments, decay in _decays(curve, warm):
            yield _setting(curve, kind, arguments, warm, decay)
    if curve.warm and curve.decay_updates > 1:
        yield _warmed_cosine(curve)


Progress = Callable[[Array], Array]


def _decays(curve: Curve, warm: int) -> Iterator[tuple[str, dict[str, Any], Progress]]:
    """The kinds, their arguments and their factors by i, the updates after the warm-up."""
    updates, end = curve.total_updates - warm, curve.end_factor
    if isinstance(curve.schedule.decay, Constant):
        yield "constant_with_warmup" if warm else "constant", {}, np.ones_like
        return
    if end == 0:
        yield "linear", {}, lambda i: (updates - i) / updates
        yield "cosine", {}, lambda i: 0.5 * (1.0 + np.cos(np.pi * i / updates))
    yield "cosine_with_min_lr", {"min_lr_rate": end}, lambda i: _to(0.5 * (1.0 + np.cos(np.pi * i / updates)), end)
    yield from _powers(curve, updates, end)
    yield from _shaped(curve, updates, end)


def _powers(curve: Curve, updates: int, end: float) -> Iterator[tuple[str, dict[str, Any], Progress]]:
    given = getattr(curve.schedule.decay, "power", None)
    for power in POWERS if given is None else (given, *POWERS):
        arguments = {"power": power, "lr_end": end * curve.base_lr}
        yield "polynomial", arguments, partial(_polynomial, updates=updates, power=power, end=end)


def _shaped(curve: Curve, updates: int, end: float) -> Iterator[tuple[str, dict[str, Any], Progress]]:
    """The kinds that only a decay (or restarts) of their own kind can meet."""
    decay, restarts = curve.schedule.decay, curve.schedule.restarts
    if isinstance(decay, InverseSqrt):
        timescale = max(1, round(decay.timescale * updates))
        yield "inverse_sqrt", {"timescale": timescale}, lambda i: 1.0 / np.sqrt((i + timescale) / timescale)
    if isinstance(decay, Wsd):
        cooling, shape = max(1, round(decay.cooldown * updates)), decay.shape
        arguments = {"num_decay_steps": cooling, "decay_type": SHAPES[shape], "min_lr_ratio": end}
        yield "warmup_stable_decay", arguments, lambda i: _to(_cooled(shape, i, updates, cooling), end)
    if restarts is not None:
        cycles = restarts.cycles
        waves = {"num_cycles": cycles}
        yield "cosine_with_restarts", waves, lambda i: 0.5 * (1.0 + np.cos(np.pi * ((cycles * (i / updates)) % 1.0)))


def _polynomial(i: Array, updates: int, power: float, end: float) -> Array:
    return _to((1 - i / updates) ** power, end)


def _to(factors: Array, end: float) -> Array:
    return factors * (1 - end) + end


def _cooled(shape: str, i: Array, updates: int, cooling: int) -> Array:
    u = np.clip((i - (updates - cooling)) / cooling, 0, 1)
    if shape == "cosine":
        return np.asarray(0.5 * (1.0 + np.cos(np.pi * u)))
    return np.asarray(1 - (np.sqrt(u) if shape == "sqrt" else u))


def _setting(curve: Curve, kind: str, arguments: dict[str, Any], warm: int, decay: Progress) -> Setting:
    """A kind with a linear warm-up from 0 (from `min_lr_ratio` where it has that)."""
    start = arguments.get("min_lr_ratio", 0.0)
    climb = _to(np.arange(warm) / max(1, warm), start)
    factors = np.concatenate([climb, decay(np.arange(curve.total_updates - warm, dtype=np.float64))])
    return Setting(kind, {"warmup_steps": warm, "lr_scheduler_kwargs": arguments}, curve.base_lr * factors)


def _warmed_cosine(curve: Curve) -> Setting:
    """A warm-up from any LR, then a cosine. It reaches the base LR an update early and so takes one of warm-up more;
    `num_cycles` stretches the cosine, which would end an update early."""
    warm, updates, end = curve.warm + 1, curve.decay_updates, curve.end_factor
    cycles = 0.5 * (updates - 1) / updates
    arguments = {"num_cycles": cycles, "min_lr_rate": end, "warmup_lr_rate": curve.start_factor}
    climb = curve.start_factor + (1.0 - curve.start_factor) * np.arange(warm) / (warm - 1)
    progress = np.arange(1, updates) / (updates - 1)
    fall = _to(0.5 * (1.0 + np.cos(np.pi * cycles * 2.0 * progress)), end)
    lrs = curve.base_lr * np.concatenate([climb, fall])
    return Setting(WARMED_COSINE, {"warmup_steps": warm, "lr_scheduler_kwargs": arguments}, lrs)


def _arguments(curve: Curve, setting: Setting, apart: Difference) -> str:
    values = {
        "learning_rate": curve.base_lr,
        "lr_scheduler_type": setting.name,
        "warmup_steps": setting.arguments["warmup_steps"],
        "lr_scheduler_kwargs": setting.arguments["lr_scheduler_kwargs"],
    }
    rows = "\n".join(f"    {key!r}: {value!r}," for key, value in values.items()).replace("'", '"')
    template, name = (EQUAL, "TRAINING_ARGUMENTS") if apart.is_rounding else (APART, "NEAREST_TRAINING_ARGUMENTS")
    counts = fractions(curve) + NOTES.get(setting.name, "")
    told = comment(TOLD.format(difference=apart.text, version=VERSION))
    text = template.format(version=VERSION, told=told, fractions=counts, rows=rows)
    return "\n" + text + NAMED.format(name=name)
