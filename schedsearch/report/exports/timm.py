"""A schedule handed over for timm: one of its schedulers where that is equal, else the closed form as one."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from schedsearch.report.exports.settings import (
    Curve,
    Difference,
    Name,
    Setting,
    comment,
    drops,
    fractions,
    nearest,
    whole,
)
from schedsearch.report.exports.text import python_file
from schedsearch.schedule import Constant, Cosine, Exponential, InverseSqrt, MultiStep, Polynomial, Schedule, Step, Wsd

VERSION = "1.0.31"  # whose formulas these are

HEAD = '''"""{title}

Found for {total_updates} optimizer updates; it stretches to any other number. Needs PyTorch and timm:

    scheduler = make_scheduler(optimizer)    # once, before the first update
    for update, batch in enumerate(batches):
        ...
        optimizer.step()
        scheduler.step_update(update + 1)    # after every optimizer update; t_in_epochs is False

The first parameter group trains at `lr(t)` (times its `lr_scale`, where it has one), whatever learning rate the
optimizer was made with; the other groups keep their ratio to it. Run this file to check it against the learning rates
that were trained.

{transfer}"""

'''

IMPORTS = """
import math

import torch
{classes}from timm.scheduler.scheduler import Scheduler
from torch.optim import Optimizer
"""

CLOSED = '''

class TrainedScheduler(Scheduler):
    """The closed form as a timm scheduler, at any horizon; past the last update the last value is held."""

    def __init__(self, optimizer: Optimizer, total_updates: int = TOTAL_UPDATES) -> None:
        super().__init__(optimizer, param_group_field="lr", t_in_epochs=False)
        self.total_updates = total_updates
        self.update_groups(self._get_lr(0))

    def _get_lr(self, t: int) -> list[float]:
        present = factor(min(t, self.total_updates - 1), self.total_updates)
        return [base_lr * present for base_lr in self.base_values]


def make_scheduler(optimizer: Optimizer, total_updates: int = TOTAL_UPDATES) -> Scheduler:
    """A scheduler for `optimizer` over `total_updates` optimizer updates; `step_update(t + 1)` after update t."""
    factor(total_updates - 1, total_updates)  # refuses a horizon that is too short before anything changes
    reference = float(optimizer.param_groups[0]["lr"])
    for group in optimizer.param_groups:
        group["initial_lr"] = BASE_LR * (float(group["lr"]) / reference if reference else 1.0)
'''

NATIVE = """    {fractions}
    # Past the last update timm's scheduler goes on to its end. Its `lr_min` and `warmup_lr_init` are one LR for all
    # parameter groups: groups of different LRs take the closed form.
    if total_updates == TOTAL_UPDATES and len({{group["initial_lr"] for group in optimizer.param_groups}}) == 1:
        # the same as below (formulas of timm {version})
        return {call}
"""

APART = """{told}
    #     {call}
    {fractions}
