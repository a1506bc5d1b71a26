"""A schedule as a sequence of torch's own schedulers, with the learning rates that torch computes for them.

Each update's learning rate follows from the one before it, operation for operation as in torch 2.13 under SequentialLR,
so that what rounding adds up to over a long horizon is known without importing torch. OneCycleLR is never used: it
flattens the groups' learning rates and cycles momentum.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate
from math import cos, pi
from operator import mul

import numpy as np

from schedsearch.report.exports.settings import TINY, Array, Curve, Setting, difference, drops
from schedsearch.schedule import Constant, Cosine, Decay, Exponential, Linear, MultiStep, Polynomial, Step, Wsd

NEVER = sys.maxsize
Recurrence = Callable[..., Array]


def torch_pieces(curve: Curve) -> list[Setting] | None:
    """torch's schedulers one after another, and last the one that holds the last value; None unless they give every
    learning rate of the schedule up to rounding."""
    pieces = _pieces(curve)
    if pieces is None or not difference(np.concatenate([one.lrs for one in pieces]), curve).is_rounding:
        return None
    last = float(curve.lrs[-1]) / curve.base_lr
    return [*pieces, _piece(curve, "ConstantLR", 1, factor=last, total_iters=NEVER)]


def milestones(pieces: Sequence[Setting]) -> list[int]:
    """The updates at which the second, third ... piece begins."""
    return list(accumulate(len(one.lrs) for one in pieces))[:-1]


def _pieces(curve: Curve) -> list[Setting] | None:
    if not curve.is_warmed_linearly:
        return None
    found = [] if curve.schedule.warmup is None else [_warmup(curve)]
    restarted = _warm_restarts(curve)
    if restarted is not None:
        return [*found, restarted]
    start = curve.warm
    for cycle, updates in enumerate(curve.cycles):
        pieces = _cycle(curve, start, updates, curve.peak_decay**cycle)
        if pieces is None:
            return None
        found += pieces
        start += updates
    return found


def _warmup(curve: Curve) -> Setting:
    return _piece(curve, "LinearLR", curve.warm, start_factor=curve.start_factor, total_iters=curve.warm)


def _warm_restarts(curve: Curve) -> Setting | None:
    """CosineAnnealingWarmRestarts where the cycles are as long as it makes them."""
    decay, cycles = curve.schedule.decay, curve.cycles
    if not (isinstance(decay, Cosine) and decay.power == 1 and curve.peak_decay == 1 and len(cycles) > 1):
        return None
    times = cycles[1] // cycles[0]
    if times < 1 or any(updates != cycles[0] * times**cycle for cycle, updates in enumerate(cycles)):
        return None
    return _piece(curve, "CosineAnnealingWarmRestarts", sum(cycles), T_0=cycles[0], T_mult=times, **_minimum(curve))


def _cycle(curve: Curve, start: int, updates: int, peak: float) -> list[Setting] | None:
    """One cycle of the decay from its peak; None where torch has no scheduler for it."""
    make = CYCLES.get(type(curve.schedule.decay))
    return None if make is None or peak < TINY else make(curve, start, updates, peak)


def _constant_cycle(curve: Curve, start: int, updates: int, peak: float) -> list[Setting]:
    return [_piece(curve, "ConstantLR", updates, factor=peak, total_iters=NEVER)]


def _linear_cycle(curve: Curve, start: int, updates: int, peak: float) -> list[Setting]:
    end = peak * curve.end_factor
    return [_piece(curve, "LinearLR", updates, start_factor=peak, end_factor=end, total_iters=updates)]


def _cosine_cycle(curve: Curve, start: int, updates: int, peak: float) -> list[Setting] | None:
    is_plain = isinstance(curve.schedule.decay, Cosine) and curve.schedule.decay.power == 1
    return [_cosine_piece(curve, updates)] if is_plain and peak == 1 else None


def _exponential_cycle(curve: Curve, start: int, updates: int, peak: float) -> list[Setting] | None:
    gamma = curve.end_factor ** (1 / updates)
    return [_piece(curve, "ExponentialLR", updates, gamma=gamma)] if peak == 1 else None


def _polynomial_cycle(curve: Curve, start: int, updates: int, peak: float) -> list[Setting] | None:
    decay = curve.schedule.decay
    if not isinstance(decay, Polynomial) or decay.final_factor or peak != 1:
        return None
    return [_piece(curve, "PolynomialLR", updates, total_iters=updates, power=decay.power)]


def _step_cycle(curve: Curve, start: int, updates: int, peak: float) -> list[Setting] | None:
    decay = curve.schedule.decay
    if not isinstance(decay, (Step, MultiStep)) or peak != 1:
        return None
    if isinstance(decay, Step) and updates % (decay.drops + 1) == 0 and curve.every == 1:
        return [_piece(curve, "StepLR", updates, step_size=updates // (decay.drops + 1), gamma=decay.gamma)]
    at = drops(curve.lrs[start : start + updates] / curve.base_lr, decay)
    return None if at is None else [_piece(curve, "MultiStepLR", updates, milestones=at, gamma=decay.gamma)]


def _wsd_cycle(curve: Curve, start: int, updates: int, peak: float) -> list[Setting] | None:
    """Hold, then cool down from the first update at or after the cooldown's start."""
    decay = curve.schedule.decay
    if not isinstance(decay, Wsd) or decay.shape == "sqrt" or (decay.shape == "cosine" and peak != 1):
        return None
    cooling = int(decay.cooldown * updates + 1e-9)
    held = updates - cooling
    pieces = _constant_cycle(curve, start, held, peak) if held else []
    if cooling == 0:
        return pieces
    if decay.shape == "cosine":
        return [*pieces, _cosine_piece(curve, cooling)]
    begin, end = peak * float(decay.value(np.array(held / updates))), peak * decay.final_factor
    return [*pieces, _piece(curve, "LinearLR", cooling, start_factor=begin, end_factor=end, total_iters=cooling)]


