"""The description of a curve: against its formula, at the edges, and equal for equal curves."""

import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from schedule_strategies import cases

from schedsearch.schedule import (
    FEATURE_NAMES,
    Constant,
    Cosine,
    Exponential,
    Linear,
    MultiStep,
    Polynomial,
    Restarts,
    Rex,
    Schedule,
    Step,
    Warmup,
    Wsd,
    describe_curve,
    describe_curves,
)
from schedsearch.schedule.description import FLOOR

CURVES = st.lists(st.floats(0, 10), min_size=1, max_size=80).map(np.array).filter(lambda lr: lr.max() > 1e-3)


def as_written(lrs):
    """The formulas of the design notes, one update at a time."""
    lrs = [float(lr) for lr in lrs]
    total, top = math.fsum(lrs), max(lrs)
    before = [math.fsum(lrs[:t]) for t in range(len(lrs))]
    after = [math.fsum(lrs[t + 1 :]) for t in range(len(lrs))]
    features = [math.log10(total), math.log10(top)]
    for away, k in [*((before, k) for k in (4, 16, 64)), *((after, k) for k in (2, 4, 8, 16, 32))]:
        weights = [math.exp(-one / (total / k)) for one in away]
        squares = math.fsum(w * lr * lr for w, lr in zip(weights, lrs, strict=True))
        mean = squares / math.fsum(w * lr for w, lr in zip(weights, lrs, strict=True))
        features.append(math.log10(max(mean, FLOOR * top)))
    return features


def test_the_names():
    assert FEATURE_NAMES == (
        "log_sum", "log_max", "log_arrival_4", "log_arrival_16", "log_arrival_64", "log_memory_2", "log_memory_4",
        "log_memory_8", "log_memory_16", "log_memory_32",
    )  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(CURVES)
def test_any_curve_equals_the_formula(lrs):
    np.testing.assert_allclose(describe_curve(lrs), as_written(lrs), rtol=0, atol=1e-11)


@settings(max_examples=60, deadline=None)
@given(cases)
def test_any_schedule_equals_the_formula(case):
    lrs = case.schedule.lrs(*case.arguments)[:150]
    np.testing.assert_allclose(describe_curve(lrs), as_written(lrs), rtol=0, atol=1e-11)


def test_a_constant_by_hand():
    features = describe_curve(np.full(1000, 0.01))
    np.testing.assert_allclose(features, [1.0, *[-2.0] * 9], atol=1e-12)


def test_two_updates_by_hand():
    features = describe_curve(np.array([1.0, 3.0]))
    arrivals = [(1 + 9 * w) / (1 + 3 * w) for w in (math.exp(-1 * k / 4) for k in (4, 16, 64))]
    memories = [(w + 9) / (w + 3) for w in (math.exp(-3 * k / 4) for k in (2, 4, 8, 16, 32))]
    np.testing.assert_allclose(10**features, [4.0, 3.0, *arrivals, *memories], rtol=1e-12)


def test_the_memories_look_at_ever_later_parts_of_a_decay():
    features = describe_curve(Schedule(1, Linear()).lrs(2000))
    assert (np.diff(features[5:]) < 0).all()
    held = describe_curve(Schedule(1, Wsd(0.05)).lrs(2000))
    assert (held[5:] > features[5:]).all()


def test_the_arrivals_look_at_ever_earlier_parts_of_a_warm_up():
    features = describe_curve(Schedule(1, Constant(), Warmup("linear", 0.2, 0.01)).lrs(2000))
    assert (np.diff(features[2:5]) < 0).all()
    shorter = describe_curve(Schedule(1, Constant(), Warmup("linear", 0.05, 0.01)).lrs(2000))
    assert (shorter[2:5] > features[2:5]).all()


@settings(max_examples=60, deadline=None)
@given(CURVES)
def test_playing_a_curve_backwards_swaps_arrival_and_memory(lrs):
    forwards, backwards = describe_curve(lrs), describe_curve(lrs[::-1])
    both = {name: index for index, name in enumerate(FEATURE_NAMES)}
    for k in (4, 16):
        assert forwards[both[f"log_arrival_{k}"]] == pytest.approx(backwards[both[f"log_memory_{k}"]], abs=1e-11)


SAME = [
    (Schedule(1, Wsd(1.0)), Schedule(1, Linear())),
    (Schedule(1, Rex(0.1, 1.0)), Schedule(1, Linear(0.1))),
    (Schedule(1, Polynomial(0, 1.0)), Schedule(1, Linear())),
    (Schedule(1, Step(3, 0.2)), Schedule(1, MultiStep((0.25, 0.5, 0.75), 0.2))),
    (Schedule(1, Wsd(1.0, "cosine")), Schedule(1, Cosine())),
    (Schedule(1, Constant()), Schedule(1, Constant(), restarts=Restarts(4))),
    (Schedule(0.2, Exponential(0.25)), Schedule(0.1, Exponential(0.25)).with_base_lr(0.2)),
    (Schedule(1, Cosine(), step_every="epoch"), Schedule(1, Cosine(), step_every=7)),
]


