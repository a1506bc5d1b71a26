"""What the curve model's word is worth: whether it ranks schedules better than training them once more would."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt
from statistics import fmean

from schedsearch.evidence.noise import rank_correlation
from schedsearch.evidence.scores import Scores, finite

FEWEST_RANKED = 4
WEAK = 0.5


@dataclass(frozen=True)
class Trust:
    """How the curve model ranks, as Spearman correlations; None: not known.

    left_out: each run by the model of all others. model: the finalists, by what was predicted of them before their
    confirmation; seed: the finalists, by one training run of each. Both against the mean of the other fresh seeds.
    plain_share: the share of the last asks that were plain draws instead of the model's.
    """

    left_out: float | None
    model: float | None
    seed: float | None
    finalists: int
    plain_share: float | None

    @property
    def explains_little(self) -> bool:
        """Whether the search could not lean on the model."""
        return self.left_out is not None and self.left_out < WEAK

    @property
    def sentence(self) -> str:
        """The same for a person; empty where nothing is known."""
        if self.left_out is None:
            return ""
        return " ".join(part for part in (self._left_out(), self._against_a_seed()) if part)

    def _left_out(self) -> str:
        ranks = f"it ranks runs that it has not seen at {self.left_out:.2f} (1 is perfect)"
        if not self.explains_little:
            return f"The curve model explains the search: {ranks}."
        if self.plain_share is not None:
            ranks += f", so that {100 * self.plain_share:.0f} % of asks became plain draws"
        return f"The curve model explains little here: {ranks}."

    def _against_a_seed(self) -> str:
        if self.model is None or self.seed is None:
            return ""
        return (
            f"{self._comparison(self.model - self.seed)}: before their confirmation it ranked the {self.finalists} "
            f"finalists at {self.model:.2f}, one training of each ranks them at {self.seed:.2f}."
        )

    def _comparison(self, lead: float) -> str:
        """In words; a lead within half a standard error of a rank correlation (1 / sqrt(n - 1)) is none."""
        if abs(lead) <= 0.5 / sqrt(max(1, self.finalists - 1)):
            return "It explains the results about as well as a second training would"
        if lead > 0:
            return "It explains the results better than a second training would"
        return "A second training would have explained the results better"


def trust(
    predicted: Mapping[int, float], scores: Scores, *, left_out: float | None, plain_share: float | None = None
) -> Trust:
    """predicted: score by candidate, from a model that had seen no run behind `scores`.

    For every seed s, both rankings are compared with the candidates' means over the other seeds, so that they face the
    same judge; the figures are means over s. Only candidates with a prediction and a score on every seed count.
    """
    seeds = sorted({seed for by_seed in scores.values() for seed in by_seed})
    complete = [one for one in predicted if len(finite(scores.get(one, {}).values())) == len(seeds)]
    if len(complete) < FEWEST_RANKED or len(seeds) < 2:
        return Trust(left_out, None, None, len(complete), plain_share)
    models, trainings = [], []
    for seed in seeds:
        judge = [fmean(finite(score for other, score in scores[one].items() if other != seed)) for one in complete]
        models.append(rank_correlation([predicted[one] for one in complete], judge))
        trainings.append(rank_correlation(finite(scores[one][seed] for one in complete), judge))
    return Trust(left_out, _mean(models), _mean(trainings), len(complete), plain_share)


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None
