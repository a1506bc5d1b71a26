"""When a run is beyond recovery. Conservative: a spike that comes back is not a divergence."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

FAR_ABOVE = 10.0
SHARE_OF_HORIZON = 0.25
SHORTEST_STRETCH = 20


@dataclass(frozen=True)
class Divergence:
    """The update (from 0) it happened at, and why, in one sentence."""

    update: int
    reason: str


class DivergenceWatch:
    """Reads the training losses one after another, update 0 first.

    A run has diverged when a loss is not finite, or when every loss of a stretch of a quarter of the horizon (at least
    20 updates) lay more than 10 times the starting level above zero; then the stretch's first update is named. A start
    of 0 or below has no such level, and only losses that are not finite count.
    """

    def __init__(self, total_updates: int) -> None:
        self.initial_loss: float | None = None
        self._stretch = max(SHORTEST_STRETCH, round(SHARE_OF_HORIZON * total_updates))
        self._update = 0
        self._above = 0

    def see(self, loss: float) -> Divergence | None:
        """The loss of the next update; what it shows."""
        update, self._update = self._update, self._update + 1
        if not math.isfinite(loss):
            return Divergence(update, f"The training loss was {loss} at update {update}.")
        if self.initial_loss is None:
            self.initial_loss = loss
        far = 0 < FAR_ABOVE * self.initial_loss < loss
        self._above = self._above + 1 if far else 0
        if self._above < self._stretch:
            return None
        first = update - self._above + 1
        return Divergence(
            first,
            f"From update {first} the training loss stayed above {FAR_ABOVE:g} times its start of "
            f"{self.initial_loss:.4g} for {self._above} updates.",
        )

    def state(self) -> dict[str, Any]:
        """What it remembers, as plain values."""
        return {"initial_loss": self.initial_loss, "update": self._update, "above": self._above}

    def load(self, state: Mapping[str, Any]) -> None:
        """Remember what another watch of the same horizon did."""
        self.initial_loss, self._update, self._above = state["initial_loss"], state["update"], state["above"]
