"""The pieces of an exported schedule, as Python text, for PyTorch and for plain Python.

Formulas are those of `schedsearch.schedule`, in the same order of operations; a test holds every combination against
`Schedule.lrs` to the last digits.
"""

from __future__ import annotations

TRANSFER = """Another horizon: warm-up and decay are fractions of it and stretch, but the best decay may be another
one. The base LR belongs to the optimizer, weight decay and batch size that it was found with: tune it again when they
change.
"""

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

PYTHON_HEAD = '''"""{title}

Found for {total_updates} optimizer updates; it stretches to any other number. Needs nothing but Python:

    for t in range(total_updates):           # optimizer updates, not epochs
        learning_rate = lr(t, total_updates)
        ...

Run this file to check it against the learning rates that were trained.

{transfer}"""

'''

PYTHON_IMPORTS = """
import math
"""

IMPORTS = """
import math

import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler
"""

COMMENTS = {
    "TOTAL_UPDATES": "  # the warm-up included",
    "FINAL_FACTOR": "  # where the decay ends, as a ratio of the base LR",
    "UPDATES_PER_STEP": "  # the learning rate is held for so many updates at a time",
    "GROWTH": "  # each cycle is this many times longer than the one before",
    "PEAK_DECAY": "  # each cycle's peak is this ratio of the one before",
}

DECAY = '''

def decay(z: float) -> float:
    """How much of the base learning rate is left at progress z of the decay (of its cycle), 0 <= z < 1."""
{body}
'''

DECAY_BODIES = {
    "constant": "return 1.0",
    "step": "return GAMMA ** math.floor(z * (DROPS + 1) + 1e-9)  # 1e-9: a drop is not missed by rounding",
    "multistep": "return GAMMA ** sum(m <= z + 1e-12 for m in MILESTONES)  # 1e-12: not missed by rounding",
    "exponential": "return FINAL_FACTOR**z",
    "cosine": """half_wave = max(0.0, (1 + math.cos(math.pi * z)) / 2)
return FINAL_FACTOR + (1 - FINAL_FACTOR) * half_wave**POWER""",
    "linear": "return 1 - (1 - FINAL_FACTOR) * z",
    "polynomial": "return FINAL_FACTOR + (1 - FINAL_FACTOR) * (1 - z) ** POWER",
    "rex": "return FINAL_FACTOR + (1 - FINAL_FACTOR) * ((1 - z) / (1 - (1 - BETA) * z))",
    "wsd.linear": """u = max(0.0, (z - (1 - COOLDOWN)) / COOLDOWN)  # progress of the cooldown
return 1 - (1 - FINAL_FACTOR) * u""",
    "wsd.sqrt": """u = max(0.0, (z - (1 - COOLDOWN)) / COOLDOWN)  # progress of the cooldown
return 1 - (1 - FINAL_FACTOR) * math.sqrt(u)""",
    "wsd.cosine": """u = max(0.0, (z - (1 - COOLDOWN)) / COOLDOWN)  # progress of the cooldown
return 1 - (1 - FINAL_FACTOR) * ((1 - math.cos(math.pi * u)) / 2)""",
    "inverse_sqrt": "return math.sqrt(TIMESCALE / (TIMESCALE + z))",
    "spline": """i = sum(z >= knot for knot in KNOTS[1:-1])  # a monotone cubic between knots i and i + 1
h = KNOTS[i + 1] - KNOTS[i]
s = (z - KNOTS[i]) / h
return (
    HEIGHTS[i] * (1 + 2 * s) * (1 - s) ** 2
    + h * SLOPES[i] * s * (1 - s) ** 2
    + HEIGHTS[i + 1] * s**2 * (3 - 2 * s)
    - h * SLOPES[i + 1] * s**2 * (1 - s)
)""",
}

