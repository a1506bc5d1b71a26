"""A schedule handed over for optax: its own schedules joined where they are equal, else a table of the closed form."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Mapping
from itertools import accumulate
from typing import Any

import numpy as np

from schedsearch.report.exports.settings import TINY, Array, Curve, Setting, difference, drops, fractions
from schedsearch.report.exports.text import python_file
from schedsearch.schedule import (
    Constant,
    Cosine,
    Decay,
    Exponential,
    Linear,
    MultiStep,
    Polynomial,
    Schedule,
    Step,
    Wsd,
)

HEAD = '''"""{title}

Found for {total_updates} optimizer updates; it stretches to any other number. Needs JAX and optax:

    optimizer = optax.adamw(make_schedule(total_updates))

A schedule is a function of the number of updates done, also under `jax.jit`; past the last update the last value is
held. JAX computes in float32 unless `jax_enable_x64` is set: then expect 1e-7 of the base LR. Run this file to check it
against the learning rates that were trained.

{transfer}"""

'''

IMPORTS = """
import math

import jax
import jax.numpy as jnp
import optax
"""

MAKE = '''

def make_schedule(total_updates: int = TOTAL_UPDATES) -> optax.Schedule:
    """The schedule over `total_updates` optimizer updates, as a function of the number of updates done."""
    last = total_updates - 1
    factor(last, total_updates)  # refuses a horizon that is too short
'''

NATIVE = """    {fractions}
    if total_updates == TOTAL_UPDATES:
        schedule = optax.join_schedules(
            [
{pieces}
            ],
            boundaries={boundaries},
        )
        return lambda count: schedule(jnp.minimum(count, last))  # the same as below in optax's own schedules
"""

TABLE = """    lrs = jnp.asarray([lr(t, total_updates) for t in range(total_updates)])
    return lambda count: lrs[jnp.minimum(count, last)]
"""

CHECK = '''

def check() -> None:
    """Raise ValueError unless this file gives the learning rates that were trained, as a function and under jit."""
    check_values()
    lrs = jax.jit(jax.vmap(make_schedule()))(jnp.arange(TOTAL_UPDATES)).tolist()
    for t, present in enumerate(lrs):
        if not math.isclose(present, lr(t), rel_tol=1e-6, abs_tol=1e-6 * BASE_LR):
            raise ValueError(f"The schedule is at {present} in update {t}, but lr gives {lr(t)}.")


if __name__ == "__main__":
    check()
    print(f"{len(TEST_VALUES)} learning rates of {TOTAL_UPDATES} updates agree; the schedule follows them.")
'''


def export_optax(
    schedule: Schedule, total_updates: int, updates_per_epoch: int | None, provenance: Mapping[str, Any]
) -> str:
    """The text of a Python module with `make_schedule(total_updates=T)` for optax.

    At this horizon it joins optax's own schedules where they equal the schedule up to rounding of float64; else, and at
    any other horizon, it looks up the closed form. Raises InvalidSchedule for an impossible horizon.
    """
    curve = Curve(schedule, total_updates, updates_per_epoch)
    pieces = optax_pieces(curve)
    native = "" if pieces is None else _native(curve, pieces)
    return python_file(curve, provenance, HEAD, IMPORTS, "".join([MAKE, native, TABLE, CHECK]))


def _native(curve: Curve, pieces: list[Setting]) -> str:
    return NATIVE.format(
        fractions=fractions(curve).replace("\n", "\n    "),
        pieces="\n".join(f"                {one.call()}," for one in pieces),
        boundaries=list(accumulate(len(one.lrs) for one in pieces))[:-1],
    )


def optax_pieces(curve: Curve) -> list[Setting] | None:
    """optax's schedules one after another; None unless they give every learning rate of the schedule up to rounding."""
    pieces = [] if curve.schedule.warmup is None else [_warmup(curve)]
    start = curve.warm
    for cycle, updates in enumerate(curve.cycles):
        peak = curve.base_lr * curve.peak_decay**cycle
        found = None if peak < TINY else _cycle(curve.schedule.decay, peak, curve.lrs[start : start + updates] / peak)
        if found is None:
            return None
        pieces += found
        start += updates
    is_equal = difference(np.concatenate([one.lrs for one in pieces]), curve).is_rounding
    return pieces if is_equal else None


def _cycle(decay: Decay, peak: float, factors: Array) -> list[Setting] | None:
    """One cycle of the decay from its peak LR; None where optax has no schedule for it."""
    make = CYCLES.get(type(decay))
    return None if make is None else make(decay, peak, factors)


