"""The convex bound: the published table to its digits, and the fast sums against the formula as it is written."""

import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from schedule_strategies import cases

from schedsearch.schedule import (
    Constant,
    Cosine,
    Exponential,
    Linear,
    MultiStep,
    Polynomial,
    Restarts,
    Rex,
    Schedule,
    Wsd,
    convex_bound,
    relative_bound,
)

# shape, bound and best scale relative to linear-to-0, as printed in the design notes for T = 10,000
TABLE = [
    ("linear to 0", Schedule(1, Linear()), "1.000", "1.00"),
    ("wsd 80 % linear", Schedule(1, Wsd(0.8)), "1.001", "0.83"),
    ("wsd 60 % linear", Schedule(1, Wsd(0.6)), "1.008", "0.71"),
    ("REX", Schedule(1, Rex()), "1.009", "0.81"),
    ("cosine to 0", Schedule(1, Cosine()), "1.030", "0.97"),
    ("polynomial of power 2", Schedule(1, Polynomial(0, 2)), "1.060", "1.41"),
    ("wsd 20 % sqrt", Schedule(1, Wsd(0.2, "sqrt")), "1.063", "0.54"),
    ("wsd 20 % linear", Schedule(1, Wsd(0.2)), "1.080", "0.51"),
    ("cosine to 10 %", Schedule(1, Cosine(0.1)), "1.107", "0.82"),
    ("3 cosine cycles, growth 2", Schedule(1, Cosine(), restarts=Restarts(3, 2.0)), "1.124", "0.89"),
    ("wsd 10 % linear", Schedule(1, Wsd(0.1)), "1.142", "0.46"),
    ("exponential to 1 %", Schedule(1, Exponential(0.01)), "1.145", "2.03"),
    ("step .1 at 50, 75 %", Schedule(1, MultiStep((0.5, 0.75), 0.1)), "1.248", "0.76"),
    ("constant", Schedule(1, Constant()), "1.642", "0.30"),
]


@pytest.mark.parametrize(("name", "schedule", "bound", "scale"), TABLE, ids=[row[0] for row in TABLE])
def test_the_table_to_its_printed_digits(name, schedule, bound, scale):
    got = relative_bound(schedule, 10_000)
    assert (f"{got.bound:.3f}", f"{got.best_scale:.2f}") == (bound, scale)


def test_a_shape_that_does_not_end_at_zero_gets_worse_as_the_horizon_grows():
    assert f"{relative_bound(Schedule(1, Constant()), 1_000).bound:.3f}" == "1.452"


def as_written(factors):
    """The formula of the theorem, by double loops over its sums."""
    e, total = list(factors), math.fsum(factors)
    a = 1 / (2 * total)
    b = math.fsum(x * x for x in e) / (2 * total)
    for k in range(len(e) - 1):
        tail = math.fsum(e[k:])
        b += 0.5 * e[k] / math.fsum(e[k + 1 :]) * math.fsum(x * x for x in e[k:]) / tail
    return 2 * math.sqrt(a * b), math.sqrt(a / b)


@settings(max_examples=100, deadline=None)
@given(cases)
def test_the_fast_sums_equal_the_formula(case):
    factors = case.schedule.factors(*case.arguments)[:120]
    factors = factors[factors > 0]
    got = convex_bound(factors)
    np.testing.assert_allclose((got.bound, got.best_scale), as_written(factors), rtol=1e-10)


def test_two_updates_by_hand():
    got = convex_bound(np.array([1.0, 0.5]))
    a, b = 1 / 3, 1.25 / 3 + 0.5 * (1 / 0.5) * (1.25 / 1.5)
    assert got.bound == pytest.approx(2 * math.sqrt(a * b), rel=1e-15)
    assert got.best_scale == pytest.approx(math.sqrt(a / b), rel=1e-15)


def test_one_update_by_hand():
    assert convex_bound(np.array([2.0])).bound == 2 * math.sqrt(0.25 * 1.0)


@given(st.floats(1e-6, 1e6))
def test_scaling_the_factors_scales_the_best_scale_alone(c):
    factors = Schedule(1, Cosine(0.1)).factors(50)
    one, scaled = convex_bound(factors), convex_bound(c * factors)
    assert scaled.bound == pytest.approx(one.bound, rel=1e-9)
    assert scaled.best_scale * c == pytest.approx(one.best_scale, rel=1e-9)


def test_zeros_at_the_end_change_nothing_and_zeros_inside_are_allowed():
    factors = Schedule(1, Linear()).factors(50)
    assert convex_bound(np.append(factors, np.zeros(9))) == convex_bound(factors)
    gap = convex_bound(np.array([1.0, 0.0, 0.0, 0.5]))
    assert gap.bound == pytest.approx(convex_bound(np.array([1.0, 0.5])).bound, rel=1e-12)


@pytest.mark.parametrize("bad", [[], [0.0, 0.0], [1.0, -1.0], [1.0, np.nan], [np.inf], [[1.0]]])
def test_factors_that_are_none(bad):
    with pytest.raises(ValueError, match="`factors` must be"):
        convex_bound(np.array(bad))


def test_the_base_lr_and_the_stepping_frequency():
    held = Schedule(0.1, Cosine(), step_every="epoch")
    assert relative_bound(held, 100, 10) == relative_bound(held.with_base_lr(7.0), 100, 10)
    assert relative_bound(held, 100, 10) == relative_bound(Schedule(1, Cosine(), step_every=10), 100)


def test_a_million_updates_take_well_under_a_second():
    factors = Schedule(1, Cosine()).factors(1_000_000)
    start = time.perf_counter()
    assert np.isfinite(convex_bound(factors).bound)
    assert time.perf_counter() - start < 1
