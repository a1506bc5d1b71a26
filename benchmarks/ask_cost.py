"""What an ask costs, refits included, as the history grows: seconds for one candidate, asked in the service's batches.

    python benchmarks/ask_cost.py

A study of n finished candidates on a quadratic is continued: the sampler is new (as in a process that just started),
asks `BATCHES` batches and is told their results. Amortised: all seconds divided by all candidates, refits that fall due
included. Then the two fitters of the model are timed on the same runs, and importing each in a new process. Writes
benchmarks/results/ask_cost.md.
"""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from machine import about_machine
from problems import Problem, problem
from search import space_of

from schedsearch.schedule import describe_curves
from schedsearch.search.fit_with_scipy import density
from schedsearch.search.gp import Fitter, fit_hyperparameters
from schedsearch.search.model import latent
from schedsearch.search.priors import learned_priors
from schedsearch.search.sampler import CurveSampler
from schedsearch.space import SearchSpace

SIZES = (24, 100, 500, 5000)
BATCHES = 4
RUNS_PER_BATCHED_ASK = 8
LARGEST_BATCH = 64
FITTED_SIZES = (8, 24, 96, 192)
FITTERS: tuple[Fitter, ...] = ("botorch", "scipy")
FITS = 3
RESULT = Path(__file__).with_name("results") / "ask_cost.md"


@dataclass(frozen=True)
class Cost:
    """ready_s: the first ask of a new process (reading and describing the history, one fit). ask_s: one candidate."""

    n: int
    batch: int
    ready_s: float
    ask_s: float


def finished_study(one: Problem, space: SearchSpace, n: int) -> optuna.Study:
    """A study of n random candidates with their losses."""
    rng = np.random.default_rng(0)
    params = [space.draw(rng) for _ in range(n)]
    losses = one.score(np.stack([space.schedule(some).lrs(one.total_updates) for some in params]), [0] * n)
    study = optuna.create_study()
    study.add_trials([_trial(space, some, loss) for some, loss in zip(params, losses, strict=True)])
    return study


def _trial(space: SearchSpace, params: dict[str, Any], loss: float) -> optuna.trial.FrozenTrial:
    fixed = optuna.trial.FixedTrial(params)
    space.build(fixed)
    finite = bool(np.isfinite(loss))
    return optuna.trial.create_trial(
        params=params,
        distributions=fixed.distributions,
        value=float(loss) if finite else 2.0,
        user_attrs={} if finite else {"diverged": True},
    )


def measure(n: int) -> Cost:
    one = problem("A")
    space = space_of(one)
    study = finished_study(one, space, n)
    sampler = CurveSampler(space, one.total_updates, seed=1)
    study.sampler = sampler
    start = time.perf_counter()
    _ask_and_tell(study, sampler, one, space, 1)
    ready = time.perf_counter() - start
    batch = min(LARGEST_BATCH, n // RUNS_PER_BATCHED_ASK)
    spent = sum(_ask_and_tell(study, sampler, one, space, batch) for _ in range(BATCHES))
    return Cost(n, batch, ready, spent / (BATCHES * batch))


def _ask_and_tell(study: optuna.Study, sampler: CurveSampler, one: Problem, space: SearchSpace, count: int) -> float:
    """Seconds of the asks."""
    start = time.perf_counter()
    sampler.plan_batch(study, count)
    trials = [study.ask() for _ in range(count)]
    schedules = [space.build(trial) for trial in trials]
    spent = time.perf_counter() - start
    losses = one.score(np.stack([schedule.lrs(one.total_updates) for schedule in schedules]), [0] * count)
    for trial, loss in zip(trials, losses, strict=True):
        study.tell(trial, float(np.nan_to_num(loss, nan=2.0)))
    return spent


def fitted(n: int, fitter: Fitter) -> tuple[float, float]:
    """Seconds of a fit of n runs, and the log density that it found (higher is better)."""
    one = problem("A")
    space, rng = space_of(one), np.random.default_rng(0)
    curves = [space.schedule(space.draw(rng)).lrs(one.total_updates) for _ in range(n)]
    losses = one.score(np.stack(curves), [0] * n)
    values = [float(loss) if np.isfinite(loss) else None for loss in losses]
    data, _ = latent(describe_curves(curves), values, [""] * n, "minimize", "cut")
    times = []
    for _ in range(FITS):
        start = time.perf_counter()
        hyper = fit_hyperparameters(data.apart, data.y, fitter=fitter)
        times.append(time.perf_counter() - start)
    return min(times), density(data.apart, data.y, hyper, learned_priors())


def imported(fitter: str) -> float:
    """Seconds that a new process takes to import this fitter, beyond what the model needs anyway."""
    code = (
        "import time, schedsearch.search.gp; start = time.perf_counter(); "
        f"import schedsearch.search.fit_with_{fitter}; print(time.perf_counter() - start)"
    )
    command = [sys.executable, "-c", code]
    return min(float(subprocess.run(command, check=True, capture_output=True).stdout) for _ in range(FITS))


def fitters() -> list[str]:
    """The second table."""
    seconds = {fitter: imported(fitter) for fitter in FITTERS}
    lines = [
        "",
        "The model's hyperparameters are fitted by BoTorch or by scipy on the closed-form gradient, both to the same",
        f"density (higher is better). Importing takes {seconds['botorch']:.1f} s (BoTorch, torch included) and",
        f"{seconds['scipy']:.1f} s (scipy). A study whose runs take less than 10 s is fitted by scipy.",
        "",
        "| runs | BoTorch | density a run | scipy | density a run |",
        "|---|---|---|---|---|",
    ]
    for n in FITTED_SIZES:
        found = [fitted(n, fitter) for fitter in FITTERS]
        lines.append(f"| {n} | " + " | ".join(f"{1000 * s:.0f} ms | {value:.4f}" for s, value in found) + " |")
    return lines


def main() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    measure(SIZES[0])  # imports torch and BoTorch
    lines = [
        "# What an ask costs",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}. {about_machine()} One thread; other work ran on the machine.",
        "",
        "A new process asks once (reads and describes the history, fits), then in the service's batches of n / 8",
        f"(at most {LARGEST_BATCH}). Amortised over {BATCHES} batches, refits included. Beyond 500 runs the model",
        "holds the best 250 and an even selection of the others; hyperparameters are fitted to 192 of the runs.",
        "",
        "| finished candidates | batch | first ask of a process | one candidate, amortised |",
        "|---|---|---|---|",
    ]
    for n in SIZES:
        cost = measure(n)
        print(cost, flush=True)
        lines.append(f"| {n} | {cost.batch} | {1000 * cost.ready_s:.0f} ms | {1000 * cost.ask_s:.0f} ms |")
    RESULT.write_text("\n".join([*lines, *fitters()]) + "\n")


if __name__ == "__main__":
    main()
