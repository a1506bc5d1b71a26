"""What happened in one run, in the framework's own words, read from its curves.

All definitions stand here. A run is seen at its measurements (about twenty, evenly spread): after update u the LR, the
training loss (a mean since the measurement before; the validation loss stands in where it is missing) and the
validation loss. Words used below, with T the horizon:

    start    the loss of the first update; where it is not known, the first measured loss
    fall     start - the lowest loss measured: what training gained in all
    peak     the largest LR measured; "the LR is high" means at least half of it
    start-up the updates up to T/5, or up to T/10 after the LR reached its peak where that is later (a warm-up),
             never beyond T/2: the LR is still near its first values

The kinds are tried in this order, and the first that holds is the diagnosis:

    unstable start  In the start-up the run diverges, or its loss climbs above start by more than a quarter of it and
                    of the fall, or climbs above the lowest loss so far by more than a third of the fall.
    plateau escape  The loss stays within a tenth of the fall for a fifth of the horizon or longer, all of it at a high
                    LR, and then falls by a quarter of the fall or more before the LR has come down by a third from
                    what it was (median) on the plateau.
    wandering       While the LR is high the loss gets nowhere (second half of that stretch against its first half:
                    less than a tenth of the fall), and falls by a fifth of the fall or more once the LR drops; or the
                    LR never drops below half and the validation loss goes up and down by a twentieth of the fall or
                    more to the end; or the run diverges after its start-up.
    frozen early    The LR drops below 3 % of its peak with a fifth of the horizon or more to go and stays there, while
                    the loss was still falling: at the pace before (the median of the last three steps between
                    measurements) the rest would have brought another tenth of the fall, and it brought less than a
                    third of that.
    healthy         None of these was seen. The sentence says so where the loss was still falling at the end.

The thresholds are shares of the run's own fall, so that units and tasks do not matter. With fewer than eight
measurements only an unstable start and a divergence can be told.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from math import floor, isfinite, log10
from statistics import median

from schedsearch.errors import InvalidInput
from schedsearch.evidence import words

STARTUP, AFTER_PEAK, STARTUP_AT_MOST = 1 / 5, 1 / 10, 1 / 2
SPIKE, RELAPSE = 1 / 4, 1 / 3
HIGH = 1 / 2
FLAT, PLATEAU, ESCAPE, STEADY_LR = 1 / 10, 1 / 5, 1 / 4, 2 / 3
GONE, LEFT, STILL_FALLING, BROUGHT = 0.03, 1 / 5, 1 / 10, 1 / 3
NOWHERE, RELEASED, SWING = 1 / 10, 1 / 5, 1 / 20
FEWEST_POINTS = 8
PACES = 3
NO_GAIN = 1e-3  # of the start: less is no fall


class Kind(StrEnum):
    """What a run can be diagnosed with; definitions in the module's text."""

    UNSTABLE_START = "unstable start"  # the loss climbed or the run diverged while the LR was near its first values
    PLATEAU_ESCAPE = "plateau escape"  # the loss stood for long at a high LR, and broke out without help from the LR
    WANDERING = "wandering"  # the loss got nowhere while the LR was high
    FROZEN_EARLY = "frozen early"  # the LR was gone while the loss was still falling
    HEALTHY = "healthy"  # none of these


@dataclass(frozen=True)
class Curve:
    """One run as it was measured: equally long sequences, by update (from 0), losses None where not finite.

    total_updates: the horizon. initial_loss: of update 0. diverged_at: the update at which it diverged, None where it
    reached its horizon.
    """

    total_updates: int
    updates: Sequence[int]
    lrs: Sequence[float]
    train_losses: Sequence[float | None]
    val_losses: Sequence[float | None]
    initial_loss: float | None = None
    diverged_at: int | None = None

    def __post_init__(self) -> None:
        lengths = {len(self.updates), len(self.lrs), len(self.train_losses), len(self.val_losses)}
        if len(lengths) > 1:
            raise InvalidInput(f"`updates`, `lrs` and losses must be equally long, but have {sorted(lengths)} values.")


