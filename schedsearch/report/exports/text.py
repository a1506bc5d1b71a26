"""What every exported file holds: the formula, values to test it with, where it comes from, what transfers."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping
from math import isfinite
from typing import Any

from schedsearch.report.exports import source
from schedsearch.report.exports.settings import LINE_WIDTH, Curve
from schedsearch.schedule import Schedule, Spline, Wsd


def sample_values(schedule: Schedule, total_updates: int, updates_per_epoch: int | None) -> list[tuple[int, float]]:
    """A dozen pairs (update, learning rate): both ends, the end of the warm-up, and points spread in between."""
    lrs = schedule.lrs(total_updates, updates_per_epoch)
    warm = 0 if schedule.warmup is None else round(schedule.warmup.fraction * total_updates)
    spread = {eighth * total_updates // 8 for eighth in range(8)}
    wanted = spread | {1, warm - 1, warm, total_updates - 2, total_updates - 1}
    return [(t, float(lrs[t])) for t in sorted(wanted) if 0 <= t < total_updates]


def plain(value: Any) -> Any:
    """Values that JSON can hold: other objects as their text, numbers that are not finite as None."""
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    if isinstance(value, float):
        return float(value) if isfinite(value) else None
    return value if value is None or isinstance(value, (bool, int, str)) else str(value)


def python_file(curve: Curve, provenance: Mapping[str, Any], head: str, imports: str, use: str) -> str:
    """The text of a Python module: its docstring, where it comes from, imports, the formula up to `lr`, its use.

    head: the docstring with the fields title, total_updates and transfer.
    """
    title = textwrap.fill(f"Learning-rate schedule: {curve.schedule.describe()}.", LINE_WIDTH)
    told = head.format(title=title, total_updates=curve.total_updates, transfer=source.TRANSFER)
    where = origin(curve.schedule, curve.updates_per_epoch, provenance)
    return "".join([told, where, imports, formula(curve), use])


def formula(curve: Curve) -> str:
    """Constants, test values, and the functions up to `lr`."""
    schedule = curve.schedule
    pieces = [
        _constants(curve),
        _table(sample_values(schedule, curve.total_updates, curve.updates_per_epoch)),
        _decay(schedule),
        "" if schedule.restarts is None else source.RESTARTS,
        _factor(schedule),
        source.LR,
    ]
    return "".join(pieces)


def origin(schedule: Schedule, updates_per_epoch: int | None, provenance: Mapping[str, Any]) -> str:
    """Comment lines; every text is JSON with escapes, so that none can end its line and become code."""
    facts = {**plain(provenance), "schedule": schedule.to_dict(), "updates_per_epoch": updates_per_epoch}
    lines = [f"#   {json.dumps(key)[1:-1]}: {json.dumps(value)}" for key, value in facts.items()]
    return "\n".join(["# Where it comes from:", *lines]) + "\n"


def _constants(curve: Curve) -> str:
    schedule = curve.schedule
    values: dict[str, Any] = {"TOTAL_UPDATES": curve.total_updates, "BASE_LR": curve.base_lr}
    if schedule.warmup is not None:
        values |= {
            "WARMUP_FRACTION": float(schedule.warmup.fraction),
            "START_FACTOR": float(schedule.warmup.start_factor),
        }
    values |= _decay_constants(schedule)
    if schedule.restarts is not None:
        values |= {
            "CYCLES": int(schedule.restarts.cycles),
            "GROWTH": float(schedule.restarts.growth),
            "PEAK_DECAY": float(schedule.restarts.peak_decay),
        }
    if schedule.step_every != 1:
        values["UPDATES_PER_STEP"] = curve.every
    lines = [f"{name} = {value!r}{source.COMMENTS.get(name, '')}" for name, value in values.items()]
    return "\n" + "\n".join(lines) + "\n"


def _decay_constants(schedule: Schedule) -> dict[str, Any]:
    if isinstance(schedule.decay, Spline):
        return _spline_constants(schedule.decay)
    given = {key: value for key, value in schedule.decay.to_dict().items() if key not in ("kind", "shape")}
    return {key.upper(): _number(value) for key, value in given.items()}


def _number(value: Any) -> Any:
    """A plain Python number (numpy's own would show their type), or a tuple of them."""
    if isinstance(value, (list, tuple)):
        return tuple(float(one) for one in value)
    return value if type(value) is int else float(value)


def _spline_constants(decay: Spline) -> dict[str, Any]:
    """Knots, heights and the slopes of the monotone cubic at its knots, so that the file need not derive them."""
    from scipy.interpolate import PchipInterpolator

    knots = (0.0, float(decay.x1), float(decay.x2), 1.0)
    heights = (1.0, float(decay.y1), float(decay.y2), float(decay.final_factor))
    slopes = PchipInterpolator(knots, heights).derivative()(knots)
    return {"KNOTS": knots, "HEIGHTS": heights, "SLOPES": tuple(float(one) for one in slopes)}


def _table(tests: list[tuple[int, float]]) -> str:
    rows = "\n".join(f"    ({t}, {lr!r})," for t, lr in tests)
    return f"\n# (update, learning rate) as they were trained\nTEST_VALUES = (\n{rows}\n)\n"


def _decay(schedule: Schedule) -> str:
    kind = schedule.decay.kind
    name = f"{kind}.{schedule.decay.shape}" if isinstance(schedule.decay, Wsd) else kind
    return source.DECAY.format(body=textwrap.indent(source.DECAY_BODIES[name], "    "))


def _factor(schedule: Schedule) -> str:
    parts = [
        source.FACTOR,
        "" if schedule.step_every == 1 else source.HOLD,
        "" if schedule.warmup is None else source.WARMUP.format(climb=source.CLIMBS[schedule.warmup.kind]),
        source.SINGLE if schedule.restarts is None else source.CYCLED,
    ]
    return "".join(parts)