"""
TOLD = """timm's own schedulers cannot express this schedule: {difference}, in the nearest setting at this horizon
(formulas of timm {version}):"""

END = '''    return TrainedScheduler(optimizer, total_updates)


def check() -> None:
    """Raise ValueError unless this file gives the learning rates that were trained, as a function and in timm."""
    check_values()
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = make_scheduler(optimizer)
    for t in range(TOTAL_UPDATES):
        present = optimizer.param_groups[0]["lr"]
        if not math.isclose(present, lr(t), rel_tol=1e-9, abs_tol=1e-12 * BASE_LR):
            raise ValueError(f"The scheduler is at {present} in update {t}, but lr gives {lr(t)}.")
        scheduler.step_update(t + 1)


if __name__ == "__main__":
    check()
    print(f"{len(TEST_VALUES)} learning rates of {TOTAL_UPDATES} updates agree; the scheduler follows them.")
'''

Factor = Callable[[int], float]
SHAPES = {"linear": "linear", "sqrt": "1-sqrt", "cosine": "cosine"}


def export_timm(
    schedule: Schedule, total_updates: int, updates_per_epoch: int | None, provenance: Mapping[str, Any]
) -> str:
    """The text of a Python module with `make_scheduler(optimizer, total_updates=T)` for timm.

    At this horizon it is one of timm's schedulers where that equals the schedule up to rounding; else, and at any other
    horizon, a Scheduler over the closed form, and the text says how far the nearest of timm's is. Raises
    InvalidSchedule for an impossible horizon.
    """
    curve = Curve(schedule, total_updates, updates_per_epoch)
    setting, apart = nearest(settings(curve), curve)
    imports = IMPORTS.format(classes=f"from timm.scheduler import {setting.name}\n" if apart.is_rounding else "")
    return python_file(curve, provenance, HEAD, imports, "".join([CLOSED, _setting_text(curve, setting, apart), END]))


def _setting_text(curve: Curve, setting: Setting, apart: Difference) -> str:
    counts = fractions(curve).replace("\n", "\n    ")
    if apart.is_rounding:
        return NATIVE.format(call=setting.call("optimizer", indent=8), fractions=counts, version=VERSION)
    told = comment(TOLD.format(difference=apart.text, version=VERSION), indent=4)
    return APART.format(told=told, call=setting.call("optimizer"), fractions=counts)


def settings(curve: Curve) -> Iterator[Setting]:
    """timm's schedulers with the parameters of this schedule, operation for operation as they compute."""
    decay, restarts = curve.schedule.decay, curve.schedule.restarts
    yield from _steps(curve)
    yield from _wsd(curve)
    if isinstance(decay, Polynomial):
        yield _cycled(curve, "PolyLRScheduler", decay.power)
    yield _cycled(curve, "PolyLRScheduler", 1.0)
    yield _cycled(curve, "CosineLRScheduler", None)
    if restarts is None and not isinstance(decay, (Step, MultiStep, Constant, Cosine, Polynomial)):
        factors = curve.schedule.decay.value(np.arange(curve.decay_updates) / curve.decay_updates)
        arguments = {"t_initial": curve.decay_updates, "decay_t": curve.decay_updates, "decay_fn": Name("decay")}
        yield _setting(curve, "WSDLRScheduler", arguments, lambda t: curve.base_lr * float(factors[t]))


def _setting(curve: Curve, name: str, arguments: dict[str, Any], after: Factor) -> Setting:
    """timm's linear warm-up, then `after`: the learning rate by the updates since its end."""
    start = curve.start_factor * curve.base_lr
    warmup: dict[str, Any] = {"warmup_t": curve.warm, "warmup_lr_init": start} if curve.warm else {}
    if curve.warm and name in ("CosineLRScheduler", "PolyLRScheduler"):
        warmup["warmup_prefix"] = True
    slope = (curve.base_lr - start) / curve.warm if curve.warm else 0.0
    lrs = [start + t * slope for t in range(curve.warm)] + [after(t) for t in range(curve.decay_updates)]
    return Setting(name, {**arguments, **warmup, "t_in_epochs": False}, np.array(lrs))


