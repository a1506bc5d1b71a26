"""What the two tests of a probe suggest: hand-made curves and ladders."""

import pytest

from schedsearch.errors import SchedsearchError
from schedsearch.evidence.diagnosis import Curve, Kind
from schedsearch.evidence.probe import RangeTest, StartupRun, read_range_test, startup_run, suggest


def rising(losses: list[float | None], diverged_at: int | None = None) -> Curve:
    """A range test of 100 updates whose LR is 10 times larger at every measurement, from 1e-4."""
    lrs = [10.0 ** (k - 4) for k in range(len(losses))]
    return Curve(100, [10 * k + 9 for k in range(len(losses))], lrs, losses, losses, 2.0, diverged_at)


def run(base_lr: float, loss: float | None, *, warm: bool, kind: Kind = Kind.HEALTHY) -> StartupRun:
    return StartupRun(base_lr, warm, 2.0, loss, kind)


def test_the_range_test_finds_where_the_loss_falls_and_where_it_climbs_again() -> None:
    assert read_range_test(rising([2.0, 1.9, 1.0, 0.5, 0.9, 1.4, 9.0])) == RangeTest(pytest.approx(0.01), 10.0)
    assert read_range_test(rising([2.0, 1.8, 1.0, 0.5, None], 45)) == RangeTest(pytest.approx(1e-3), 1.0)


def test_a_loss_that_never_climbs_has_its_edge_at_the_end_and_one_that_never_falls_is_an_error() -> None:
    assert read_range_test(rising([2.0, 1.5, 1.0, 0.5])).edge_lr == pytest.approx(0.1)
    with pytest.raises(SchedsearchError, match=r"fell at no LR between 0\.0001 and 0\.1; the task does not train"):
        read_range_test(rising([2.0, 2.0, 1.999, 5.0]))
    with pytest.raises(SchedsearchError, match="does not train"):
        read_range_test(rising([None], 3))


def test_a_short_run_is_read_with_its_diagnosis() -> None:
    spike = Curve(60, list(range(2, 60, 3)), [0.1] * 20, [50.0, *[2.0] * 19], [2.0] * 20, 2.0)
    assert startup_run(0.1, has_warmup=False, curve=spike) == StartupRun(0.1, False, 2.0, 2.0, Kind.UNSTABLE_START)
    lost = Curve(60, [2, 5], [0.1, 0.1], [50.0, None], [9.0, None], 2.0, 5)
    assert startup_run(0.1, has_warmup=True, curve=lost).loss is None


def test_a_warm_up_matters_where_it_makes_higher_base_lrs_train() -> None:
    runs = [
        run(0.01, 1.0, warm=True), run(0.01, 1.0, warm=False),
        run(0.025, 0.7, warm=True), run(0.025, 0.8, warm=False),
        run(0.0625, 0.6, warm=True), run(0.0625, 2.3, warm=False, kind=Kind.UNSTABLE_START),
        run(0.156, None, warm=True, kind=Kind.UNSTABLE_START), run(0.156, None, warm=False, kind=Kind.UNSTABLE_START),
    ]  # fmt: skip
    found = suggest(runs)
    assert (found.best_lr, found.trains_with, found.trains_without, found.warmup_matters) == (
        0.0625,
        0.0625,
        0.025,
        True,
    )
    assert (found.low, found.high) == (pytest.approx(0.0031), pytest.approx(0.31))
    assert found.sentence == (
        "Look for the base LR between 0.0031 and 0.31: short runs train best at 0.0625. "
        "Ask whether a warm-up helps: with one base LRs up to 0.0625 train, without only those up to 0.025."
    )


def test_a_warm_up_that_changes_nothing_does_not_matter() -> None:
    runs = [run(lr, loss, warm=warm) for lr, loss in ((0.1, 0.9), (0.25, 0.5), (0.6, 2.0)) for warm in (True, False)]
    found = suggest(runs)
    assert not found.warmup_matters
    assert found.sentence.endswith(
        "The start seems to need no protection: base LRs up to 0.25 train without a warm-up, and with one no higher."
    )


def test_an_unstable_start_does_not_count_as_training_though_it_ends_well() -> None:
    runs = [run(0.1, 0.9, warm=False), run(0.25, 0.5, warm=False, kind=Kind.UNSTABLE_START), run(0.25, 0.5, warm=True)]
    assert suggest(runs).warmup_matters


def test_where_every_run_diverged_nothing_is_suggested() -> None:
    with pytest.raises(SchedsearchError, match="Every short run diverged"):
        suggest([run(0.1, None, warm=True), run(0.1, None, warm=False)])
