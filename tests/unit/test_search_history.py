"""The study's trials in Optuna's own storage, on a real database file."""

import optuna
import pytest
from search_problem import EXPLODED, HORIZON, curve_search, quadratic, space_of

from schedsearch.search import Observation
from schedsearch.search.history import History
from schedsearch.search.trials import key_of

SPACE = space_of()


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path / 'history.db'}"


def history(url, strategy="curve", direction="minimize", name="study"):
    return History(
        url,
        name,
        SPACE,
        strategy=strategy,
        direction=direction,
        total_updates=HORIZON,
        updates_per_epoch=10,
        seed=4,
    )


def ended(history, asked):
    for one in asked:
        loss = quadratic(one.schedule.lrs(HORIZON))
        history.tell(one.number, loss, diverged=loss is None, worst=EXPLODED)


@pytest.mark.parametrize("strategy", ["curve", "joint"])
def test_asked_candidates_are_optunas_trials_and_never_repeat(url, strategy):
    kept = history(url, strategy)
    seen = set()
    for size in (8, 3, 5):
        asked = kept.ask(size, [], "scipy")
        assert [SPACE.schedule(one.params) for one in asked] == [one.schedule for one in asked]
        seen |= {key_of(one.params) for one in asked}
        ended(kept, asked)
    assert len(seen) == 16
    study = optuna.load_study(study_name="study", storage=url)
    assert len(study.trials) == 16
    assert {trial.number: trial.params for trial in study.trials} == kept.params()
    assert study.best_value == min(trial.value for trial in study.trials)


def test_trials_written_at_once_are_those_that_optuna_asks_for(url):
    kept = history(url)
    asked = kept.ask(6, [], "scipy")
    study = optuna.create_study()
    for one, written in zip(asked, optuna.load_study(study_name="study", storage=url).trials, strict=True):
        study.enqueue_trial(one.params)
        trial = study.ask()
        assert SPACE.build(trial) == one.schedule
        assert (trial.params, trial.distributions) == (written.params, written.distributions)
        assert written.state is optuna.trial.TrialState.RUNNING


@pytest.mark.parametrize("strategy", ["curve", "joint"])
def test_another_process_goes_on_and_repeats_nothing(url, strategy):
    first = history(url, strategy)
    ended(first, first.ask(8, [], "scipy"))
    again = history(url, strategy)
    asked = again.ask(4, [], "scipy")
    keys = {key_of(params) for params in again.params().values()}
    assert len(keys) == 12
    assert [one.number for one in asked] == [8, 9, 10, 11]


def test_seed_and_history_decide_who_is_asked(tmp_path):
    def asked_in(place):
        url = f"sqlite:///{tmp_path / place}"
        for _ in range(3):
            ended(history(url), history(url).ask(4, [], "scipy"))
        return history(url).params()

    assert asked_in("one.db") == asked_in("two.db")


def test_a_divergence_is_a_bad_finite_value_and_marked(url):
    kept = history(url)
    (one,) = kept.ask(1, [], "scipy")
    kept.tell(one.number, None, diverged=True, worst=7.5)
    (trial,) = optuna.load_study(study_name="study", storage=url).trials
    assert (trial.value, trial.user_attrs["diverged"]) == (7.5, True)


def test_telling_twice_changes_nothing(url):
    kept = history(url)
    one, other = kept.ask(2, [], "scipy")
    kept.tell(one.number, 0.25, diverged=False, worst=9.0)
    kept.tell(one.number, None, diverged=True, worst=9.0)
    kept.tell(other.number, None, diverged=False, worst=9.0)
    first, second = optuna.load_study(study_name="study", storage=url).trials
    assert (first.value, first.user_attrs) == (0.25, {})
    assert second.state is optuna.trial.TrialState.FAIL


def test_a_maximized_study_stays_one_for_optuna(url):
    history(url, direction="maximize")
    study = optuna.load_study(study_name="study", storage=url)
    assert study.direction is optuna.study.StudyDirection.MAXIMIZE


def test_orphans_are_closed_and_the_known_stay_open(url):
    kept = history(url)
    numbers = [one.number for one in kept.ask(3, [], "scipy")]
    assert kept.fail_orphans({numbers[1]}) == 2
    states = [trial.state.name for trial in optuna.load_study(study_name="study", storage=url).trials]
    assert states == ["FAIL", "RUNNING", "FAIL"]
    assert kept.fail_orphans({numbers[1]}) == 0


def test_runs_outside_optuna_teach_the_asks(url, tmp_path):
    lent = curve_search(9, 30).observations()

    def fifth(place, observations):
        kept = history(f"sqlite:///{tmp_path / place}")
        ended(kept, kept.ask(8, observations, "scipy"))
        return kept.ask(1, observations, "scipy")[0].params

    assert fifth("with.db", lent) != fifth("without.db", [])
    assert fifth("more.db", lent) == fifth("same.db", [Observation(one.lrs, one.value) for one in lent])