def _cosine_piece(curve: Curve, updates: int) -> Setting:
    return _piece(curve, "CosineAnnealingLR", updates, T_max=updates, **_minimum(curve))


def _minimum(curve: Curve) -> dict[str, float]:
    return {"eta_min": curve.end_factor * curve.base_lr} if curve.end_factor else {}


def _piece(curve: Curve, name: str, updates: int, **arguments: object) -> Setting:
    return Setting(name, arguments, RECURRENCES[name](curve.base_lr, updates, **arguments))


def _constant(lr: float, updates: int, factor: float, total_iters: int) -> Array:
    return np.full(updates, lr * factor)


def _linear(lr: float, updates: int, start_factor: float, total_iters: int, end_factor: float = 1.0) -> Array:
    rise = end_factor - start_factor
    ratios = (1.0 + rise / (total_iters * start_factor + (t - 1) * rise) for t in range(1, updates))
    return _product(lr * start_factor, ratios)


def _step(lr: float, updates: int, step_size: int, gamma: float) -> Array:
    return _product(lr, (gamma if t % step_size == 0 else 1.0 for t in range(1, updates)))


def _multistep(lr: float, updates: int, milestones: Sequence[int], gamma: float) -> Array:
    counts = Counter(milestones)
    return _product(lr, (gamma ** counts[t] for t in range(1, updates)))


def _exponential(lr: float, updates: int, gamma: float) -> Array:
    return _product(lr, (gamma for _ in range(1, updates)))


def _polynomial(lr: float, updates: int, total_iters: int, power: float) -> Array:
    left = [1.0 - t / total_iters for t in range(updates)]
    return _product(lr, ((left[t] / left[t - 1]) ** power for t in range(1, updates)))


def _cosine(lr: float, updates: int, T_max: int, eta_min: float = 0.0) -> Array:  # noqa: N803  # torch's name
    waves = [1 + cos(pi * t / T_max) for t in range(updates)]
    lrs = [lr]
    for t in range(1, updates):
        lrs.append(waves[t] / waves[t - 1] * (lrs[-1] - eta_min) + eta_min)
    return np.array(lrs)


def _cosine_restarts(lr: float, updates: int, T_0: int, T_mult: int, eta_min: float = 0.0) -> Array:  # noqa: N803
    lrs: list[float] = []
    length = T_0
    while len(lrs) < updates:
        lrs += [eta_min + (lr - eta_min) * (1 + cos(pi * t / length)) / 2 for t in range(length)]
        length *= T_mult
    return np.array(lrs[:updates])


def _product(lr: float, ratios: Iterable[float]) -> Array:
    return np.array(list(accumulate(ratios, mul, initial=lr)))


RECURRENCES: dict[str, Recurrence] = {
    "ConstantLR": _constant,
    "LinearLR": _linear,
    "StepLR": _step,
    "MultiStepLR": _multistep,
    "ExponentialLR": _exponential,
    "PolynomialLR": _polynomial,
    "CosineAnnealingLR": _cosine,
    "CosineAnnealingWarmRestarts": _cosine_restarts,
}
CYCLES: dict[type[Decay], Callable[[Curve, int, int, float], list[Setting] | None]] = {
    Constant: _constant_cycle,
    Step: _step_cycle,
    MultiStep: _step_cycle,
    Exponential: _exponential_cycle,
    Cosine: _cosine_cycle,
    Linear: _linear_cycle,
    Polynomial: _polynomial_cycle,
    Wsd: _wsd_cycle,
}