@dataclass(frozen=True)
class Diagnosis:
    """The kind, the sentence with its evidence, and the update that it points at (None: the whole run)."""

    kind: Kind
    sentence: str
    update: int | None = None


@dataclass(frozen=True)
class _Point:
    """A measurement with a loss: `val` where validation is known there."""

    update: int
    lr: float
    loss: float
    val: float | None


@dataclass(frozen=True)
class _Seen:
    """A curve made ready: its points in order, and the words of the definitions as numbers."""

    curve: Curve
    points: tuple[_Point, ...]
    start: float
    fall: float
    peak: float
    startup_end: float

    def share(self, part: float) -> str:
        """A part of the fall in percent."""
        return f"{100 * part / self.fall:.0f} %"

    def of_peak(self, lr: float) -> str:
        return f"{100 * lr / self.peak:.0f} %"


def diagnose(curve: Curve) -> Diagnosis:
    """The first kind whose definition holds; see the module's text."""
    seen = _seen(curve)
    if seen is None:
        return _without_points(curve)
    checks = [_unstable_start]
    if len(seen.points) >= FEWEST_POINTS and seen.fall > NO_GAIN * abs(seen.start):
        checks += [_plateau_escape, _wandering, _frozen_early]
    checks += [_diverged_later]
    found = (check(seen) for check in checks)
    return next((one for one in found if one is not None), _healthy(seen))


def _seen(curve: Curve) -> _Seen | None:
    rows = zip(curve.updates, curve.lrs, curve.train_losses, curve.val_losses, strict=True)
    points = tuple(
        _Point(update, lr, loss, _known(val))
        for update, lr, train, val in rows
        if (loss := _first_known(train, val)) is not None
    )
    if not points:
        return None
    start = _first_known(curve.initial_loss, points[0].loss) or 0.0
    peak = max(curve.lrs)
    at_peak = next(
        (update for update, lr in zip(curve.updates, curve.lrs, strict=True) if lr >= 0.99 * peak), curve.updates[-1]
    )
    total = curve.total_updates
    later = at_peak + AFTER_PEAK * total if at_peak > points[0].update else 0.0
    end = min(STARTUP_AT_MOST * total, max(STARTUP * total, later))
    return _Seen(curve, points, start, start - min(start, *(one.loss for one in points)), peak, end)


def _known(value: float | None) -> float | None:
    return value if value is not None and isfinite(value) else None


def _first_known(*values: float | None) -> float | None:
    return next((value for value in values if value is not None and isfinite(value)), None)


def _without_points(curve: Curve) -> Diagnosis:
    if curve.diverged_at is None:
        return Diagnosis(Kind.HEALTHY, "Nothing was measured of this run.")
    early = curve.diverged_at <= STARTUP * curve.total_updates
    return Diagnosis(
        Kind.UNSTABLE_START if early else Kind.WANDERING,
        f"It diverged at update {curve.diverged_at}.",
        curve.diverged_at,
    )


def _unstable_start(seen: _Seen) -> Diagnosis | None:
    at = seen.curve.diverged_at
    if at is not None and at <= seen.startup_end:
        return Diagnosis(
            Kind.UNSTABLE_START, f"It diverged at update {at}, {_progress(seen, at)}, at LR {_lr_at(seen, at)}.", at
        )
    lowest = seen.start
    for one in (point for point in seen.points if point.update <= seen.startup_end):
        above = one.loss - seen.start
        if above > SPIKE * abs(seen.start) and above > SPIKE * seen.fall:
            return _spike(one, f"the {seen.start:.3g} that it started from")
        if one.loss - lowest > RELAPSE * seen.fall > NO_GAIN * abs(seen.start):
            return _spike(one, f"the {lowest:.3g} that it had reached")
        lowest = min(lowest, one.loss)
    return None


def _spike(one: _Point, above: str) -> Diagnosis:
    sentence = (
        f"By update {one.update} the loss had climbed to {one.loss:.3g}, above {above}, at LR {words.lr(one.lr)}."
    )
    return Diagnosis(Kind.UNSTABLE_START, sentence, one.update)


