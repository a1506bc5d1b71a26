"""A schedule handed over without a framework: as JSON, as CSV, or as plain Python."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from schedsearch.report.exports import source
from schedsearch.report.exports.settings import Curve
from schedsearch.report.exports.text import origin, plain, python_file, sample_values
from schedsearch.schedule import Schedule

FORMAT = "schedsearch.schedule/1"

HEAD = '''"""{title}

Found for {total_updates} optimizer updates; it stretches to any other number. Needs nothing but Python:

    for t in range(total_updates):           # optimizer updates, not epochs
        learning_rate = lr(t, total_updates)
        ...

Run this file to check it against the learning rates that were trained.

{transfer}"""

'''

IMPORTS = """
import math
"""

USE = '''

if __name__ == "__main__":
    check_values()
    print(f"{len(TEST_VALUES)} learning rates of {TOTAL_UPDATES} updates agree.")
'''


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
        "provenance": plain(provenance),
    }
    return json.dumps(values, indent=2, allow_nan=False) + "\n"


def export_python(
    schedule: Schedule, total_updates: int, updates_per_epoch: int | None, provenance: Mapping[str, Any]
) -> str:
    """The text of a Python module with `lr(t, total_updates=T)`, for loops that set the learning rate by hand and for
    frameworks that take a function of the update.

    It imports `math` only, holds nothing but this schedule's own formula, stretches to any horizon, and checks itself
    against a few learning rates of `schedule.lrs` when it is run. A stepping frequency of "epoch" becomes the number of
    updates it means here. Raises InvalidSchedule for an impossible horizon.
    """
    curve = Curve(schedule, total_updates, updates_per_epoch)
    return python_file(curve, provenance, HEAD, IMPORTS, USE)


def export_csv(
    schedule: Schedule, total_updates: int, updates_per_epoch: int | None, provenance: Mapping[str, Any]
) -> str:
    """The learning rate of every update, to the last digit, below comment lines that say where they come from.

    Columns: update (0 .. total_updates - 1), lr. Lines that begin with # are comments (`pandas.read_csv(...,
    comment="#")`). Raises InvalidSchedule for an impossible horizon.
    """
    lrs = schedule.lrs(total_updates, updates_per_epoch).tolist()
    comments = [schedule.describe(), *source.TRANSFER.splitlines()]
    lines = [*(f"# {one}" for one in comments), *origin(schedule, updates_per_epoch, provenance).splitlines()]
    return "\n".join([*lines, "update,lr", *(f"{t},{lr!r}" for t, lr in enumerate(lrs))]) + "\n"