def _piece(name: str, arguments: dict[str, Any], lrs: Array) -> Setting:
    return Setting(f"optax.{name}", arguments, lrs)


def _warmup(curve: Curve) -> Setting:
    warmup, peak, updates = curve.schedule.warmup, curve.base_lr, curve.warm
    start, t = curve.start_factor * peak, np.arange(updates)
    if warmup is None or warmup.kind == "linear":
        return _line(start, peak, updates)
    rise = 1 / max(TINY, curve.start_factor)
    arguments: dict[str, Any]
    if warmup.kind == "exponential":
        arguments = {"init_value": start, "transition_steps": updates, "decay_rate": rise}
        return _piece("exponential_decay", arguments, start * rise ** (t / updates))
    arguments = {"interpolate_type": "cosine", "init_value": start, "boundaries_and_scales": {updates: rise}}
    end = start * rise
    return _piece(
        "piecewise_interpolate_schedule", arguments, end + (start - end) / 2.0 * (np.cos(np.pi * (t / updates)) + 1)
    )


def _line(start: float, end: float, updates: int) -> Setting:
    arguments = {"init_value": start, "end_value": end, "transition_steps": updates}
    return _piece("linear_schedule", arguments, (start - end) * (1 - np.arange(updates) / updates) + end)


def _hold(peak: float, updates: int) -> Setting:
    return _piece("constant_schedule", {"value": peak}, np.full(updates, peak))


def _cosine(peak: float, updates: int, final_factor: float, power: float = 1.0) -> Setting:
    arguments = {"init_value": peak, "decay_steps": updates, "alpha": final_factor} | (
        {} if power == 1 else {"exponent": power}
    )
    wave = 0.5 * (1 + np.cos(np.pi * np.arange(updates) / updates))
    return _piece("cosine_decay_schedule", arguments, peak * ((1 - final_factor) * wave**power + final_factor))


def _constant_cycle(decay: Constant, peak: float, factors: Array) -> list[Setting]:
    return [_hold(peak, len(factors))]


def _step_cycle(decay: Step | MultiStep, peak: float, factors: Array) -> list[Setting] | None:
    at = drops(factors, decay)
    if at is None:
        return None
    scales = {t: decay.gamma**count for t, count in Counter(at).items()}
    lrs = np.array([peak * decay.gamma ** bisect_right(at, t) for t in range(len(factors))])
    return [_piece("piecewise_constant_schedule", {"init_value": peak, "boundaries_and_scales": scales}, lrs)]


def _exponential_cycle(decay: Exponential, peak: float, factors: Array) -> list[Setting]:
    updates = len(factors)
    arguments = {"init_value": peak, "transition_steps": updates, "decay_rate": decay.final_factor}
    return [_piece("exponential_decay", arguments, peak * decay.final_factor ** (np.arange(updates) / updates))]


def _cosine_cycle(decay: Cosine, peak: float, factors: Array) -> list[Setting]:
    return [_cosine(peak, len(factors), decay.final_factor, decay.power)]


def _linear_cycle(decay: Linear, peak: float, factors: Array) -> list[Setting]:
    return [_line(peak, peak * decay.final_factor, len(factors))]


def _polynomial_cycle(decay: Polynomial, peak: float, factors: Array) -> list[Setting]:
    updates, end = len(factors), peak * decay.final_factor
    arguments = {"init_value": peak, "end_value": end, "power": decay.power, "transition_steps": updates}
    lrs = (peak - end) * (1 - np.arange(updates) / updates) ** decay.power + end
    return [_piece("polynomial_schedule", arguments, lrs)]


def _wsd_cycle(decay: Wsd, peak: float, factors: Array) -> list[Setting] | None:
    """Hold, then cool down from the first update at or after the cooldown's start."""
    updates = len(factors)
    cooling = int(decay.cooldown * updates + 1e-9)
    hold = [_hold(peak, updates - cooling)] if cooling < updates else []
    if cooling == 0 or decay.shape == "sqrt":
        return hold if cooling == 0 else None
    if decay.shape == "cosine":
        return [*hold, _cosine(peak, cooling, decay.final_factor)]
    begin = peak * float(factors[updates - cooling])
    return [*hold, _line(begin, peak * decay.final_factor, cooling)]


CYCLES: dict[type[Decay], Callable[[Any, float, Array], list[Setting] | None]] = {
    Constant: _constant_cycle,
    Step: _step_cycle,
    MultiStep: _step_cycle,
    Exponential: _exponential_cycle,
    Cosine: _cosine_cycle,
    Linear: _linear_cycle,
    Polynomial: _polynomial_cycle,
    Wsd: _wsd_cycle,
}
