"""Logged runs of every problem: random candidates of all arms and their losses, to compare descriptions and priors on.

    python benchmarks/logs.py            # what is missing is trained; a few minutes a problem

A log holds losses only: the candidates are drawn again from the same random numbers.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from problems import names, problem

from schedsearch.space import load_space

Array = NDArray[np.float64]

LOGS = Path(__file__).with_name("results") / "logs"
EACH = 28  # candidates an arm
DRAW_SEED, TRAIN_SEED, OTHER_SEED = 5, 500, 501


@dataclass(frozen=True, eq=False)
class Log:
    """Curves (N, T); losses (N,) of one training seed, NaN where diverged; again: those of another seed for the best
    quarter, NaN elsewhere."""

    name: str
    lrs: Array
    losses: Array
    again: Array

    @property
    def best_quarter(self) -> NDArray[np.intp]:
        """Indices of the candidates whose mean loss over the seeds known is in the best quarter."""
        return np.flatnonzero(np.isfinite(self.again))


@lru_cache(maxsize=16)
def candidates(name: str) -> Array:
    """The curves of a log, (28 * EACH, T)."""
    one = problem(name)
    space = load_space("framework").with_base_lr(*one.base_lr)
    rng = np.random.default_rng(DRAW_SEED)
    params = [space.draw(rng, arm) for _ in range(EACH) for arm in space.arms]
    return np.stack([space.schedule(some).lrs(one.total_updates) for some in params])


def read_log(name: str) -> Log:
    """The log of this problem. Raises FileNotFoundError before it was made."""
    values = json.loads((LOGS / f"{name}.json").read_text())
    arrays = [np.array([np.nan if one is None else one for one in values[key]]) for key in ("losses", "again")]
    return Log(name, candidates(name), *arrays)


def make_log(name: str) -> None:
    """Train every candidate with one seed and the best quarter with another."""
    one, lrs = problem(name), candidates(name)
    losses = one.score(lrs, [TRAIN_SEED] * len(lrs))
    best = np.argsort(np.nan_to_num(losses, nan=np.inf))[: len(lrs) // 4]
    again = np.full(len(lrs), np.nan)
    again[best] = one.score(lrs[best], [OTHER_SEED] * len(best))
    LOGS.mkdir(parents=True, exist_ok=True)
    content = {"losses": _plain(losses), "again": _plain(again)}
    (LOGS / f"{name}.json").write_text(json.dumps(content) + "\n")


def _plain(values: Array) -> list[float | None]:
    return [float(f"{value:.5g}") if np.isfinite(value) else None for value in values]


if __name__ == "__main__":
    for which in sys.argv[1:] or names():
        if not (LOGS / f"{which}.json").exists():
            make_log(which)
        print(which, flush=True)
