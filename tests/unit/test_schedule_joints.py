"""Hand-computed values: every family, every warm-up, and every joint between them."""

import math

import numpy as np
import pytest

from schedsearch.errors import InvalidSchedule
from schedsearch.schedule import (
    Constant,
    Cosine,
    Exponential,
    InverseSqrt,
    Linear,
    MultiStep,
    Polynomial,
    Restarts,
    Rex,
    Schedule,
    Spline,
    Step,
    Warmup,
    Wsd,
)

COS_18 = (1 + math.cos(math.pi / 10)) / 2  # 0.97552825814757682

# decay, progress -> factor
DECAYS = [
    (Constant(), {0: 1, 0.5: 1, 1: 1}),
    (Step(3, 0.2), {0: 1, 0.2499: 1, 0.25: 0.2, 0.5: 0.04, 0.7499: 0.04, 0.75: 0.008, 0.9999: 0.008}),
    (Step(2, 0.1), {0.3333: 1, 1 / 3: 0.1, 2 / 3: 0.01}),
    (MultiStep((0.3, 0.6, 0.9), 0.1), {0: 1, 0.2999: 1, 0.3: 0.1, 0.6: 0.01, 0.8999: 0.01, 0.9: 0.001, 1: 0.001}),
    (Exponential(0.01), {0: 1, 0.5: 0.1, 0.25: 0.31622776601683794, 1: 0.01}),
    (Cosine(), {0: 1, 0.1: COS_18, 1 / 3: 0.75, 0.5: 0.5, 2 / 3: 0.25, 1: 0}),
    (Cosine(0.2), {0: 1, 0.5: 0.6, 1: 0.2}),
    (Cosine(0.2, power=2), {0: 1, 0.5: 0.2 + 0.8 * 0.25, 1: 0.2}),
    (Linear(), {0: 1, 0.25: 0.75, 1: 0}),
    (Linear(0.2), {0: 1, 0.25: 0.8, 0.5: 0.6, 1: 0.2}),
    (Polynomial(), {0: 1, 0.5: 0.25, 0.9: 0.01, 1: 0}),
    (Polynomial(0.1, power=0.5), {0: 1, 0.75: 0.55, 1: 0.1}),
    (Rex(), {0: 1, 0.5: 2 / 3, 0.75: 0.4, 1: 0}),
    (Rex(0.1, beta=2), {0: 1, 0.5: 0.1 + 0.9 / 3, 1: 0.1}),
    (Wsd(0.2), {0: 1, 0.8: 1, 0.85: 0.75, 0.9: 0.5, 1: 0}),
    (Wsd(0.2, "sqrt"), {0.8: 1, 0.85: 0.5, 0.8 + 0.2 * 0.64: 0.2, 1: 0}),
    (Wsd(0.4, "cosine", 0.1), {0.6: 1, 0.8: 0.55, 1: 0.1}),
    (Wsd(1.0, "linear", 0.5), {0: 1, 0.5: 0.75, 1: 0.5}),
    (InverseSqrt(0.1), {0: 1, 0.3: 0.5, 0.8: 1 / 3}),
    (Spline(0.25, 0.5, 0.75, 0.5), {0: 1, 0.125: 0.875, 0.25: 0.75, 0.5: 0.5, 0.75: 0.25, 1: 0}),
    # inner slopes -1.8 / (1 / .5 + .8 / 1.5) = -.710526.. and -1, first slope (-.4 + .3) / .6
    (Spline(0.2, 0.6, 0.9, 0.3), {0.1: 0.95 + 0.2 * (27 / 38 - 1 / 6) / 8, 0.4: 0.6 + 0.4 * (1 - 27 / 38) / 8}),
    (Spline(0.3, 0.7, 1.0, 0.4, 0.1), {0: 1, 0.15: 1, 0.3: 1, 0.7: 0.4, 1: 0.1}),
    (Spline(0.3, 0.7, 0.4, 0.4, 0.4), {0.3: 0.4, 0.5: 0.4, 1: 0.4}),
]


@pytest.mark.parametrize(("decay", "values"), DECAYS, ids=[repr(decay) for decay, _ in DECAYS])
def test_decay_values(decay, values):
    got = decay.value(np.array([float(z) for z in values]))
    np.testing.assert_allclose(got, list(values.values()), rtol=1e-12, atol=1e-15)


WARMUPS = [
    ("linear", [0.2, 0.4, 0.6, 0.8]),
    ("cosine", [0.2, 0.2 + 0.8 * (1 - math.sqrt(0.5)) / 2, 0.6, 0.2 + 0.8 * (1 + math.sqrt(0.5)) / 2]),
    ("exponential", [0.2, 0.2**0.75, 0.2**0.5, 0.2**0.25]),
]


@pytest.mark.parametrize(("kind", "climb"), WARMUPS)
def test_warmup_reaches_one_exactly_where_the_decay_begins(kind, climb):
    factors = Schedule(1.0, Linear(), Warmup(kind, 0.4, 0.2)).factors(10)
    np.testing.assert_allclose(factors[:4], climb, rtol=1e-14)
    assert factors[4] == 1.0
    np.testing.assert_allclose(factors[5:], [5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6], rtol=1e-14)


