"""Which description of a learning-rate curve teaches most? Other features on the logged runs of the problems.

    python benchmarks/logs.py && python benchmarks/descriptions.py

For each problem n random runs (one seed each) fit a Gaussian process, whose predictions of all other candidates are
ranked against their loss: Spearman inside the true best quarter. All descriptions get the same plain priors, so that
none has learned from these problems. Writes benchmarks/results/descriptions.md.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from logs import Log, read_log
from machine import about_machine
from numpy.typing import NDArray
from problems import names
from scipy.stats import spearmanr
from shared_gp import Runs, fit, wide_priors

from schedsearch.schedule import FEATURE_NAMES, describe_curves
from schedsearch.search.gp import Posterior
from schedsearch.search.values import ValueScale

Array = NDArray[np.float64]
Describe = Callable[[Array], Array]

SIZES = (12, 24, 48)
REPEATS = 12
RESULT = Path(__file__).with_name("results") / "descriptions.md"
FLOOR = 1e-8


def house(lrs: Array) -> Array:
    """The description of `schedsearch.schedule`."""
    return describe_curves(list(lrs))


def features(*which: str) -> Describe:
    """Some features of the house."""
    columns = [FEATURE_NAMES.index(name) for name in which]
    return lambda lrs: house(lrs)[:, columns]


def also(*more: Describe, base: Describe = house) -> Describe:
    """The features of `base` and others."""
    return lambda lrs: np.hstack([base(lrs), *(one(lrs) for one in more)])


def _log(values: Array, lrs: Array) -> Array:
    return np.log10(np.maximum(values, FLOOR * lrs.max(axis=1)))[:, None]


def start_of(fraction: float) -> Describe:
    """Mean LR of the first share of the updates."""
    return lambda lrs: _log(lrs[:, : max(1, round(fraction * lrs.shape[1]))].mean(axis=1), lrs)


def end_of(fraction: float) -> Describe:
    """Mean LR of the last share of the updates: a memory in plain time, as Adam's second moment has it."""
    return lambda lrs: _log(lrs[:, -max(1, round(fraction * lrs.shape[1])) :].mean(axis=1), lrs)


def travelled(lrs: Array) -> Array:
    """The sum of LR until the largest one: the warm-up's length in intrinsic time."""
    before = np.cumsum(lrs, axis=1)[np.arange(len(lrs)), lrs.argmax(axis=1)]
    return _log(before, lrs)


def roughness(lrs: Array) -> Array:
    """The sum of all rises of the LR."""
    return _log(np.maximum(np.diff(lrs, axis=1), 0).sum(axis=1) + 0.01 * lrs.max(axis=1), lrs)


def arrival(k: int) -> Describe:
    """The LR as the start of training meets it, in intrinsic time. tau = S / k."""

    def describe(lrs: Array) -> Array:
        passed = np.cumsum(lrs, axis=1) - lrs
        weights = np.exp(-k * passed / lrs.sum(axis=1, keepdims=True))
        return _log((weights * lrs * lrs).sum(axis=1) / (weights * lrs).sum(axis=1), lrs)

    return describe


def memory(k: int) -> Describe:
    """The LR as the end of training remembers it, in intrinsic time. tau = S / k."""
    backwards = arrival(k)
    return lambda lrs: backwards(lrs[:, ::-1])


def clock_memory(k: int) -> Describe:
    """The memory features in plain time: weights exp(-k (T - 1 - t) / T) on lr."""

    def describe(lrs: Array) -> Array:
        t = np.arange(lrs.shape[1])
        weights = np.exp(-k * (len(t) - 1 - t) / len(t))
        return _log(lrs @ weights / weights.sum(), lrs)

    return describe


def segments(count: int) -> Describe:
    """Log-means over equal segments of time."""

    def describe(lrs: Array) -> Array:
        parts = np.array_split(lrs, count, axis=1)
        return np.hstack([_log(part.mean(axis=1), lrs) for part in parts])

    return describe


SUM, TOP = "log_sum", "log_max"
LONG = (2, 4, 8, 16, 32, 64, 128)
START = also(start_of(0.02), base=features(SUM, TOP))
BOTH = features(SUM, TOP)


def first(*more: Describe, base: Describe = START) -> Describe:
    """Sum, largest LR, mean LR of the first 2 % (or another base), then these."""
    return also(*more, base=base)


def memories(*ks: int) -> list[Describe]:
    return [memory(k) for k in ks]


def arrivals(*ks: int) -> list[Describe]:
    return [arrival(k) for k in ks]


