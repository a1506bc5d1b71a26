"""The sign-flip permutation test of paired differences: a p-value that assumes no distribution of the scores.

If two schedules were equally good, each seed's difference would be as likely with its sign turned round. The p-value is
the share of all such turns whose mean is at least as far from 0 (Fisher 1935). With n pairs there are 2^n turns, so no
result on n seeds goes below 2^(1 - n): 0.0625 with 5, 0.031 with 6. `scipy.stats.permutation_test` finds the same (a
test compares them), but importing scipy.stats takes a third of a second.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

MOST_EXACT = 15  # pairs; beyond, as many random turns
CLOSE = 1e-9  # of the observed mean: rounding may not tell equal means apart


def sign_flip_p(gaps: Sequence[float]) -> float | None:
    """The two-sided p-value of the mean of these paired differences; None below two pairs.

    Exact up to 15 pairs. Beyond, 16,384 random turns and the observed one, always the same for the same differences.
    """
    if len(gaps) < 2:
        return None
    values = np.asarray(gaps, dtype=np.float64)
    observed = abs(float(values.sum()))
    turns = float(2 ** (min(len(values), MOST_EXACT) - 1))
    as_far = int((np.abs(_signs(len(values)) @ values) >= observed * (1 - CLOSE)).sum())
    return as_far / turns if len(values) <= MOST_EXACT else (as_far + 1) / (turns + 1)


@lru_cache(maxsize=8)
def _signs(pairs: int) -> NDArray[np.float64]:
    """Shape (turns, pairs), of -1 and 1. Exact: all whose first sign is 1, for the others are their mirror images."""
    if pairs > MOST_EXACT:
        drawn = np.random.default_rng(pairs).integers(0, 2, (2 ** (MOST_EXACT - 1), pairs))
        return np.where(drawn == 1, 1.0, -1.0)
    numbers = np.arange(2 ** (pairs - 1))
    return np.where((numbers[:, None] >> np.arange(pairs)) & 1 == 1, -1.0, 1.0)
