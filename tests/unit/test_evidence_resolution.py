"""How many seeds a resolution takes, and what a confirmation says of its own."""

from math import sqrt

import numpy as np
import pytest
from scipy import stats

from schedsearch.errors import InvalidInput
from schedsearch.evidence import Resolution, common_noise, seeds_needed
from schedsearch.evidence.resolution import half_width


@pytest.mark.parametrize(("correlation", "freedom"), [(None, 2), (0.0, 2), (0.5, 1)])
def test_seeds_needed_is_the_fewest_that_reach_the_resolution(correlation: float | None, freedom: int) -> None:
    n = seeds_needed(1.0, 0.8, correlation, fewest=2)

    def half_width(count: int) -> float:
        df = 2 * count - 2 if freedom == 2 else count - 1
        return float(stats.t.ppf(0.975, df)) * sqrt(2 * (1 - (correlation or 0.0)) / count)

    assert half_width(n) <= 0.8 < half_width(n - 1)


def test_pairing_saves_seeds_and_no_resolution_takes_fewer_than_six() -> None:
    assert seeds_needed(1.0, 0.5, 0.7) < seeds_needed(1.0, 0.5, None)
    assert seeds_needed(0.0, 0.5) == 6
    assert seeds_needed(1e9, 0.5) == 1000


def test_a_resolution_of_zero_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"`resolution` must be greater than 0, but is 0 instead\."):
        seeds_needed(1.0, 0)


def test_resolution_is_the_half_width_of_the_interval_it_promises() -> None:
    """With normal noise, differences between two schedules of equal worth leave the half width 5 % of the time."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(0, 0.3, (2, 4000, 7))
    pooled = np.sqrt((a.var(axis=1, ddof=1) + b.var(axis=1, ddof=1)) / 2)
    outside = np.abs(a.mean(axis=1) - b.mean(axis=1)) > half_width(1.0, 7) * pooled
    assert outside.mean() == pytest.approx(0.05, abs=0.01)


def test_a_confirmation_says_what_it_shows_and_what_more_takes() -> None:
    found = Resolution(seeds=6, sd=0.02, correlation=None)
    reached = half_width(0.02, 6)
    assert (found.reached, found.missed) == (reached, False)
    needed = seeds_needed(0.02, reached / 2)
    assert found.sentence == (
        f"With 6 seeds a finalist, differences of about {reached:.2g} show; "
        f"{reached / 2:.2g} takes about {needed} (`--resolution {reached / 2:.2g}`)."
    )
    assert needed == pytest.approx(20, abs=2)


def test_a_resolution_that_was_missed_is_named() -> None:
    found = Resolution(seeds=6, sd=0.02, correlation=0.5, asked=0.001)
    assert found.missed
    assert ", not 0.001 as asked; 0.001 takes about" in found.sentence
    assert not Resolution(seeds=6, sd=0.02, correlation=None, asked=found.reached * 2).missed
    assert "takes about 1000 or more" in Resolution(6, 10.0, None, 1e-6).sentence


def test_without_noise_there_is_nothing_to_say() -> None:
    assert Resolution(seeds=6, sd=0.0, correlation=None).sentence == ""


def test_common_noise_is_that_of_most_candidates() -> None:
    rng = np.random.default_rng(1)
    scores = {one: dict(enumerate(rng.normal(one, 0.1, 6))) for one in range(40)}
    wild = {99: dict(enumerate(rng.normal(0, 50, 6))), 100: {0: 1.0}}
    sd, freedom = common_noise({**scores, **wild})
    assert sd == pytest.approx(0.1, rel=0.15)
    assert freedom == round(2 * 41 * 5 / 3)
    assert common_noise({1: {0: 2.0}, 2: {0: 1.0, 1: None}}) == (np.inf, 1)
