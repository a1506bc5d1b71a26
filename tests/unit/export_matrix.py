"""The schedules that every exporter is held against, and running what it wrote in a process of its own."""

import subprocess
import sys
from itertools import product
from pathlib import Path

from schedsearch.schedule import (
    Constant,
    Cosine,
    Decay,
    Exponential,
    InverseSqrt,
    Linear,
    MultiStep,
    Polynomial,
    Restarts,
    Rex,
    Schedule,
    Spline,
    Step,
    Warmup,
    Wsd,
)

DECAYS: tuple[Decay, ...] = (
    Constant(),
    Step(3, 0.3),
    MultiStep((0.3, 0.62, 0.9), 0.1),
    Exponential(0.013),
    Cosine(),
    Cosine(0.02, 1.7),
    Linear(),
    Linear(0.07),
    Polynomial(0.01, 2.3),
    Rex(0.0, 0.5),
    Rex(0.03, 4.0),
    Wsd(0.2, "linear"),
    Wsd(0.37, "sqrt", 0.01),
    Wsd(0.8, "cosine", 0.05),
    InverseSqrt(0.04),
    Spline(0.21, 0.7, 0.8, 0.3, 0.02),
    Spline(0.4, 0.5, 0.5, 0.5, 0.0),
)
WARMUPS = (None, Warmup("linear", 0.05, 0.01), Warmup("cosine", 0.1, 0.2), Warmup("exponential", 0.033, 0.003))
RESTARTS = (None, Restarts(3), Restarts(4, 1.5, 0.6))
STEP_EVERY = (1, 7, "epoch")
UPDATES_PER_EPOCH = 12


def run_alone(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-I", "-W", "error", *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def every_combination() -> list[Schedule]:
    return [Schedule(0.0321, *parts) for parts in product(DECAYS, WARMUPS, RESTARTS, STEP_EVERY)]