def _progress(seen: _Seen, update: int) -> str:
    return f"{100 * update / seen.curve.total_updates:.0f} % of the way"


def _lr_at(seen: _Seen, update: int) -> str:
    near = min(zip(seen.curve.updates, seen.curve.lrs, strict=True), key=lambda pair: abs(pair[0] - update))
    return words.lr(near[1])


def _plateau_escape(seen: _Seen) -> Diagnosis | None:
    for first in range(len(seen.points)):
        last = _flat_until(seen, first)
        since = seen.points[first - 1].update if first else 0
        if seen.points[last].update - since < PLATEAU * seen.curve.total_updates:
            continue
        plateau = seen.points[first : last + 1]
        level, lr = median(one.loss for one in plateau), median(one.lr for one in plateau)
        free = _while(seen.points[last + 1 :], STEADY_LR * lr)
        fell = max((level - one.loss for one in free), default=0.0)
        if fell >= ESCAPE * seen.fall:
            out = next(one for one in free if level - one.loss >= ESCAPE * seen.fall)
            return Diagnosis(
                Kind.PLATEAU_ESCAPE,
                f"The loss stood at {level:.3g} from update {since} to {plateau[-1].update} and then fell by "
                f"{seen.share(fell)} of its whole fall while the LR was still at {seen.of_peak(out.lr)} of its peak.",
                out.update,
            )
    return None


def _flat_until(seen: _Seen, first: int) -> int:
    """The last point of the stretch from `first` in which the loss stays within a tenth of the fall at a high LR."""
    low = high = seen.points[first].loss
    last = first
    for index in range(first, len(seen.points)):
        one = seen.points[index]
        low, high = min(low, one.loss), max(high, one.loss)
        if high - low > FLAT * seen.fall or one.lr < HIGH * seen.peak:
            break
        last = index
    return last


def _while(points: Sequence[_Point], lowest_lr: float) -> list[_Point]:
    """The points up to the first with a smaller LR."""
    end = next((index for index, one in enumerate(points) if one.lr < lowest_lr), len(points))
    return list(points[:end])


def _wandering(seen: _Seen) -> Diagnosis | None:
    end = max(index for index, one in enumerate(seen.points) if one.lr >= HIGH * seen.peak)
    high = [one for one in seen.points[: end + 1] if one.update > seen.startup_end]
    if len(high) < 4:
        return None
    middle = len(high) // 2
    level = median(one.loss for one in high[middle:])
    gained = median(one.loss for one in high[:middle]) - level
    if gained >= NOWHERE * seen.fall:
        return None
    after = seen.points[end + 1 :]
    released = level - min((one.loss for one in after), default=level)
    where = (
        f"From update {high[0].update} to {high[-1].update}, at a high LR, the loss got nowhere (around {level:.3g})"
    )
    if released >= RELEASED * seen.fall:
        fell = f"it fell by {seen.share(released)} of its whole fall once the LR had dropped"
        return Diagnosis(Kind.WANDERING, f"{where}; {fell}.", high[-1].update)
    swing = _swing(high)
    if after or swing < SWING * seen.fall:
        return None
    sentence = (
        f"{where}; validation went up and down by {seen.share(swing)} of its whole fall, and the LR never dropped."
    )
    return Diagnosis(Kind.WANDERING, sentence, high[-1].update)


def _swing(points: Sequence[_Point]) -> float:
    """How far the validation loss jumps from one measurement to the next: the median size of its steps."""
    values = [one.val for one in points if one.val is not None]
    return median(abs(b - a) for a, b in pairwise(values)) if len(values) > 2 else 0.0