@pytest.mark.parametrize(("one", "other"), SAME, ids=[f"{a.decay.kind}-{b.decay.kind}" for a, b in SAME])
@pytest.mark.parametrize("total", [20, 333, 1000])
def test_two_parametrisations_of_one_curve_are_described_alike(one, other, total):
    np.testing.assert_allclose(describe_curve(one.lrs(total, 7)), describe_curve(other.lrs(total, 7)), atol=1e-12)


@settings(max_examples=60, deadline=None)
@given(cases, st.floats(1e-6, 1e6))
def test_a_factor_shifts_every_feature_by_its_logarithm(case, factor):
    lrs = case.schedule.lrs(*case.arguments)
    shift = describe_curve(factor * lrs) - describe_curve(lrs)
    np.testing.assert_allclose(shift, math.log10(factor), atol=1e-10)


@settings(max_examples=60, deadline=None)
@given(cases, st.integers(0, 30), st.integers(1, 30))
def test_zeros_neither_train_nor_remember(case, place, zeros):
    lrs = case.schedule.lrs(*case.arguments)
    padded = np.insert(lrs, min(place, len(lrs)), np.zeros(zeros))
    np.testing.assert_allclose(describe_curve(padded), describe_curve(lrs), atol=1e-11)


EDGES = {
    "one update": np.array([0.1]),
    "zeros first": np.array([0.0] * 50 + [1.0]),
    "zeros last": np.array([1.0] + [0.0] * 50),
    "a spike": np.array([0.0, 0.0, 1e-300, 0.0]),
    "huge": np.full(10, 1e300),
    "tiny": np.full(10, 5e-324),
    "all magnitudes": 10.0 ** np.arange(-300, 300),
    "falling through all magnitudes": 10.0 ** -np.arange(300.0),
}


@pytest.mark.parametrize("lrs", EDGES.values(), ids=EDGES)
def test_the_description_is_always_finite(lrs):
    features = describe_curve(lrs)
    assert np.isfinite(features).all()
    assert (features >= np.log10(lrs.max()) + np.log10(FLOOR) - 1e-9).all()


@pytest.mark.parametrize(
    "schedule",
    [
        Schedule(0.1, Cosine(), Warmup(), Restarts(3, 2.0)),
        Schedule(0.1, Wsd(0.2, "sqrt")),
        Schedule(0.1, Exponential(1e-3)),
        Schedule(0.1, Polynomial(0, 3.0)),
    ],
    ids=lambda schedule: schedule.decay.kind,
)
def test_from_a_hundred_to_a_million_updates_the_description_settles(schedule):
    described = {}
    for total in (2 if schedule.restarts is None else 10, 100, 10_000, 100_000, 1_000_000):
        described[total] = describe_curve(schedule.lrs(total))
        described[total][0] -= math.log10(total)
        assert np.isfinite(described[total]).all()
    np.testing.assert_allclose(described[1_000_000], described[100_000], atol=1e-3)
    np.testing.assert_allclose(described[1_000_000], described[10_000], atol=0.01)


def test_a_million_updates_take_well_under_a_second():
    lrs = Schedule(0.1, Cosine(), Warmup()).lrs(1_000_000)
    start = time.perf_counter()
    describe_curve(lrs)
    assert time.perf_counter() - start < 1


def test_many_curves_of_different_lengths_keep_their_order_and_values():
    lengths = [5, 600, 5, 2, 300_000, 600, 5]
    curves = [Schedule(10.0 ** -(i + 1), Cosine(0.1)).lrs(total) for i, total in enumerate(lengths)]
    many = describe_curves(curves)
    assert many.shape == (7, len(FEATURE_NAMES))
    np.testing.assert_allclose(many, [describe_curve(lrs) for lrs in curves], atol=1e-12)
    assert describe_curves([]).shape == (0, len(FEATURE_NAMES))


def test_curves_that_fill_more_than_one_chunk_equal_the_single_ones():
    rng = np.random.default_rng(0)
    curves = list(rng.random((1000, 600)))
    np.testing.assert_allclose(describe_curves(curves), [describe_curve(lrs) for lrs in curves], atol=1e-12)


@pytest.mark.parametrize("bad", [[], [0.0, 0.0], [0.1, -0.1], [0.1, np.nan], [np.inf, 0.1], [[0.1]]])
def test_what_is_no_curve(bad):
    with pytest.raises(ValueError, match="`lrs` must be a non-empty array of finite values >= 0 that are not all 0"):
        describe_curve(np.array(bad))
    with pytest.raises(ValueError, match="`lrs` must be"):
        describe_curves([np.array(bad)])


def test_the_caller_s_curve_is_left_alone():
    lrs = Schedule(0.1, Cosine()).lrs(50)
    before = lrs.copy()
    describe_curve(lrs)
    describe_curves([lrs, lrs])
    np.testing.assert_array_equal(lrs, before)
