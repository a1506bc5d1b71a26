"""How small a difference a confirmation can tell apart, and how many seeds a wanted one takes.

Two schedules are told apart where the 95 % interval of their difference leaves out 0. Its half width is

    t(.975, df) sd sqrt(2 (1 - correlation) / n),   df = n - 1 where pairs of seeds are used, else 2 n - 2

with the noise sd of a run, n seeds each and the correlation that pairing is worth (0 where it is not used).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

from schedsearch.errors import InvalidInput
from schedsearch.evidence.distributions import student_quantile

FEWEST_SEEDS = 6  # with fewer pairs no sign-flip test ever reaches p < .05
MOST_SEEDS = 1000
LEVEL = 0.95
NEARLY = 1.05


def half_width(sd: float, seeds: int, correlation: float | None = None) -> float:
    """Half of the width of the 95 % interval of a difference, in the units of the noise sd, with that many seeds each.

    correlation: of two schedules on the same seed, where pairs are used; None or 0 and below: they are not.
    """
    paired = correlation is not None and correlation > 0
    spread = sd * sqrt(2 * (1 - min(correlation or 0.0, 1.0)) / seeds) if paired else sd * sqrt(2 / seeds)
    return student_quantile(seeds - 1 if paired else 2 * seeds - 2, (1 + LEVEL) / 2) * spread


def seeds_needed(sd: float, resolution: float, correlation: float | None = None, *, fewest: int = FEWEST_SEEDS) -> int:
    """The fewest seeds a candidate with which `half_width` is at most `resolution`.

    At least `fewest`, at most MOST_SEEDS. Raises InvalidInput unless resolution > 0.
    """
    if not resolution > 0:
        raise InvalidInput(f"`resolution` must be greater than 0, but is {resolution} instead.")
    counts = range(fewest, MOST_SEEDS)
    return next((n for n in counts if half_width(sd, n, correlation) <= resolution), MOST_SEEDS)


@dataclass(frozen=True)
class Resolution:
    """What a confirmation of `seeds` seeds a finalist can tell apart, in the score's units. sd: the noise of one run
    among the finalists; correlation: what pairing is worth, None where it was not used. asked: by the user, or None."""

    seeds: int
    sd: float
    correlation: float | None
    asked: float | None = None

    @property
    def reached(self) -> float:
        """The smallest difference that would have shown."""
        return half_width(self.sd, self.seeds, self.correlation)

    @property
    def missed(self) -> bool:
        """Whether more was asked for than was reached."""
        return self.asked is not None and self.reached > NEARLY * self.asked

    @property
    def sentence(self) -> str:
        """What a reader can rule out, and what more would take; empty where seeds do not scatter."""
        if not self.sd > 0:
            return ""
        finer = self.asked if self.asked is not None and self.missed else self.reached / 2
        needed = seeds_needed(self.sd, finer, self.correlation)
        short = f", not {self.asked:.2g} as asked" if self.asked is not None and self.missed else ""
        most = " or more" if needed == MOST_SEEDS else ""
        return (
            f"With {self.seeds} seeds a finalist, differences of about {self.reached:.2g} show{short}; "
            f"{finer:.2g} takes about {needed}{most} (`--resolution {finer:.2g}`)."
        )
