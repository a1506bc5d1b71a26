"""Diagnoses of runs: labelled simulations, hand-made curves at the edges of the definitions, counts and sentences."""

from collections import Counter

import numpy as np
import pytest
from diagnosis_runs import labelled_run

from schedsearch.errors import InvalidInput
from schedsearch.evidence.diagnosis import Curve, Diagnosed, Diagnosis, Kind, counts, diagnose, startup_sentence

RUNS_OF_A_KIND = 150


@pytest.fixture(scope="module")
def confusion() -> Counter[tuple[Kind, Kind]]:
    """(true kind, diagnosed kind) -> runs."""
    rng = np.random.default_rng(20261125)
    return Counter((kind, diagnose(labelled_run(kind, rng)).kind) for kind in Kind for _ in range(RUNS_OF_A_KIND))


@pytest.mark.parametrize("kind", Kind)
def test_nine_of_ten_runs_of_a_kind_are_found(confusion: Counter[tuple[Kind, Kind]], kind: Kind) -> None:
    assert confusion[kind, kind] / RUNS_OF_A_KIND >= 0.9, confusion


@pytest.mark.parametrize("kind", Kind)
def test_nine_of_ten_diagnoses_are_right(confusion: Counter[tuple[Kind, Kind]], kind: Kind) -> None:
    named = sum(count for (_, found), count in confusion.items() if found is kind)
    assert confusion[kind, kind] / named >= 0.9, confusion


def curve(
    losses: list[float],
    lrs: list[float] | None = None,
    *,
    val: list[float] | None = None,
    initial: float | None = 2.0,
    diverged_at: int | None = None,
) -> Curve:
    """A run of 200 updates measured every ten."""
    updates = [10 * k + 9 for k in range(len(losses))]
    return Curve(200, updates, lrs or [0.1] * len(losses), losses, val or losses, initial, diverged_at)


FALLING = [2.0 * 0.8**k for k in range(1, 21)]
COOLED = [0.1] * 12 + [0.1 - 0.0125 * k for k in range(8)]


def test_a_run_that_only_falls_is_healthy() -> None:
    found = diagnose(curve(FALLING, COOLED))
    assert found == Diagnosis(Kind.HEALTHY, "The loss fell from 2 to 0.0231 without trouble.")


def test_a_run_that_still_falls_at_its_end_is_told_so() -> None:
    found = diagnose(curve([2.0 - 0.05 * k for k in range(1, 21)], COOLED))
    assert found.sentence == (
        "The loss fell from 2 to 1 without trouble; it was still falling at the end, by 20 % of its fall in the last "
        "quarter."
    )