DESCRIPTIONS: dict[str, Describe] = {
    "house (10): sum, max, arrival 4, 16, 64, memory 2 .. 32": house,
    "former (10): sum, max, start 2 %, memory 2 .. 128": first(*memories(*LONG)),
    "former, memory to 32 (8)": first(*memories(*LONG[:5])),
    "former, memory to 16 (7)": first(*memories(*LONG[:4])),
    "former, memory 2, 8, 32 (6)": first(*memories(2, 8, 32)),
    "former + start 8 % (11)": first(*memories(*LONG), start_of(0.08)),
    "former + start 0.5 % and 8 % (12)": first(*memories(*LONG), start_of(0.005), start_of(0.08)),
    "former + warm-up travel (11)": first(*memories(*LONG), travelled),
    "former + roughness (11)": first(*memories(*LONG), roughness),
    "former + plain-time memory 1 % and 5 % (12)": first(*memories(*LONG), end_of(0.01), end_of(0.05)),
    "former, plain-time memories instead (10)": first(*(clock_memory(k) for k in LONG)),
    "former + arrival 4, 16, 64 (13)": first(*memories(*LONG), *arrivals(4, 16, 64)),
    "sum, max, arrival 4, 16, 64, memory 2 .. 128 (12)": first(*arrivals(4, 16, 64), *memories(*LONG), base=BOTH),
    "sum, max, arrival 2 .. 128, memory 2 .. 128 (16)": first(*arrivals(*LONG), *memories(*LONG), base=BOTH),
    "sum, max, arrival 8, 64, memory 2 .. 32 (9)": first(*arrivals(8, 64), *memories(*LONG[:5]), base=BOTH),
    "sum, max, arrival 4, 16, 64, memory 2, 8, 32 (8)": first(*arrivals(4, 16, 64), *memories(2, 8, 32), base=BOTH),
    "house + roughness (11)": also(roughness),
    "12 segment means (12)": segments(12),
}


def agreement(log: Log, x: Array, n: int, seed: int) -> float:
    """Spearman inside the best quarter of what n random runs predict."""
    rng = np.random.default_rng([seed, n])
    some = rng.choice(len(x), n, replace=False)
    values = [None if np.isnan(one) else float(one) for one in log.losses[some]]
    runs = Runs(x[some], ValueScale.of(values, "minimize").to_latent(values))
    hyper = fit([runs], wide_priors(x.shape[1]))[0]
    others = np.setdiff1d(log.best_quarter, some)
    truth = log.losses[others] + log.again[others]
    return float(spearmanr(Posterior(runs.x, runs.y, hyper).mean(x[others]), truth).statistic)


def table(problems: list[str]) -> dict[str, dict[str, list[float]]]:
    """Mean agreement by description and problem, one number a size."""
    found: dict[str, dict[str, list[float]]] = {}
    for title, describe in DESCRIPTIONS.items():
        found[title] = {}
        for name in problems:
            log = read_log(name)
            x = describe(log.lrs)
            found[title][name] = [
                float(np.nanmean([agreement(log, x, n, seed) for seed in range(REPEATS)])) for n in SIZES
            ]
        everywhere = np.mean(list(found[title].values()), axis=0)
        print(f"{title:60s}", " ".join(f"{one:.3f}" for one in everywhere), flush=True)
    return found


def write(found: dict[str, dict[str, list[float]]], problems: list[str]) -> None:
    sizes = " / ".join(str(n) for n in SIZES)
    lines = [
        "# Descriptions of a curve, compared",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}. {about_machine()}",
        "",
        f"Spearman inside the best quarter of {len(read_log(problems[0]).lrs)} random candidates, after {sizes} random",
        f"runs (mean of {REPEATS} draws; plain priors for all, so none has learned from these problems).",
        "Made by `python benchmarks/descriptions.py`. The house description was chosen on A, B, C, digits, mnist1d-mlp",
        "and chars; mnist1d-conv and mnist5k were held out. Features: `schedsearch/schedule/description.py`.",
        "",
        "| description (features) | mean | " + " | ".join(problems) + " |",
        "|---|---|" + "---|" * len(problems),
    ]
    order = sorted(found, key=lambda title: -np.mean([found[title][name] for name in problems]))
    for title in order:
        everywhere = np.mean([found[title][name] for name in problems], axis=0)
        cells = [_cell(everywhere), *(_cell(found[title][name]) for name in problems)]
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    RESULT.write_text("\n".join(lines) + "\n")


def _cell(values: object) -> str:
    return " / ".join(f"{one:.2f}".replace("0.", ".") for one in np.asarray(values))


if __name__ == "__main__":
    chosen = sys.argv[1:] or names()
    write(table(chosen), chosen)
