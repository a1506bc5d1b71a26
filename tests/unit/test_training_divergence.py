"""When a run is given up: never for a spike that comes back, never where the start gives no level."""

import math

import pytest

from schedsearch.training.divergence import DivergenceWatch


def seen(losses, total):
    """The first divergence in a sequence of losses and the update at which it was told."""
    watch = DivergenceWatch(total)
    for update, loss in enumerate(losses):
        found = watch.see(loss)
        if found is not None:
            return found.update, update
    return None


@pytest.mark.parametrize(("total", "stretch"), [(2, 20), (40, 20), (80, 20), (100, 25), (400, 100)])
def test_the_stretch_is_a_quarter_of_the_horizon_and_at_least_twenty_updates(total, stretch):
    assert seen([1.0] + [10.1] * (stretch - 1), total) is None
    assert seen([1.0] + [10.1] * stretch, total) == (1, stretch)


def test_ten_times_the_start_itself_is_not_above_it():
    assert seen([1.0] + [10.0] * 500, 400) is None


def test_one_loss_that_comes_back_starts_the_count_again():
    assert seen([1.0] + [50.0] * 99 + [9.0] + [50.0] * 99, 400) is None
    assert seen([1.0] + [50.0] * 99 + [9.0] + [50.0] * 100, 400) == (101, 200)


@pytest.mark.parametrize("start", [0.0, -3.0])
def test_a_start_at_or_below_zero_gives_no_level(start):
    assert seen([start] + [1e9] * 500, 400) is None
    assert seen([start, 1e9, math.nan], 400) == (2, 2)


def test_the_start_is_the_first_loss():
    watch = DivergenceWatch(10)
    assert watch.initial_loss is None
    watch.see(2.5)
    watch.see(1.0)
    assert watch.initial_loss == 2.5