@pytest.mark.parametrize(("at", "kind"), [(3, Kind.UNSTABLE_START), (40, Kind.UNSTABLE_START), (41, Kind.WANDERING)])
def test_a_divergence_in_the_first_fifth_is_an_unstable_start(at: int, kind: Kind) -> None:
    found = diagnose(curve([1.9, 1.8, 1.7, 1.6, 1.5][: at // 10 + 1], diverged_at=at))
    assert (found.kind, found.update) == (kind, at)
    assert f"diverged at update {at}" in found.sentence


def test_a_divergence_soon_after_a_long_warm_up_is_an_unstable_start() -> None:
    lrs = [0.02, 0.04, 0.06, 0.08, 0.1, 0.1]
    assert diagnose(curve([1.9, 1.8, 1.7, 1.6, 1.5, 1.5], lrs, diverged_at=58)).kind is Kind.UNSTABLE_START


def test_a_run_without_a_finite_loss_is_told_by_where_it_diverged() -> None:
    empty = Curve(200, [], [], [], [], None, 0)
    assert diagnose(empty) == Diagnosis(Kind.UNSTABLE_START, "It diverged at update 0.", 0)
    lost = Curve(200, [2], [0.1], [None], [None], 2.0, 2)
    assert diagnose(lost).kind is Kind.UNSTABLE_START


def test_a_spike_that_recovers_is_an_unstable_start_and_named_with_its_update_and_lr() -> None:
    found = diagnose(curve([6.5, *FALLING[:19]], COOLED))
    assert found.kind is Kind.UNSTABLE_START
    assert found.sentence == ("By update 9 the loss had climbed to 6.5, above the 2 that it started from, at LR 0.1.")


def test_a_start_that_is_only_noisy_is_none() -> None:
    assert diagnose(curve([2.3, *FALLING[:19]], COOLED)).kind is Kind.HEALTHY


def test_a_spike_late_in_training_is_no_unstable_start() -> None:
    assert diagnose(curve([*FALLING[:12], 1.9, *FALLING[12:19]], COOLED)).kind is Kind.HEALTHY


def test_a_plateau_that_ends_because_the_lr_drops_is_wandering() -> None:
    stands, falls = [1.5] * 10, [1.2, 0.9, 0.6, 0.4, 0.3, 0.25, 0.2, 0.2, 0.2, 0.2]
    left = diagnose(curve([*stands, *falls], [0.1] * 20))
    freed = diagnose(curve([*stands, *falls], [0.1] * 10 + [0.02] * 10))
    assert (left.kind, freed.kind) == (Kind.PLATEAU_ESCAPE, Kind.WANDERING)
    assert "stood at 1.5 from update 0 to 99" in left.sentence
    assert "it fell by 72 % of its whole fall once the LR had dropped" in freed.sentence


def test_an_lr_that_never_drops_wanders_when_validation_swings() -> None:
    level = [1.5, 1.0, 0.8, 0.7, *[0.65] * 16]
    swinging = [value + 0.1 * (-1) ** k for k, value in enumerate(level)]
    assert diagnose(curve(level, val=swinging)).kind is Kind.WANDERING
    assert diagnose(curve(level)).kind is Kind.HEALTHY


def test_an_lr_that_ends_while_the_loss_falls_is_frozen_early_but_not_one_that_ends_when_it_is_flat() -> None:
    lrs = [0.1] * 8 + [0.001] * 12
    falling = [2.0 - 0.1 * k for k in range(1, 9)]
    assert diagnose(curve([*falling, *[1.2] * 12], lrs)).kind is Kind.FROZEN_EARLY
    arrived = [1.4, 1.25, 1.21, *[1.2] * 17]
    assert diagnose(curve(arrived, lrs)).kind is Kind.HEALTHY


def test_a_run_that_learned_nothing_is_told_so() -> None:
    found = diagnose(curve([2.0] * 20))
    assert found.kind is Kind.HEALTHY
    assert "nothing was learned" in found.sentence


def test_units_and_a_loss_that_is_below_zero_do_not_matter() -> None:
    rng = np.random.default_rng(5)
    for kind in Kind:
        run = labelled_run(kind, rng)
        scaled = Curve(
            run.total_updates, run.updates, [100 * lr for lr in run.lrs],
            [None if one is None else 50 * one for one in run.train_losses],
            [None if one is None else 50 * one for one in run.val_losses],
            None if run.initial_loss is None else 50 * run.initial_loss, run.diverged_at,
        )  # fmt: skip
        assert diagnose(scaled).kind is diagnose(run).kind
    assert diagnose(curve([one - 5 for one in FALLING], COOLED, initial=-3.0)).kind is Kind.HEALTHY


def test_few_measurements_tell_no_more_than_they_can() -> None:
    found = diagnose(Curve(200, [99, 199], [0.1, 0.05], [1.0, 0.5], [1.0, 0.5], 2.0))
    assert found.sentence == "It started without trouble; 2 measurements tell no more."


def test_lengths_that_differ_are_refused() -> None:
    with pytest.raises(InvalidInput, match="`updates`, `lrs` and losses must be equally long"):
        Curve(200, [9], [0.1, 0.1], [1.0], [1.0])


def run_of(number: int, base_lr: float, kind: Kind, *, warm: bool) -> Diagnosed:
    arm = f"{'linear' if warm else 'no'} warm-up + cosine, single"
    return Diagnosed(number, arm, warm, base_lr, Diagnosis(kind, ""))


def test_counts_are_by_arm_and_the_sentence_compares_with_and_without_warm_up() -> None:
    runs = [
        *(run_of(k, 0.31 + 0.1 * k, Kind.UNSTABLE_START if k < 7 else Kind.HEALTHY, warm=False) for k in range(12)),
        *(run_of(20 + k, 0.01, Kind.HEALTHY, warm=False) for k in range(5)),
        *(run_of(40 + k, 0.35, Kind.UNSTABLE_START if k < 1 else Kind.WANDERING, warm=True) for k in range(9)),
    ]
    assert counts(runs)["no warm-up + cosine, single"] == {Kind.UNSTABLE_START: 7, Kind.HEALTHY: 10}
    assert startup_sentence(runs) == (
        "Without warm-up 7 of 12 runs at base LR 0.31 or more started unstable; "
        "with warm-up 1 of 9 runs at base LR 0.31 or more started unstable."
    )


def test_a_study_in_which_nothing_started_unstable_says_so() -> None:
    assert startup_sentence([run_of(1, 0.1, Kind.HEALTHY, warm=False)]) == "None of 1 runs started unstable."
    assert startup_sentence([]) == ""
