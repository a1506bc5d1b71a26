"""The slow plain reference: one update at a time, with Python's own numbers, straight from the definition."""

from math import ceil, cos, floor, pi, sqrt

from scipy.interpolate import PchipInterpolator

TINY = 1e-12


def factors(schedule: dict, total_updates: int, updates_per_epoch: int) -> list[float]:
    """factor(t) for t = 0 .. T-1 of a serialized schedule."""
    every = updates_per_epoch if schedule["step_every"] == "epoch" else schedule["step_every"]
    return [_factor(schedule, t // every, ceil(total_updates / every)) for t in range(total_updates)]


def _factor(schedule: dict, t: int, steps: int) -> float:
    warmup = schedule["warmup"]
    warm = max(1, round(warmup["fraction"] * steps)) if warmup else 0
    if t < warm:
        return _climb(warmup, t / warm)
    i, decay_steps = t - warm, steps - warm
    if not schedule["restarts"]:
        return _decay(schedule["decay"], i / decay_steps)
    cycle, start, end = _cycle(schedule["restarts"], i, decay_steps)
    return schedule["restarts"]["peak_decay"] ** cycle * _decay(schedule["decay"], (i - start) / (end - start))


def _cycle(restarts: dict, i: int, steps: int) -> tuple[int, int, int]:
    weights = [restarts["growth"] ** cycle for cycle in range(restarts["cycles"])]
    start = 0
    for cycle in range(restarts["cycles"]):
        end = round(sum(weights[: cycle + 1]) / sum(weights) * steps)
        if i < end:
            return cycle, start, end
        start = end
    raise AssertionError("the last cycle ends at the horizon")


def _climb(warmup: dict, v: float) -> float:
    s = warmup["start_factor"]
    return {
        "linear": s + (1 - s) * v,
        "cosine": s + (1 - s) * (1 - cos(pi * v)) / 2,
        "exponential": s ** (1 - v),
    }[warmup["kind"]]


def _decay(decay: dict, z: float) -> float:  # noqa: C901, PLR0911  # one case a family is the clearest form
    r = decay.get("final_factor", 0.0)
    match decay["kind"]:
        case "constant":
            return 1.0
        case "step":
            return decay["gamma"] ** floor(z * (decay["drops"] + 1) + TINY)
        case "multistep":
            return decay["gamma"] ** sum(m <= z + TINY for m in decay["milestones"])
        case "exponential":
            return r**z
        case "cosine":
            return r + (1 - r) * ((1 + cos(pi * z)) / 2) ** decay["power"]
        case "linear":
            return 1 - (1 - r) * z
        case "polynomial":
            return r + (1 - r) * (1 - z) ** decay["power"]
        case "rex":
            return r + (1 - r) * (1 - z) / (1 - (1 - decay["beta"]) * z)
        case "wsd":
            return r + (1 - r) * _cooled(decay, z)
        case "inverse_sqrt":
            return sqrt(decay["timescale"] / (decay["timescale"] + z))
        case "spline":
            heights = [1.0, decay["y1"], decay["y2"], r]
            return float(PchipInterpolator([0.0, decay["x1"], decay["x2"], 1.0], heights)(z))
    raise AssertionError(decay["kind"])


def _cooled(decay: dict, z: float) -> float:
    u = (z - (1 - decay["cooldown"])) / decay["cooldown"]
    if u < TINY:
        return 1.0
    return {"linear": 1 - u, "sqrt": 1 - sqrt(u), "cosine": (1 + cos(pi * u)) / 2}[decay["shape"]]
