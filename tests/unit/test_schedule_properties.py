"""What holds for every schedule at every horizon that it can have."""

import json

import numpy as np
import schedule_loop
from hypothesis import example, given, settings
from hypothesis import strategies as st
from schedule_strategies import Case, cases, decays, schedules, splines, warmups
from scipy.interpolate import PchipInterpolator

from schedsearch.schedule import Cosine, Polynomial, Restarts, Schedule, Warmup, Wsd

quick = settings(max_examples=100, deadline=None)
ALWAYS = Case(Schedule(0.1, Wsd(0.3, "sqrt", 0.1), Warmup(), Restarts(4, 1.5, 0.7), "epoch"), 387, 4)


@quick
@example(ALWAYS)
@given(cases)
def test_length_and_bounds(case):
    factors = case.schedule.factors(*case.arguments)
    assert factors.shape == (case.total_updates,)
    assert factors.dtype == np.float64
    assert np.isfinite(factors).all()
    assert factors.min() >= 0
    assert factors.max() <= 1


@quick
@example(ALWAYS)
@given(cases)
def test_the_fast_form_equals_the_plain_loop(case):
    slow = schedule_loop.factors(case.schedule.to_dict(), *case.arguments)
    np.testing.assert_allclose(case.schedule.factors(*case.arguments), slow, rtol=1e-9, atol=1e-12)


@quick
@example(ALWAYS)
@given(cases)
def test_ends(case):
    schedule = case.schedule
    factors = schedule.factors(*case.arguments)
    warm = schedule.warmup_steps(case.steps) * case.every
    np.testing.assert_allclose(factors[0], 1.0 if schedule.warmup is None else schedule.warmup.start_factor)
    assert factors[warm] == 1.0


@quick
@example(ALWAYS)
@given(cases)
def test_up_in_the_warmup_and_down_in_every_cycle(case):
    schedule = case.schedule
    by_step = schedule.factors(*case.arguments)[:: case.every]
    warm = schedule.warmup_steps(case.steps)
    assert (np.diff(by_step[: warm + 1]) >= -1e-15).all()
    decayed = by_step[warm:]
    lengths = [len(decayed)] if schedule.restarts is None else schedule.restarts.lengths(len(decayed))
    for cycle in np.split(decayed, np.cumsum(lengths)[:-1]):
        assert (np.diff(cycle) <= 1e-15).all()


@quick
@example(ALWAYS)
@given(cases)
def test_every_update_of_a_hold_has_the_factor_of_its_step(case):
    factors = case.schedule.factors(*case.arguments)
    by_step = Schedule(1.0, case.schedule.decay, case.schedule.warmup, case.schedule.restarts).factors(case.steps)
    np.testing.assert_array_equal(factors, by_step[np.arange(case.total_updates) // case.every])


@quick
@given(cases, st.data())
def test_resuming_at_any_update_equals_not_resuming(case, data):
    t = data.draw(st.integers(0, case.total_updates - 1))
    fresh = Schedule.from_dict(json.loads(json.dumps(case.schedule.to_dict())))
    lrs = case.schedule.lrs(*case.arguments)
    assert fresh.lr(t, *case.arguments) == lrs[t]
    np.testing.assert_array_equal(fresh.lrs(*case.arguments)[t:], lrs[t:])


@quick
@given(schedules)
def test_round_trip_of_the_serialized_form(schedule):
    text = json.dumps(schedule.to_dict())
    back = Schedule.from_dict(json.loads(text))
    assert back == schedule
    assert json.dumps(back.to_dict()) == text
    assert back.key() == schedule.key()
    assert hash(back) == hash(schedule)


@quick
@given(decays)
def test_decays_start_at_one_and_end_at_their_final_factor(decay):
    start, end = decay.value(np.array([0.0, 1.0]))
    assert start == 1.0
    if hasattr(decay, "final_factor"):
        np.testing.assert_allclose(end, decay.final_factor, rtol=1e-12, atol=1e-15)


@quick
@given(splines())
def test_the_spline_equals_scipy_s(spline):
    peer = PchipInterpolator([0, spline.x1, spline.x2, 1], [1, spline.y1, spline.y2, spline.final_factor])
    z = np.linspace(0, 1, 97)
    np.testing.assert_allclose(spline.value(z), peer(z), rtol=0, atol=1e-12)


@quick
@given(decays, st.integers(1, 50))
def test_decays_keep_the_shape_of_their_argument(decay, size):
    z = np.linspace(0, 1, 2 * size).reshape(2, size)
    assert decay.value(z).shape == (2, size)


@quick
@given(warmups)
def test_warmups_climb_from_the_start_factor_to_one(warmup):
    values = warmup.value(np.linspace(0, 1, 33))
    np.testing.assert_allclose(values[[0, -1]], [warmup.start_factor, 1.0], rtol=1e-12)
    assert (np.diff(values) >= 0).all()


@quick
@given(st.floats(0.01, 50), st.floats(0, 0.9))
def test_a_larger_power_is_lower_everywhere(power, final_factor):
    for family in (Cosine, Polynomial):
        low = Schedule(1.0, family(final_factor, 1.5 * power)).factors(50)
        assert (low <= Schedule(1.0, family(final_factor, power)).factors(50)).all()


@quick
@given(cases)
def test_the_description_is_one_line(case):
    text = case.schedule.describe()
    assert "\n" not in text
    assert text.count("base LR") == 1
