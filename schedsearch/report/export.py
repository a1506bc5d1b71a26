"""A schedule handed over: as JSON, as CSV, or as a Python file that needs nothing else or nothing but PyTorch."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping
from math import isfinite
from typing import Any

from schedsearch.report import source
from schedsearch.schedule import Schedule, Spline, Wsd

FORMAT = "schedsearch.schedule/1"
LINE_WIDTH = 100


def export_json(
    schedule: Schedule, total_updates: int, updates_per_epoch: int | None, provenance: Mapping[str, Any]
) -> str:
    """The schedule in its serialized form, with its horizon, test values and where it comes from.

    `schedule` reads back with `Schedule.from_dict`. `test_values` are pairs (update, learning rate). Numbers of the
    provenance that JSON cannot hold (nan, infinities) become null. Raises InvalidSchedule for an impossible horizon.
    """
    values = {
        "format": FORMAT,
        "description": schedule.describe(),
        "transfer": " ".join(source.TRANSFER.split()),
        "schedule": schedule.to_dict(),
        "total_updates": total_updates,
        "updates_per_epoch": updates_per_epoch,
        "test_values": sample_values(schedule, total_updates, updates_per_epoch),
        "provenance": _plain(provenance),
    }
    return json.dumps(values, indent=2, allow_nan=False) + "\n"


def export_torch(
    schedule: Schedule, total_updates: int, updates_per_epoch: int | None, provenance: Mapping[str, Any]
) -> str:
    """The text of a Python module with `make_scheduler(optimizer, total_updates=T)` and `lr(t, total_updates=T)`.

    It imports torch only, holds nothing but this schedule's own formula, stretches to any horizon, and checks itself
    against a few learning rates of `schedule.lrs` when it is run. A stepping frequency of "epoch" becomes the number of
    updates it means here. Raises InvalidSchedule for an impossible horizon.
    """
    return "".join(
        [
            _head(source.HEAD, schedule, total_updates),
            _origin(schedule, updates_per_epoch, provenance),
            source.IMPORTS,
            _formula(schedule, total_updates, updates_per_epoch),
            source.USE,
        ]
    )


def export_python(
    schedule: Schedule, total_updates: int, updates_per_epoch: int | None, provenance: Mapping[str, Any]
) -> str:
    """The text of a Python module with `lr(t, total_updates=T)`, for loops that set the learning rate by hand and for
    frameworks that take a function of the update.

    As `export_torch`, but it imports `math` only. Raises InvalidSchedule for an impossible horizon.
    """
    return "".join(
        [
            _head(source.PYTHON_HEAD, schedule, total_updates),
            _origin(schedule, updates_per_epoch, provenance),
            source.PYTHON_IMPORTS,
            _formula(schedule, total_updates, updates_per_epoch),
            source.PYTHON_USE,
        ]
    )


def export_csv(
    schedule: Schedule, total_updates: int, updates_per_epoch: int | None, provenance: Mapping[str, Any]
) -> str:
    """The learning rate of every update, to the last digit, below comment lines that say where they come from.

    Columns: update (0 .. total_updates - 1), lr. Lines that begin with # are comments (`pandas.read_csv(...,
    comment="#")`). Raises InvalidSchedule for an impossible horizon.
    """
    lrs = schedule.lrs(total_updates, updates_per_epoch).tolist()
    comments = [schedule.describe(), *source.TRANSFER.splitlines()]
    lines = [*(f"# {one}" for one in comments), *_origin(schedule, updates_per_epoch, provenance).splitlines()]
    return "\n".join([*lines, "update,lr", *(f"{t},{lr!r}" for t, lr in enumerate(lrs))]) + "\n"


def sample_values(schedule: Schedule, total_updates: int, updates_per_epoch: int | None) -> list[tuple[int, float]]:
    """A dozen pairs (update, learning rate): both ends, the end of the warm-up, and points spread in between."""
    lrs = schedule.lrs(total_updates, updates_per_epoch)
    warm = 0 if schedule.warmup is None else round(schedule.warmup.fraction * total_updates)
    spread = {eighth * total_updates // 8 for eighth in range(8)}
    wanted = spread | {1, warm - 1, warm, total_updates - 2, total_updates - 1}
    return [(t, float(lrs[t])) for t in sorted(wanted) if 0 <= t < total_updates]


def _plain(value: Any) -> Any:
    """Values that JSON can hold: other objects as their text, numbers that are not finite as None."""
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, float):
        return float(value) if isfinite(value) else None
    return value if value is None or isinstance(value, (bool, int, str)) else str(value)


def _head(head: str, schedule: Schedule, total_updates: int) -> str:
    title = textwrap.fill(f"Learning-rate schedule: {schedule.describe()}.", LINE_WIDTH)
    return head.format(title=title, total_updates=total_updates, transfer=source.TRANSFER)


def _formula(schedule: Schedule, total_updates: int, updates_per_epoch: int | None) -> str:
    """Constants, test values, and the functions up to `lr`."""
    pieces = [
        _constants(schedule, total_updates, updates_per_epoch),
        _table(sample_values(schedule, total_updates, updates_per_epoch)),
        _decay(schedule),
        "" if schedule.restarts is None else source.RESTARTS,
        _factor(schedule),
        source.LR,
    ]
    return "".join(pieces)


def _origin(schedule: Schedule, updates_per_epoch: int | None, provenance: Mapping[str, Any]) -> str:
    """Comment lines; every text is JSON with escapes, so that none can end its line and become code."""
    facts = {**_plain(provenance), "schedule": schedule.to_dict(), "updates_per_epoch": updates_per_epoch}
    lines = [f"#   {json.dumps(key)[1:-1]}: {json.dumps(value)}" for key, value in facts.items()]
    return "\n".join(["# Where it comes from:", *lines]) + "\n"


def _constants(schedule: Schedule, total_updates: int, updates_per_epoch: int | None) -> str:
    values: dict[str, Any] = {"TOTAL_UPDATES": total_updates, "BASE_LR": float(schedule.base_lr)}
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
        values["UPDATES_PER_STEP"] = _updates_per_step(schedule, updates_per_epoch)
    lines = [f"{name} = {value!r}{source.COMMENTS.get(name, '')}" for name, value in values.items()]
    return "\n" + "\n".join(lines) + "\n"


def _updates_per_step(schedule: Schedule, updates_per_epoch: int | None) -> int:
    every = updates_per_epoch if schedule.step_every == "epoch" else schedule.step_every
    return int(every or 1)


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
