"""The starting design: what is tried before a model can say anything.

Arms come in a random permutation, again and again, so that all are seen before one is seen twice. Base LRs are
stratified over their range in every block of `block` candidates and then moved by the shape's g*, so that equally bold
curves are compared. Candidate `number` of a seed is always the same, whoever asks.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from schedsearch.errors import InvalidInput
from schedsearch.search.pool import Describer, reflected

ARMS, STRATA, DRAWS = 1, 2, 3
MOST_TRIES = 20


def start_params(describer: Describer, seed: int, number: int, block: int, attempt: int = 0) -> dict[str, Any]:
    """The parameters of candidate `number` (0, 1, ...) of the design; `attempt` > 0: another one in its place.

    Raises InvalidInput when no possible schedule was found (a space that does not fit the horizon).
    """
    arms = describer.space.arms
    arm = arms[_place(seed, ARMS, number, len(arms))]
    rng = np.random.default_rng([seed, DRAWS, number, attempt])
    fault: InvalidInput | None = None
    for _ in range(MOST_TRIES):
        params = describer.space.draw(rng, arm)
        try:
            shape = describer.shape(params)
        except InvalidInput as error:
            fault = error
            arm = arms[int(rng.integers(len(arms)))]
            continue
        place = (_place(seed, STRATA, number, block) + rng.random()) / block
        return {**params, "base_lr": describer.base_lr(_log_lr(describer.log_range, place, shape.log_scale))}
    assert fault is not None  # noqa: S101 - the loop only ends here after a fault
    raise fault


def _place(seed: int, use: int, number: int, size: int) -> int:
    """The entry of `number` in a sequence of random permutations of 0 .. size-1, one after the other."""
    permutation = np.random.default_rng([seed, use, number // size]).permutation(size)
    return int(permutation[number % size])


def _log_lr(bounds: tuple[float, float], place: float, log_scale: float) -> float:
    low, high = bounds
    return float(reflected(np.array([low + place * (high - low) + log_scale]), bounds)[0])