def _frozen_early(seen: _Seen) -> Diagnosis | None:
    alive = max((index for index, one in enumerate(seen.points) if one.lr >= GONE * seen.peak), default=-1)
    after = seen.points[alive + 1 :]
    if not after or alive < PACES:
        return None
    last = seen.points[alive]
    left = seen.curve.total_updates - 1 - last.update
    promised = left * median(map(_pace, seen.points[alive - PACES : alive], seen.points[alive - PACES + 1 :]))
    brought = max(0.0, last.loss - min(one.loss for one in after))
    if left < LEFT * seen.curve.total_updates or promised < STILL_FALLING * seen.fall or brought > BROUGHT * promised:
        return None
    return Diagnosis(
        Kind.FROZEN_EARLY,
        f"From update {after[0].update} on the LR was below {100 * GONE:.0f} % of its peak, while the loss was still "
        f"falling: at its pace before, the rest would have brought another {seen.share(promised)} of its whole fall; "
        f"it brought {seen.share(brought)}.",
        after[0].update,
    )


def _pace(one: _Point, other: _Point) -> float:
    """How much the loss falls an update between two measurements."""
    return (one.loss - other.loss) / (other.update - one.update)


def _diverged_later(seen: _Seen) -> Diagnosis | None:
    at = seen.curve.diverged_at
    if at is None:
        return None
    sentence = f"It diverged at update {at}, {_progress(seen, at)}, at LR {_lr_at(seen, at)}, after a start that held."
    return Diagnosis(Kind.WANDERING, sentence, at)


def _healthy(seen: _Seen) -> Diagnosis:
    last = seen.points[-1]
    if len(seen.points) < FEWEST_POINTS:
        return Diagnosis(Kind.HEALTHY, f"It started without trouble; {len(seen.points)} measurements tell no more.")
    if seen.fall <= NO_GAIN * abs(seen.start):
        return Diagnosis(
            Kind.HEALTHY, f"Nothing went wrong, but nothing was learned: the loss stayed at {last.loss:.3g}."
        )
    quarter = seen.points[-max(2, len(seen.points) // 4) :]
    fell = quarter[0].loss - last.loss
    told = f"The loss fell from {seen.start:.3g} to {last.loss:.3g} without trouble"
    if fell > FLAT * seen.fall:
        return Diagnosis(
            Kind.HEALTHY,
            f"{told}; it was still falling at the end, by {seen.share(fell)} of its fall in the last quarter.",
        )
    return Diagnosis(Kind.HEALTHY, f"{told}.")


@dataclass(frozen=True)
class Diagnosed:
    """A run's diagnosis with what it may depend on. arm: the combination of answers that it belongs to."""

    run_id: int
    arm: str
    has_warmup: bool
    base_lr: float
    diagnosis: Diagnosis


def counts(found: Iterable[Diagnosed]) -> dict[str, Counter[Kind]]:
    """How many runs of each arm have which diagnosis; arms in the order in which they first appear."""
    arms: dict[str, Counter[Kind]] = {}
    for one in found:
        arms.setdefault(one.arm, Counter())[one.diagnosis.kind] += 1
    return arms


def startup_sentence(found: Sequence[Diagnosed]) -> str:
    """`Without warm-up 7 of 12 runs at base LR 0.3 or more started unstable; with it 1 of 9.`

    The base LR is the lowest at which any run started unstable, rounded down to two digits: it is read from the same
    runs, so that the counts describe this study and estimate nothing. Empty where there is no run.
    """
    unstable = [one for one in found if one.diagnosis.kind is Kind.UNSTABLE_START]
    if not found:
        return ""
    if not unstable:
        return f"None of {len(found)} runs started unstable."
    edge = _rounded_down(min(one.base_lr for one in unstable))
    sides = {True: "with warm-up", False: "without warm-up"}
    told = [_side(name, found, edge, warm=warm) for warm, name in sorted(sides.items())]
    return words.capital("; ".join(one for one in told if one)) + "."


def _side(name: str, found: Sequence[Diagnosed], edge: float, *, warm: bool) -> str:
    runs = [one for one in found if one.has_warmup is warm and one.base_lr >= edge]
    unstable = sum(one.diagnosis.kind is Kind.UNSTABLE_START for one in runs)
    return f"{name} {unstable} of {len(runs)} runs at base LR {words.lr(edge)} or more started unstable" if runs else ""


def _rounded_down(value: float) -> float:
    power = 10.0 ** (floor(log10(value)) - 1)
    return floor(value / power * (1 + 1e-12)) * power
