"""What a few cheap runs say before a study: where to look for the base LR, and whether the start needs protection.

Two tests. The **range test** (Smith 2017) is one run whose LR rises exponentially over many decades; it finds the LR at
which the loss begins to fall, and the edge beyond which it climbs again. Its slow rise is itself a warm-up, so that the
edge flatters. The **startup test** therefore runs short schedules with and without a warm-up at a ladder of base LRs
below and just above that edge. One seed each: a suggestion for where to search, never a result.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor, log10

from schedsearch.errors import SchedsearchError
from schedsearch.evidence import words
from schedsearch.evidence.diagnosis import Curve, Kind, diagnose

LADDER = tuple(2.5**step for step in (1, 0, -1, -2, -3, -4, -5))
NO_FALL, BEGINS, HALF = 0.01, 0.1, 0.5
TRAINS = 0.25
BELOW, ABOVE = 20.0, 5.0
NOTABLE_RATIO = 1.5


@dataclass(frozen=True)
class RangeTest:
    """LRs of one run at a rising LR. begins_lr: the loss had fallen by a tenth of its whole fall; edge_lr: it had
    climbed back half of it, or diverged (the last LR, where neither happened)."""

    begins_lr: float
    edge_lr: float


@dataclass(frozen=True)
class StartupRun:
    """A short run of the startup test. loss: on the validation split at its end, None where it diverged."""

    base_lr: float
    has_warmup: bool
    start_loss: float
    loss: float | None
    kind: Kind


@dataclass(frozen=True)
class Suggestion:
    """Where to look for the base LR, and whether to ask the first question.

    best_lr: of the best short run. trains_with, trains_without: the largest base LR of the ladder that trains with and
    without a warm-up, None where none does. sentence: all of it for a person.
    """

    low: float
    high: float
    best_lr: float
    trains_with: float | None
    trains_without: float | None
    warmup_matters: bool
    sentence: str


def read_range_test(curve: Curve) -> RangeTest:
    """The two LRs of a run at a rising LR. Raises SchedsearchError where its loss never fell."""
    rows = list(zip(curve.lrs, curve.train_losses, strict=True))
    known = [(lr, loss) for lr, loss in rows if loss is not None]
    start = curve.initial_loss if curve.initial_loss is not None else known[0][1] if known else 0.0
    lowest = min((loss for _, loss in known), default=start)
    if start - lowest <= NO_FALL * abs(start):
        low, high = words.lr(min(curve.lrs)), words.lr(max(curve.lrs))
        raise SchedsearchError(f"The loss fell at no LR between {low} and {high}; the task does not train.")
    fall = start - lowest
    begins = next(lr for lr, loss in known if start - loss >= BEGINS * fall)
    at_lowest = next(index for index, (_, loss) in enumerate(rows) if loss == lowest)
    later = rows[at_lowest + 1 :]
    edge = next((lr for lr, loss in later if loss is None or loss >= lowest + HALF * fall), rows[-1][0])
    return RangeTest(begins, edge)


def startup_run(base_lr: float, *, has_warmup: bool, curve: Curve) -> StartupRun:
    """A short run as the startup test reads it."""
    losses = [one for one in curve.val_losses if one is not None]
    start = curve.initial_loss if curve.initial_loss is not None else losses[0]
    final = losses[-1] if losses and curve.diverged_at is None else None
    return StartupRun(base_lr, has_warmup, start, final, diagnose(curve).kind)


def suggest(runs: Sequence[StartupRun]) -> Suggestion:
    """The range from the best short run (a twentieth of its base LR to five times that), and what trains with and
    without a warm-up: no unstable start, and at least three quarters of the best run's fall.

    Raises SchedsearchError where every run diverged.
    """
    ended = [one for one in runs if one.loss is not None]
    if not ended:
        raise SchedsearchError("Every short run diverged, with and without a warm-up; the task needs smaller LRs.")
    best = min(ended, key=lambda one: one.loss or 0.0)
    with_warmup, without = _trains(runs, best, warm=True), _trains(runs, best, warm=False)
    matters = with_warmup is not None and (without is None or with_warmup >= NOTABLE_RATIO * without)
    low, high = _rounded(best.base_lr / BELOW), _rounded(best.base_lr * ABOVE)
    told = f"Look for the base LR between {words.lr(low)} and {words.lr(high)}: short runs train best at "
    told += f"{words.lr(best.base_lr)}. {_startup(with_warmup, without, matters=matters)}"
    return Suggestion(low, high, best.base_lr, with_warmup, without, matters, told)


def _trains(runs: Sequence[StartupRun], best: StartupRun, *, warm: bool) -> float | None:
    worst = (best.loss or 0.0) + TRAINS * (best.start_loss - (best.loss or 0.0))
    good = [
        one.base_lr
        for one in runs
        if one.has_warmup is warm and one.loss is not None and one.loss <= worst and one.kind is not Kind.UNSTABLE_START
    ]
    return max(good, default=None)


def _startup(with_warmup: float | None, without: float | None, *, matters: bool) -> str:
    if with_warmup is None and without is None:
        return "No short run started well, with a warm-up or without."
    if matters:
        bare = "none" if without is None else f"only those up to {words.lr(without)}"
        high = words.lr(with_warmup or 0.0)
        return f"Ask whether a warm-up helps: with one base LRs up to {high} train, without {bare}."
    reach = f"base LRs up to {words.lr(without or 0.0)} train without a warm-up, and with one no higher"
    return f"The start seems to need no protection: {reach}."


def _rounded(value: float) -> float:
    """Two digits."""
    power = floor(log10(value)) - 1
    return round(value / 10.0**power) * 10.0**power
