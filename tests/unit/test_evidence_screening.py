"""Whether a shorter horizon may sort candidates out, and what that saved."""

import numpy as np
import pytest
from scipy import stats

from schedsearch.evidence import Calibration, Screening, calibrate
from schedsearch.evidence.distributions import share_interval


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_a_faithful_horizon_holds_and_a_reversed_one_does_not(direction: str) -> None:
    scores = [float(one) for one in range(16)]
    sign = 1 if direction == "minimize" else -1
    faithful = calibrate([(sign * one, sign * one) for one in scores], direction, short=25, full=100)
    assert (faithful.candidates, faithful.top, faithful.kept, faithful.holds) == (16, 4, 4, True)
    reversed_ = calibrate([(-sign * one, sign * one) for one in scores], direction, short=25, full=100)
    assert (reversed_.kept, reversed_.holds) == (0, False)


def test_three_of_four_are_not_beyond_doubt() -> None:
    short = [0.0, 1.0, 2.0, 15.0, *map(float, range(3, 15))]
    found = calibrate(list(zip(short, map(float, range(16)), strict=True)), "minimize", short=25, full=100)
    assert (found.kept, found.top, found.holds) == (3, 4, False)
    assert found.low < 0.5 < found.high


def test_a_divergence_is_the_worst_at_either_horizon() -> None:
    pairs = [(0.1, None), (None, 0.2), *((float(one), float(one)) for one in range(1, 15))]
    found = calibrate(pairs, "minimize", short=25, full=100)
    assert (found.top, found.kept) == (4, 3)  # the one that diverged short is among the truly best, and lost


def test_chance_rarely_passes() -> None:
    """A horizon that says nothing keeps a third: all four of the top pass in about one study of a hundred."""
    rng = np.random.default_rng(0)
    passed = [
        calibrate(list(zip(rng.normal(size=16), rng.normal(size=16), strict=True)), "minimize", short=1, full=2).holds
        for _ in range(2000)
    ]
    assert np.mean(passed) < 0.02


def test_the_interval_of_a_share_is_jeffreys() -> None:
    low, high = share_interval(3, 4)
    assert (low, high) == pytest.approx(stats.beta(3.5, 1.5).interval(0.95))
    assert share_interval(0, 5)[0] == 0.0
    assert share_interval(5, 5)[1] == 1.0


def test_what_is_said_of_it() -> None:
    good = Calibration(75, 300, 16, 4, 4, 0.56, 1.0)
    used = Screening(good, sorted_out=20, promoted=10)
    assert used.saved == 20 * 300 - 30 * 75
    assert used.sentence == (
        "Screening was used: of 16 candidates trained for 75 and for 300 updates, the best third at 75 held 4 of the 4 "
        "truly best (95 % 56 .. 100 %). Of 30 more candidates 10 were then trained in full, which saved 3,750 updates "
        "(42 % of theirs)."
    )
    bad = Screening(Calibration(75, 300, 16, 4, 1, 0.03, 0.7), 0, 0)
    assert bad.sentence.startswith("Screening was refused: of 16 candidates")
    assert bad.sentence.endswith("Every candidate was trained in full.")
