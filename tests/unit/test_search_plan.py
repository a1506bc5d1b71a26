"""The plan: one budget split over the phases, free shapes counted, never more runs than were paid for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schedsearch.errors import InvalidInput
from schedsearch.search.plan import Budget, Plan, fit_to_runs, make_plan, most_entrants
from schedsearch.space import load_space

FRAMEWORK = load_space("framework")


def plan(budget: Budget, space: str = "framework", **changes: int) -> Plan:
    given = {"total_updates": 400, "baselines": 5, "noise_seeds": 3, "confirm_seeds": 6, **changes}
    return make_plan(budget, load_space(space), **given)


def test_a_plan_by_trials_counts_everything_that_comes_on_top() -> None:
    found = plan(Budget(trials=48))
    assert (found.trials, found.freeform_runs, found.free_shapes) == (48, 4, 1)
    assert found.entrants == most_entrants(FRAMEWORK) == 11  # warm-up 2, decay 7, restarts 2
    assert found.search_runs == 48 + 5 * 3 + 4
    assert found.most_race_runs == 2 * 11 + 2 * 6 + 2 * 3 + 2  # the free shape: two seeds
    assert found.most_confirm_runs == 6 * (1 + 3 + 5 + 1)
    assert found.most_runs == 3 + 67 + 42 + 60


@pytest.mark.parametrize(("trials", "runs"), [(4, 0), (8, 1), (16, 2), (24, 3), (32, 4), (500, 4)])
def test_a_small_search_tries_few_free_shapes_or_none(trials: int, runs: int) -> None:
    found = plan(Budget(trials=trials))
    assert found.freeform_runs == runs
    assert found.free_shapes == (runs > 0)


def test_a_space_with_the_free_shape_as_an_arm_needs_nothing_extra() -> None:
    assert plan(Budget(trials=48), "modern").freeform_runs == 0


@given(st.integers(1, 2000))
def test_a_budget_in_updates_is_never_overshot(runs: int) -> None:
    try:
        found = plan(Budget(updates=400 * runs))
    except InvalidInput as error:
        assert "pays for" in str(error)
        return
    assert found.most_runs == runs
    assert (found.trials or 0) >= 4


def test_a_small_budget_gives_up_the_free_shape_first_and_then_seeds() -> None:
    assert plan(Budget(updates=400 * 300)).freeform_runs == 4
    small = plan(Budget(updates=400 * 70))
    assert (small.freeform_runs, small.race_seeds, small.confirm_seeds) == (0, (2,), 3)


def test_a_budget_that_cannot_pay_says_what_is_needed() -> None:
    with pytest.raises(InvalidInput, match=r"`updates` = 4000 pays for 10 runs, but this study needs at least \d+"):
        plan(Budget(updates=4000))


def test_hours_become_runs_once_the_noise_phase_has_timed_some() -> None:
    waiting = plan(Budget(hours=1))
    assert (waiting.trials, waiting.freeform_runs) == (None, 4)
    assert fit_to_runs(waiting, 200, what="`hours` = 1").most_runs == 200


def test_a_plan_reads_back_and_one_from_before_free_shapes_too() -> None:
    found = plan(Budget(trials=48))
    assert Plan.from_dict(found.to_dict()) == found
    old = {key: value for key, value in found.to_dict().items() if key != "freeform_runs"}
    assert Plan.from_dict(old).most_confirm_runs == 6 * 9


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({}, "Exactly one of `trials`, `updates`, `hours` must be given, but none was."),
        ({"trials": 8, "hours": 1.0}, "but hours, trials was."),
        ({"trials": 3}, "`trials` must be at least 4, but is 3 instead."),
        ({"hours": 0.0}, "`hours` must be greater than 0, but is 0.0 instead."),
    ],
)
def test_a_bad_budget_is_named(given: dict[str, float], sentence: str) -> None:
    with pytest.raises(InvalidInput, match=sentence.replace("(", r"\(")):
        Budget(**given)  # type: ignore[arg-type]
