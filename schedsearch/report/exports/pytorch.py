"""A schedule handed over as a PyTorch scheduler: torch's own classes where they are equal, else its closed form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from schedsearch.report.exports.settings import Curve, fractions
from schedsearch.report.exports.text import python_file
from schedsearch.report.exports.torch_pieces import milestones, torch_pieces
from schedsearch.schedule import Schedule

HEAD = '''"""{title}

Found for {total_updates} optimizer updates; it stretches to any other number. Needs PyTorch only:

    scheduler = make_scheduler(optimizer)    # once, before the first update
    for batch in batches:
        ...
        optimizer.step()
        scheduler.step()                     # after every optimizer update, not after every epoch

The first parameter group trains at `lr(t)`, whatever learning rate the optimizer was made with; the other groups keep
their ratio to it. Past the last update the last value is held. To resume, make the scheduler again and load the state
dicts of both the optimizer and the scheduler. Run this file to check it against the learning rates that were trained.

{transfer}"""

'''

IMPORTS = """
import math

import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import {classes}
"""

MAKE = '''

def make_scheduler(optimizer: Optimizer, total_updates: int = TOTAL_UPDATES) -> LRScheduler:
    """A scheduler for `optimizer` over `total_updates` optimizer updates; call its `step()` after each of them."""
    last = total_updates - 1
    factor(last, total_updates)  # refuses a horizon that is too short before anything changes
    reference = float(optimizer.param_groups[0]["lr"])
    for group in optimizer.param_groups:
        group["initial_lr"] = BASE_LR * (float(group["lr"]) / reference if reference else 1.0)
'''

NATIVE = """    {fractions}
    if {condition}:
        return SequentialLR(
            optimizer,
            [
{pieces}
            ],
            milestones={milestones},
        )  # the same as below in torch's own classes; the last one holds the last value
"""

ONE_LR = ' and len({group["initial_lr"] for group in optimizer.param_groups}) == 1'
ONE_MINIMUM = "\n    # eta_min is one LR for all parameter groups: groups of different LRs take the closed form."

CLOSED = """    return LambdaLR(optimizer, lambda t: factor(min(t, last), total_updates))
"""

CHECK = '''

def check() -> None:
    """Raise ValueError unless this file gives the learning rates that were trained, as a function and in torch."""
    check_values()
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = make_scheduler(optimizer)
    for t in range(min(TOTAL_UPDATES, 10_000)):
        if not math.isclose(optimizer.param_groups[0]["lr"], lr(t), rel_tol=1e-9, abs_tol=1e-12 * BASE_LR):
            raise ValueError(f"The scheduler is at {scheduler.get_last_lr()} in update {t}, but lr gives {lr(t)}.")
        optimizer.step()
        scheduler.step()
'''

MAIN = """

if __name__ == "__main__":
    check()
    print(f"{len(TEST_VALUES)} learning rates of {TOTAL_UPDATES} updates agree; the scheduler follows them.")
"""


def export_torch(
    schedule: Schedule, total_updates: int, updates_per_epoch: int | None, provenance: Mapping[str, Any]
) -> str:
    """The text of a Python module with `make_scheduler(optimizer, total_updates=T)` and `lr(t, total_updates=T)`.

    It imports torch only, holds nothing but this schedule's own formula, stretches to any horizon, and checks itself
    against a few learning rates of `schedule.lrs` when it is run. At this horizon `make_scheduler` gives torch's own
    schedulers where they equal the schedule up to rounding, else, and at any other horizon, LambdaLR. A stepping
    frequency of "epoch" becomes the number of updates it means here. Raises InvalidSchedule for an impossible horizon.
    """
    curve = Curve(schedule, total_updates, updates_per_epoch)
    imports, make = scheduler_text(curve)
    return python_file(curve, provenance, HEAD, imports, "".join([make, CHECK, MAIN]))


def scheduler_text(curve: Curve) -> tuple[str, str]:
    """The imports and the text of `make_scheduler`."""
    pieces = torch_pieces(curve)
    if pieces is None:
        return IMPORTS.format(classes="LambdaLR, LRScheduler"), MAKE + CLOSED
    names = {one.name for one in pieces} | {"LambdaLR", "LRScheduler", "SequentialLR"}
    is_absolute = any("eta_min" in one.arguments for one in pieces)
    native = NATIVE.format(
        fractions=fractions(curve).replace("\n", "\n    ") + (ONE_MINIMUM if is_absolute else ""),
        condition="total_updates == TOTAL_UPDATES" + (ONE_LR if is_absolute else ""),
        pieces="\n".join(f"                {one.call('optimizer')}," for one in pieces),
        milestones=milestones(pieces),
    )
    classes = "(\n" + "".join(f"    {name},\n" for name in sorted(names, key=str.lower)) + ")"
    return IMPORTS.format(classes=classes), "".join([MAKE, native, CLOSED])