RESTARTS = '''

def cycled(t: int, updates: int) -> float:
    """The decay, restarted: `updates` are cut into cycles, the last of which ends with them."""
    weights = [GROWTH**cycle for cycle in range(CYCLES)]
    start = 0
    for cycle in range(CYCLES):
        end = round(sum(weights[: cycle + 1]) / sum(weights) * updates)
        if end == start:
            raise ValueError(f"{updates} updates are too few for {CYCLES} cycles.")
        if t < end:
            return PEAK_DECAY**cycle * decay((t - start) / (end - start))
        start = end
    raise ValueError(f"t must be below {updates}, but is {t} instead.")
'''

FACTOR = '''

def factor(t: int, total_updates: int = TOTAL_UPDATES) -> float:
    """What multiplies the base learning rate at update t = 0 .. total_updates - 1."""
    if not 0 <= t < total_updates:
        raise ValueError(f"t must be in [0, {total_updates}), but is {t} instead.")
'''

HOLD = """    t, total_updates = t // UPDATES_PER_STEP, -(-total_updates // UPDATES_PER_STEP)
"""

WARMUP = """    warmup_updates = max(1, round(WARMUP_FRACTION * total_updates))
    if warmup_updates >= total_updates:
        raise ValueError(f"{{total_updates}} updates are too few: the warm-up leaves none to the decay.")
    if t < warmup_updates:
        v = t / warmup_updates
        return {climb}
    t, total_updates = t - warmup_updates, total_updates - warmup_updates
"""

CLIMBS = {
    "linear": "START_FACTOR + (1 - START_FACTOR) * v",
    "cosine": "START_FACTOR + (1 - START_FACTOR) * ((1 - math.cos(math.pi * v)) / 2)",
    "exponential": "START_FACTOR ** (1 - v)",
}

SINGLE = "    return decay(t / total_updates)\n"
CYCLED = "    return cycled(t, total_updates)\n"

LR = '''

def lr(t: int, total_updates: int = TOTAL_UPDATES) -> float:
    """The learning rate of update t = 0 .. total_updates - 1."""
    return BASE_LR * factor(t, total_updates)
'''

USE = '''

def make_scheduler(optimizer: Optimizer, total_updates: int = TOTAL_UPDATES) -> LRScheduler:
    """A scheduler for `optimizer` over `total_updates` optimizer updates; call its `step()` after each of them."""
    last = total_updates - 1
    factor(last, total_updates)  # refuses a horizon that is too short before anything changes
    reference = float(optimizer.param_groups[0]["lr"])
    for group in optimizer.param_groups:
        group["initial_lr"] = BASE_LR * (float(group["lr"]) / reference if reference else 1.0)
    return LambdaLR(optimizer, lambda t: factor(min(t, last), total_updates))


def check() -> None:
    """Raise ValueError unless this file gives the learning rates that were trained, as a function and in torch."""
    for t, trained in TEST_VALUES:
        if not math.isclose(lr(t), trained, rel_tol=1e-9, abs_tol=1e-12 * BASE_LR):
            raise ValueError(f"Update {t} was trained at {trained}, but this file gives {lr(t)}.")
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = make_scheduler(optimizer)
    for t in range(min(TOTAL_UPDATES, 10_000)):
        if not math.isclose(optimizer.param_groups[0]["lr"], lr(t), rel_tol=1e-9):
            raise ValueError(f"The scheduler is at {scheduler.get_last_lr()} in update {t}, but lr gives {lr(t)}.")
        optimizer.step()
        scheduler.step()


if __name__ == "__main__":
    check()
    print(f"{len(TEST_VALUES)} learning rates of {TOTAL_UPDATES} updates agree; the scheduler follows them.")
'''

PYTHON_USE = '''

def check() -> None:
    """Raise ValueError unless this file gives the learning rates that were trained."""
    for t, trained in TEST_VALUES:
        if not math.isclose(lr(t), trained, rel_tol=1e-9, abs_tol=1e-12 * BASE_LR):
            raise ValueError(f"Update {t} was trained at {trained}, but this file gives {lr(t)}.")


if __name__ == "__main__":
    check()
    print(f"{len(TEST_VALUES)} learning rates of {TOTAL_UPDATES} updates agree.")
'''