def _steps(curve: Curve) -> Iterator[Setting]:
    decay, base_lr = curve.schedule.decay, curve.base_lr
    if isinstance(decay, Constant):
        arguments = {"decay_t": curve.total_updates, "decay_rate": 1.0}
        yield _setting(curve, "StepLRScheduler", arguments, lambda t: base_lr)
    if isinstance(decay, Step):
        every, gamma = whole(curve.decay_updates / (decay.drops + 1)), decay.gamma
        arguments = {"decay_t": every, "decay_rate": gamma}
        yield _setting(curve, "StepLRScheduler", arguments, lambda t: base_lr * gamma ** (t // every))
    at = drops(curve.lrs[curve.warm :] / base_lr, decay)
    if at is not None and isinstance(decay, (Step, MultiStep)):
        rate = float(decay.gamma)
        later = [one + 1 for one in at]  # timm drops an update before its milestone
        steps: dict[str, Any] = {"decay_t": later, "decay_rate": rate}
        passed = np.searchsorted(later, np.arange(1, curve.decay_updates + 1), side="right").tolist()
        yield _setting(curve, "MultiStepLRScheduler", steps, lambda t: base_lr * rate ** passed[t])


def _wsd(curve: Curve) -> Iterator[Setting]:
    """WSDLRScheduler, which also has the exponential decay and the inverse square root."""
    decay, base_lr, updates, end = curve.schedule.decay, curve.base_lr, curve.decay_updates, curve.end_factor
    if isinstance(decay, InverseSqrt):
        timescale = whole(decay.timescale * updates)
        arguments = {"t_initial": updates, "decay_t": 1, "stable_fn": "rsqrt", "stable_timescale": timescale}
        yield _setting(curve, "WSDLRScheduler", arguments, lambda t: base_lr * (1.0 + t / timescale) ** -0.5)
    if isinstance(decay, Exponential):
        lowest = end * base_lr
        arguments = {
            "t_initial": updates, "decay_t": updates, "lr_min": lowest, "decay_fn": "exp", "decay_ratio": end,
        }  # fmt: skip

        def fall(t: int) -> float:
            return float(lowest + (base_lr - lowest) * ((end ** (t / updates) - end) / (1.0 - end)))

        yield _setting(curve, "WSDLRScheduler", arguments, fall)
    if isinstance(decay, Wsd):
        yield _cooldown(curve, decay)


def _cooldown(curve: Curve, decay: Wsd) -> Setting:
    base_lr, updates, lowest = curve.base_lr, curve.decay_updates, decay.final_factor * curve.base_lr
    cooling = whole(decay.cooldown * updates)
    shape = SHAPES[decay.shape]

    def fall(t: int) -> float:
        done = t - (updates - cooling)
        left = 1.0 if done <= 0 else _left(decay.shape, min(done / cooling, 1.0))
        return lowest + (base_lr - lowest) * left

    arguments = {"t_initial": updates, "decay_t": cooling, "lr_min": lowest, "decay_fn": shape}
    return _setting(curve, "WSDLRScheduler", arguments, fall)


def _left(shape: str, u: float) -> float:
    if shape == "cosine":
        return 0.5 * (1.0 + math.cos(math.pi * u))
    return 1.0 - (math.sqrt(u) if shape == "sqrt" else u)


def _cycled(curve: Curve, name: str, power: float | None) -> Setting:
    """CosineLRScheduler (power None) or PolyLRScheduler, one cycle or the restarts."""
    restarts = curve.schedule.restarts
    growth = 1.0 if restarts is None else restarts.growth
    length = curve.cycles[0]
    lowest = min(1.0, curve.end_factor) * curve.base_lr
    arguments: dict[str, Any] = {"t_initial": length} | ({} if power is None else {"power": power})
    arguments |= {"lr_min": lowest} if lowest else {}
    if restarts is not None:
        arguments |= {"cycle_mul": growth, "cycle_decay": curve.peak_decay, "cycle_limit": restarts.cycles}

    def fall(t: int) -> float:
        cycle, done, updates = _cycle_of(t, length, growth)
        if cycle >= len(curve.cycles):
            return lowest
        span = curve.base_lr * curve.peak_decay**cycle - lowest
        if power is None:
            return lowest + 0.5 * span * (1 + math.cos(math.pi * done / updates))
        return float(lowest + span * (1 - done / updates) ** power)

    return _setting(curve, name, arguments, fall)


def _cycle_of(t: int, length: int, growth: float) -> tuple[int, float, float]:
    """The cycle of update t, the updates done in it and its length, as timm computes them."""
    if growth == 1:
        return t // length, t % length, length
    cycle = math.floor(math.log(1 - t / length * (1 - growth), growth))
    return cycle, t - (1 - growth**cycle) / (1 - growth) * length, growth**cycle * length
