"""A schedule handed over for torchtitan: its own configuration where that is equal, else the closed form as one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

import numpy as np

from schedsearch.report.exports.settings import Array, Curve, Setting, comment, fractions, nearest
from schedsearch.report.exports.text import python_file
from schedsearch.schedule import Constant, Schedule, Wsd

VERSION = "0.3.0"  # whose formulas and names these are

HEAD = '''"""{title}

Found for {total_updates} optimizer updates; it stretches to any other number. For a `config_registry` of torchtitan:

    Trainer.Config(
        optimizer=default_adamw(lr=BASE_LR),
        lr_scheduler=LR_SCHEDULER,
        training=TrainingConfig(steps=TOTAL_UPDATES),
        ...,
    )

Every optimizer keeps its own base LR and is multiplied by `factor(t)`. Run this file to check it against the learning
rates that were trained.

{transfer}"""

'''

IMPORTS = """
import math
from dataclasses import dataclass

import torch
from torchtitan.components.optimizer.lr_scheduler import LRSchedulersContainer
"""

EQUAL = """
# Equal to the schedule at every update of this horizon (formulas of torchtitan {version}).
# On torchtitan's command line: {flags}
{fractions}
LR_SCHEDULER = {call}
"""

APART = '''

class TrainedSchedule(LRSchedulersContainer):
    """The closed form in torchtitan, at any horizon; past the last update the last value is held."""

    @dataclass(kw_only=True, slots=True)
    class Config(LRSchedulersContainer.Config):
        def build(self, *, optimizers, training_steps):
            total = training_steps if self.total_steps is None else self.total_steps
            factor(total - 1, total)  # refuses a horizon that is too short
            return LRSchedulersContainer(optimizers, lambda t: factor(min(t, total - 1), total))


LR_SCHEDULER = TrainedSchedule.Config()

{told}
# On torchtitan's command line: {flags}
{fractions}
NEAREST_LR_SCHEDULER = {call}
'''

TOLD = """torchtitan's own settings cannot express this schedule: {difference}, in the nearest setting at this horizon
(formulas of torchtitan {version})."""

CHECK = '''

def check() -> None:
    """Raise ValueError unless this file gives the learning rates that were trained, as a function and in torchtitan."""
    check_values()
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=BASE_LR)
    schedulers = LR_SCHEDULER.build(optimizers=[optimizer], training_steps=TOTAL_UPDATES)
    for t in range(min(TOTAL_UPDATES, 10_000)):
        present = optimizer.param_groups[0]["lr"]
        if not math.isclose(present, lr(t), rel_tol=1e-9, abs_tol=1e-12 * BASE_LR):
            raise ValueError(f"The scheduler is at {present} in update {t}, but lr gives {lr(t)}.")
        optimizer.step()
        schedulers.step()


if __name__ == "__main__":
    check()
    print(f"{len(TEST_VALUES)} learning rates of {TOTAL_UPDATES} updates agree; the scheduler follows them.")
'''

SHAPES = ("linear", "cosine", "sqrt")
RATIOS = (None, 0.8, 0.6, 0.4, 0.2, 0.1)  # None: the decay begins with the end of the warm-up


def export_torchtitan(
    schedule: Schedule, total_updates: int, updates_per_epoch: int | None, provenance: Mapping[str, Any]
) -> str:
    """The text of a Python module with `LR_SCHEDULER`, a configuration of torchtitan's learning rate.

    It is torchtitan's own where that equals the schedule at this horizon up to rounding; else one over the closed form,
    and the text says how far the nearest of torchtitan's own is. Raises InvalidSchedule for an impossible horizon.
    """
    curve = Curve(schedule, total_updates, updates_per_epoch)
    setting, apart = nearest(settings(curve), curve)
    flags = " ".join(f"--lr_scheduler.{name} {value}" for name, value in setting.arguments.items())
    told = comment(TOLD.format(difference=apart.text, version=VERSION))
    use = (EQUAL if apart.is_rounding else APART).format(
        version=VERSION, fractions=fractions(curve), call=setting.call(), told=told, flags=flags
    )
    imports = IMPORTS.replace("from dataclasses import dataclass\n", "") if apart.is_rounding else IMPORTS
    return python_file(curve, provenance, HEAD, imports, use + CHECK)


def settings(curve: Curve) -> Iterator[Setting]:
    """torchtitan's settings near this schedule. Its warm-up starts at 1 / warmup_steps and reaches the base LR at its
    last update; its decay loses no update to the end."""
    warms = dict.fromkeys((curve.warm, curve.warm + 1, max(0, curve.warm - 1)) if curve.warm else (0,))
    decay = curve.schedule.decay
    if isinstance(decay, Constant):
        yield from (_setting(curve, warm, 0.0, "linear", 0.0) for warm in warms)
        return
    shapes = dict.fromkeys([decay.shape, *SHAPES] if isinstance(decay, Wsd) else SHAPES)
    ends = dict.fromkeys((curve.end_factor, 0.0))
    for warm, ratio, shape, end in product(warms, _ratios(curve), shapes, ends):
        yield _setting(curve, warm, ratio, shape, end)


def _ratios(curve: Curve) -> tuple[float | None, ...]:
    decay = curve.schedule.decay
    if not isinstance(decay, Wsd):
        return RATIOS
    return (decay.cooldown * curve.decay_updates / curve.total_updates, *RATIOS)


def _setting(curve: Curve, warm: int, ratio: float | None, shape: str, end: float) -> Setting:
    arguments: dict[str, Any] = {"warmup_steps": warm}
    arguments |= {} if ratio is None else {"decay_ratio": ratio}
    arguments |= {"decay_type": shape, "min_lr_factor": end}
    factors = _factors(curve.total_updates, warm, ratio, shape, end)
    return Setting("LRSchedulersContainer.Config", arguments, curve.base_lr * factors)


def _factors(total: int, warm: int, ratio: float | None, shape: str, end: float) -> Array:
    """torchtitan's factor of every update; it cuts a decay that would begin within the warm-up."""
    wanted = total - warm if ratio is None else round(total * ratio)
    cooling = min(wanted, total - warm)
    held = total + 1 - cooling  # the first update of the decay
    t = np.arange(total)
    climb = (t + 1) / max(1, warm)
    u = np.clip((t + 1 - held) / max(1, cooling), 0, 1)
    falls = {"linear": 1 - u, "sqrt": 1 - np.sqrt(u), "cosine": 0.5 * (1.0 + np.cos(np.pi * u))}
    fall = np.where(t < held, 1.0, end + (1 - end) * falls[shape])
    return np.asarray(np.where(t < warm, climb, fall), dtype=np.float64)
