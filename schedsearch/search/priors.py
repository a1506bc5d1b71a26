"""What earlier tasks taught about the model's hyperparameters, read from `priors.json` beside this file.

A length scale says over how many decades of a feature the loss changes; features with a long one hardly matter. Every
prior is log-normal: its median, and the factor by which one standard deviation spreads it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from math import log
from pathlib import Path

from schedsearch.schedule import FEATURE_NAMES

PRIORS_FILE = Path(__file__).with_name("priors.json")
UNKNOWN_FEATURE_DECADES = 5.0


@dataclass(frozen=True)
class LogNormal:
    """A positive quantity of this median; a factor `spread` up or down is one standard deviation."""

    median: float
    spread: float

    @property
    def location(self) -> float:
        return log(self.median)

    @property
    def scale(self) -> float:
        return log(self.spread)


@dataclass(frozen=True)
class Priors:
    """Priors of one length scale a feature (decades), of the output scale and of the noise variance (latent units)."""

    lengthscales: tuple[LogNormal, ...]
    outputscale: LogNormal
    noise: LogNormal


@lru_cache(maxsize=1)
def learned_priors() -> Priors:
    """The committed priors, in the order of FEATURE_NAMES."""
    values = json.loads(PRIORS_FILE.read_text(encoding="utf-8"))
    medians, spread = values["lengthscale_decades"], values["lengthscale_spread"]
    return Priors(
        tuple(LogNormal(medians.get(name, UNKNOWN_FEATURE_DECADES), spread) for name in FEATURE_NAMES),
        LogNormal(**values["outputscale"]),
        LogNormal(**values["noise"]),
    )