def test_the_total_includes_the_warmup_and_no_update_is_spent_at_zero():
    factors = Schedule(1.0, Cosine(), Warmup("linear", 0.1, 0.01)).factors(1000)
    assert factors.shape == (1000,)
    assert factors[0] == 0.01
    assert factors[100] == 1.0
    assert factors[-1] == pytest.approx((1 + math.cos(math.pi * 899 / 900)) / 2, rel=1e-9)
    assert factors.min() > 0


@pytest.mark.parametrize(
    ("fraction", "total", "warm"),
    [(0.05, 1000, 50), (0.001, 100, 1), (0.25, 10, 2), (0.35, 10, 4), (0.149, 10, 1), (0.5, 2, 1), (0.94, 10, 9)],
)
def test_warmup_updates_are_rounded_and_at_least_one(fraction, total, warm):
    schedule = Schedule(1.0, Constant(), Warmup("linear", fraction, 0.5))
    assert schedule.warmup_steps(total) == warm
    assert np.flatnonzero(schedule.factors(total) == 1.0)[0] == warm


def test_without_a_warmup_the_first_update_is_at_the_base_lr():
    assert Schedule(0.3, Cosine()).lrs(5)[0] == 0.3
    assert Schedule(0.3, Cosine()).warmup_steps(5) == 0


def test_restarts_grow_and_lower_their_peaks():
    factors = Schedule(1.0, Linear(), restarts=Restarts(3, 2.0, 0.5)).factors(14)
    expected = [1, 0.5, *(0.5 * z for z in (1, 0.75, 0.5, 0.25)), *(0.25 * (1 - i / 8) for i in range(8))]
    np.testing.assert_allclose(factors, expected, rtol=1e-15)


@pytest.mark.parametrize(
    ("restarts", "steps", "lengths"),
    [
        (Restarts(3, 2.0), 210, [30, 60, 120]),
        (Restarts(4, 1.0), 180, [45, 45, 45, 45]),
        (Restarts(3, 1.5), 190, [40, 60, 90]),
        (Restarts(3, 1.0), 10, [3, 4, 3]),
        (Restarts(2, 1.0), 5, [2, 3]),
        (Restarts(5, 1.0), 5, [1, 1, 1, 1, 1]),
        (Restarts(2, 1e300), 2, None),
        (Restarts(5, 2.0), 12, None),
        (Restarts(10**9, 1.0), 10**6, None),
    ],
)
def test_cycle_lengths(restarts, steps, lengths):
    if lengths is None:
        with pytest.raises(InvalidSchedule, match="must leave at least one step to each cycle"):
            restarts.lengths(steps)
    else:
        assert restarts.lengths(steps).tolist() == lengths


def test_any_decay_restarts_after_a_warmup_and_the_last_cycle_ends_at_the_horizon():
    schedule = Schedule(1.0, Wsd(0.5), Warmup("linear", 0.2, 0.5), Restarts(2, 3.0, 0.5))
    expected = [0.5, 0.75, 1.0, 1.0 - 0.0, 0.5, 0.5, 0.5, 0.5, 1 / 3, 1 / 6]
    np.testing.assert_allclose(schedule.factors(10), expected, rtol=1e-12)


def test_step_every_holds_the_factor_and_rounds_the_number_of_steps_up():
    held = Schedule(1.0, Linear(), step_every=3).factors(8)
    np.testing.assert_allclose(held, [1, 1, 1, 2 / 3, 2 / 3, 2 / 3, 1 / 3, 1 / 3], rtol=1e-15)


def test_an_epoch_is_resolved_to_its_updates():
    by_epoch = Schedule(1.0, Cosine(), Warmup("linear", 0.25, 0.1), step_every="epoch").factors(40, 10)
    np.testing.assert_allclose(by_epoch[::10], [0.1, 1.0, 0.75, 0.25], rtol=1e-14)
    assert (by_epoch.reshape(4, 10) == by_epoch[::10, None]).all()


def test_a_joint_that_rounding_misses_belongs_to_its_far_side():
    for total in range(2, 400):
        for drops in (1, 2, 3, 4, 6):
            by_step = np.round(np.log10(Schedule(1.0, Step(drops, 0.1)).factors(total)))
            assert by_step.tolist() == [-(t * (drops + 1) // total) for t in range(total)]


def test_a_square_root_cooldown_holds_at_one_until_its_joint():
    for percent in range(1, 100):
        factors = Schedule(1.0, Wsd(percent / 100, "sqrt")).factors(1000)
        assert (factors[: 1000 - 10 * percent + 1] == 1.0).all()
        assert factors[1000 - 10 * percent + 1] < 1.0


def test_the_base_lr_multiplies_and_a_single_update_is_the_same_number():
    schedule = Schedule(0.06, Cosine(0.1), Warmup())
    lrs = schedule.lrs(100)
    np.testing.assert_array_equal(lrs, 0.06 * schedule.factors(100))
    assert [schedule.lr(t, 100) for t in range(100)] == lrs.tolist()
    assert schedule.with_base_lr(0.6).lr(5, 100) == pytest.approx(0.6)
    assert schedule.lr(7, 40, 10) == schedule.lrs(40)[7]


def test_the_curves_of_a_caller_are_their_own():
    schedule = Schedule(1.0, Linear())
    first = schedule.lrs(4)
    first[:] = 9.0
    assert schedule.lr(0, 4) == 1.0
    assert schedule.lrs(4)[0] == 1.0
