"""Importances of landscapes whose truth is known, and where there are none to give."""

import subprocess
import sys

import numpy as np
import pytest

from schedsearch.errors import InvalidInput
from schedsearch.schedule import Schedule
from schedsearch.search.importance import FEWEST_RUNS, Importance, importances
from schedsearch.space import load_space

Tried = list[tuple[Schedule, float | None]]


def searched(count: int, seed: int = 0) -> list[Schedule]:
    space = load_space("framework").with_base_lr(1e-4, 1.0)
    rng = np.random.default_rng(seed)
    return [space.schedule(space.draw(rng, space.arms[k % len(space.arms)])) for k in range(count)]


def by_choice(tried: Tried, direction: str = "minimize") -> dict[str, Importance]:
    return {one.choice: one for one in importances(tried, direction).choices}


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_the_choice_that_matters_has_the_largest_share_of_both_kinds(direction: str) -> None:
    sign = 1 if direction == "minimize" else -1
    tried: Tried = [(one, sign * (np.log10(one.base_lr) + 2) ** 2) for one in searched(80)]
    found = by_choice(tried, direction)
    assert found["base LR"].ped_anova > 0.6
    assert found["base LR"].fanova > 0.8
    assert sum(one.ped_anova for one in found.values()) == pytest.approx(1)
    assert sum(one.fanova for one in found.values()) == pytest.approx(1)


def test_a_warm_up_that_matters_is_seen_though_it_is_a_choice_of_two() -> None:
    tried: Tried = [(one, float(one.warmup is None)) for one in searched(80)]
    found = importances(tried, "minimize")
    assert (found.choices[0].choice, found.runs, found.note) == ("warm-up", 80, "")
    assert by_choice(tried)["warm-up"].fanova > 0.8


def test_explosions_do_not_hide_what_the_rest_depends_on() -> None:
    lrs = searched(90)
    tried: Tried = [
        (one, 1e9 if k == 3 else None if k == 4 else (np.log10(one.base_lr) + 2) ** 2) for k, one in enumerate(lrs)
    ]
    assert by_choice(tried)["base LR"].fanova > 0.7


def test_too_few_runs_and_equal_scores_give_none_and_say_why() -> None:
    few = importances([(one, 1.0) for one in searched(FEWEST_RUNS - 1)], "minimize")
    assert (few.choices, few.note) == ((), "Importances need 20 searched runs or more; this study has 19.")
    equal = importances([(one, 1.0) for one in searched(FEWEST_RUNS)], "minimize")
    assert equal.note == "Importances need scores that differ; all searched runs scored the same."
    lost = importances([(one, None) for one in searched(FEWEST_RUNS)], "minimize")
    assert lost.choices == ()


def test_a_choice_that_never_varied_has_no_share() -> None:
    same = [one for one in searched(120) if one.restarts is None]
    found = by_choice([(one, np.log10(one.base_lr)) for one in same])
    assert (found["restarts"].ped_anova, found["restarts"].fanova) == (0.0, 0.0)


def test_the_same_runs_give_the_same_shares() -> None:
    tried: Tried = [(one, np.log10(one.base_lr)) for one in searched(40)]
    assert importances(tried, "minimize") == importances(tried, "minimize")


def test_a_strange_direction_is_refused() -> None:
    with pytest.raises(InvalidInput, match="`direction` must be"):
        importances([], "up")


def test_nothing_but_optuna_is_imported_for_it() -> None:
    code = (
        "import sys; import schedsearch.search.importance as it; assert 'optuna' not in sys.modules;"
        "from schedsearch.schedule import Constant, Schedule;"
        "it.importances([(Schedule(0.1 + k, Constant()), float(k)) for k in range(30)], 'minimize');"
        "found = {'torch', 'mlflow', 'botorch'} & sys.modules.keys(); sys.exit(str(found) if found else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
