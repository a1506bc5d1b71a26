"""The pieces of the formula of an exported schedule, as Python text that needs nothing but `math`.

Formulas are those of `schedsearch.schedule`, in the same order of operations; a test holds every combination against
`Schedule.lrs` to the last digits.
"""

from __future__ import annotations

TRANSFER = """Another horizon: warm-up and decay are fractions of it and stretch, but the best decay may be another
one. The base LR belongs to the optimizer, weight decay and batch size that it was found with: tune it again when they
change.
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


def check_values() -> None:
    """Raise ValueError unless `lr` gives the learning rates that were trained."""
    for t, trained in TEST_VALUES:
        if not math.isclose(lr(t), trained, rel_tol=1e-9, abs_tol=1e-12 * BASE_LR):
            raise ValueError(f"Update {t} was trained at {trained}, but this file gives {lr(t)}.")
'''
