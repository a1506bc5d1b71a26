"""`CurveSampler` as anyone's Optuna sampler: which spaces, which histories, who asks."""

import json
import subprocess
import sys
from threading import Barrier, Thread

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState
from search_problem import EXPLODED, HORIZON, curve_search, quadratic, search, space_of

from schedsearch.errors import InvalidInput
from schedsearch.schedule import Cosine, Schedule
from schedsearch.search import CurveSampler, Observation
from schedsearch.search.trials import PLAN_ATTRIBUTE, key_of
from schedsearch.space import arm_of, builtin_spaces, load_space


def distinct(study):
    return len({key_of(trial.params) for trial in study.trials})


def asked(sampler, space, count, study=None):
    study = study or optuna.create_study(sampler=sampler)
    trials = [study.ask() for _ in range(count)]
    for trial in trials:
        space.build(trial)
    return [trial.params for trial in trials]


# ---- spaces


def one_arm(**decay):
    return space_of(warmup={"kinds": ["none"]}, decay=decay)


SPACES = {
    "usual": space_of(),
    "one arm": one_arm(cosine={"power": {"low": 0.3, "high": 3.0}}),
    "base LR only": one_arm(linear={}),
    "frozen parameters": space_of(warmup={"kinds": ["linear"], "fraction": 0.1, "start_factor": 0.5}),
    "whole numbers and choices": one_arm(
        step={"drops": {"low": 1, "high": 4}},
        wsd={"shape": ["linear", "sqrt"], "final_factor": {"low": 0.01, "high": 0.1}},
    ),
    "by the epoch": space_of(step_every="epoch"),
    "free shapes": one_arm(spline={}),
}
SPACES |= {space.name: space.with_base_lr(0.01, 2.0) for space in builtin_spaces()}


@pytest.mark.parametrize("name", SPACES)
def test_any_space_is_searched_without_repeating_a_candidate(name):
    space = SPACES[name]
    study = optuna.create_study(sampler=CurveSampler(space, HORIZON, updates_per_epoch=6, seed=1))
    for _ in range(14):
        trial = study.ask()
        study.tell(trial, quadratic(space.build(trial).lrs(HORIZON, 6)) or EXPLODED)
    assert distinct(study) == 14
    assert all(json.loads(trial.system_attrs[PLAN_ATTRIBUTE]) == trial.params for trial in study.trials)


def test_a_space_with_an_open_base_lr_is_refused_before_the_first_trial():
    with pytest.raises(InvalidInput, match="`base_lr` of the space 'framework' must have a range"):
        CurveSampler(load_space("framework"), 100)


# ---- the same history and seed


def replayed(study, count):
    """A fresh copy of the first `count` finished trials."""
    copy = optuna.create_study()
    copy.add_trials(study.get_trials()[:count])
    return copy


def test_seed_and_history_decide_whoever_asks():
    space = space_of()
    done = curve_search(5, 16)
    for count in (3, 11, 15):
        study = replayed(done.study, count)
        study.sampler = CurveSampler(space, HORIZON, seed=5)
        assert asked(None, space, 1, study)[0] == done.study.trials[count].params


def test_another_seed_is_another_search():
    assert curve_search(5, 3).study.trials[0].params != curve_search(6, 3).study.trials[0].params
    unseeded = [asked(CurveSampler(space_of(), HORIZON), space_of(), 1) for _ in range(2)]
    assert unseeded[0] != unseeded[1]


def test_reseeding_starts_another_search():
    space, sampler = space_of(), CurveSampler(space_of(), HORIZON, seed=5)
    first = asked(sampler, space, 1)
    sampler.reseed_rng()
    assert asked(sampler, space, 1) != first


def test_one_sampler_can_serve_two_studies():
    space, sampler = space_of(), CurveSampler(space_of(), HORIZON, seed=5)
    done = search(sampler, space, 10)
    again = search(sampler, space, 10)
    assert again.losses == done.losses


# ---- parallel asks


def told(count, seed=3, space=None):
    return curve_search(seed, count, space=space or space_of()).study


def test_parallel_asks_never_repeat_a_candidate():
    space, study = space_of(), told(12)
    asked(None, space, 20, study)
    assert distinct(study) == 32


def test_pending_trials_of_another_sampler_are_filled_in():
    space, study = space_of(), told(12)
    first = asked(None, space, 1, study)[0]
    study.sampler = CurveSampler(space, HORIZON, seed=3)
    assert asked(None, space, 6, study).count(first) == 0
    alone = told(12)
    alone.sampler = CurveSampler(space, HORIZON, seed=3)
    alone.tell(alone.ask(), state=TrialState.FAIL)
    assert alone.trials[12].system_attrs[PLAN_ATTRIBUTE] == study.trials[12].system_attrs[PLAN_ATTRIBUTE]
    assert asked(None, space, 1, alone)[0] != asked(None, space, 1, study)[0]


def test_threads_share_a_sampler_and_never_get_the_same():
    space, study, start = space_of(), told(10), Barrier(4)

    def work():
        start.wait()
        for _ in range(4):
            trial = study.ask()
            study.tell(trial, quadratic(space.build(trial).lrs(HORIZON)) or EXPLODED)

    threads = [Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(study.trials) == distinct(study) == 26


def test_a_planned_batch_is_handed_out_one_by_one():
    space, study = space_of(), told(12)
    study.sampler.plan_batch(study, 5)
    asked(None, space, 6, study)
    assert distinct(study) == 18


def test_beyond_what_the_model_can_guess_idle_workers_get_plain_draws():
    space, study = space_of(), told(12)
    arms = [arm_of(space.schedule(params)) for params in asked(None, space, 60, study)]
    assert set(arms) == set(space.arms)


# ---- trials of every kind


def test_an_enqueued_candidate_is_run_as_it_is_and_counts_as_pending():
    space, study = space_of(), told(12)
    own = {**study.trials[0].params, "base_lr": 0.123}
    study.enqueue_trial(own)
    first = asked(None, space, 1, study)[0]
    assert first == own
    assert PLAN_ATTRIBUTE not in study.trials[12].system_attrs
    assert own not in asked(None, space, 8, study)


def test_a_users_own_parameters_beside_the_spaces_are_drawn_and_not_in_the_way():
    space = space_of()
    study = optuna.create_study(sampler=CurveSampler(space, HORIZON, seed=0))
    for _ in range(12):
        trial = study.ask()
        momentum = trial.suggest_float("momentum", 0.5, 0.99)
        study.tell(trial, (quadratic(space.build(trial).lrs(HORIZON)) or EXPLODED) + momentum)
    assert len({trial.params["momentum"] for trial in study.trials}) == 12
    assert study.sampler.rank_agreement is not None


@pytest.mark.filterwarnings("ignore:PartialFixedSampler is experimental")
def test_a_fixed_parameter_of_optunas_own_is_respected():
    space = space_of()
    study = told(10)
    study.sampler = optuna.samplers.PartialFixedSampler({"decay": "wsd"}, study.sampler)
    params = asked(None, space, 6, study)
    assert {one["decay"] for one in params} == {"wsd"}


def test_failed_and_foreign_trials_are_passed_over():
    space, study = space_of(), told(10)
    trial = study.ask()
    space.build(trial)
    study.tell(trial, state=TrialState.FAIL)
    unit = optuna.distributions.FloatDistribution(0, 2)
    study.add_trial(optuna.create_trial(params={"x": 1.0}, distributions={"x": unit}, value=0.0))
    assert asked(None, space, 1, study)[0] != trial.params


@pytest.mark.parametrize("how", ["marked", "infinite", "pruned"])
def test_a_divergence_is_a_bad_value_however_it_is_told(how):
    """Everything above a base LR of 0.3 diverges: nearly all asks of the model stay below."""
    space = space_of()
    study = optuna.create_study(sampler=CurveSampler(space, HORIZON, seed=2))
    lrs = []
    for _ in range(30):
        trial = study.ask()
        schedule = space.build(trial)
        lrs.append(schedule.base_lr)
        if schedule.base_lr <= 0.3:
            study.tell(trial, quadratic(schedule.lrs(HORIZON)))
        elif how == "marked":
            trial.set_user_attr("diverged", True)
            study.tell(trial, 0.0)
        else:
            study.tell(trial, *((float("inf"),) if how == "infinite" else (None, TrialState.PRUNED)))
    assert sum(lr > 0.3 for lr in lrs[12:]) <= 6


def test_maximizing_is_minimizing_the_negative():
    def searched(direction, sign):
        space = space_of()
        study = optuna.create_study(sampler=CurveSampler(space, HORIZON, seed=1), direction=direction)
        for _ in range(14):
            trial = study.ask()
            loss = quadratic(space.build(trial).lrs(HORIZON))
            study.tell(trial, sign * (min(loss or EXPLODED, EXPLODED) - 1))
        return [trial.params for trial in study.trials]

    assert searched("maximize", -1) == searched("minimize", 1)


# ---- little or nothing to learn from


@pytest.mark.parametrize("results", [0, 1, 2, 3])
def test_few_results_are_enough_to_go_on(results):
    space, study = space_of(), told(results)
    params = asked(None, space, 4, study)
    assert all(len(space.schedule(one).lrs(HORIZON)) == HORIZON for one in params)


@pytest.mark.parametrize("value", [0.5, 0.0, None], ids=["equal", "zero", "all diverged"])
def test_results_that_say_nothing_leave_a_spread_search(value):
    done = curve_search(0, 20, lambda lrs: value)
    space = space_of()
    assert distinct(done.study) == 20
    lrs = np.log10([trial.params["base_lr"] for trial in done.study.trials])
    assert np.ptp(lrs) > 0.5 * np.ptp(np.log10(space.base_lr))


def test_curves_that_are_all_alike_leave_a_search():
    space = space_of(low=0.1, high=0.1 * (1 + 1e-12), warmup={"kinds": ["none"]}, decay={"linear": {}})
    rng = np.random.default_rng(0)
    assert len(curve_search(0, 12, lambda lrs: rng.random(), space=space).losses) == 12


def test_thousands_of_results_are_thinned_and_the_search_goes_on():
    space, rng = space_of(), np.random.default_rng(0)
    study = optuna.create_study(sampler=CurveSampler(space, HORIZON, seed=0))
    recorded = [recorded_trial(space, space.draw(rng)) for _ in range(5000)]
    study.add_trials(recorded)
    params = asked(None, space, 3, study)
    assert len({key_of(one) for one in params}) == 3
    losses = sorted(trial.value for trial in recorded)
    assert min(quadratic(space.schedule(one).lrs(HORIZON)) or EXPLODED for one in params) < losses[50]


def recorded_trial(space, params):
    distributions = {}
    for one in space.dimensions(params):
        if one.kind == "categorical":
            distributions[one.name] = optuna.distributions.CategoricalDistribution(one.choices)
        else:
            distributions[one.name] = optuna.distributions.FloatDistribution(one.low, one.high, log=one.log)
    value = quadratic(space.schedule(params).lrs(HORIZON)) or EXPLODED
    return optuna.create_trial(params=params, distributions=distributions, value=value)


# ---- curves from outside


def test_observations_from_outside_teach_the_search():
    """40 runs of another search leave little to find: the first asks after the start are good at once."""
    lent = curve_search(9, 40)
    taught = curve_search(1, 12, observations=lent.observations())
    assert min(loss for loss in taught.losses[8:] if loss is not None) <= 1.1 * lent.best


def test_observations_can_be_replaced():
    space, study = space_of(), told(10)
    sampler = study.sampler
    before = asked(None, space, 1, replay_with(study, sampler))[0]
    sampler.observe([Observation(Schedule(0.3, Cosine()).lrs(HORIZON), 1e-6)])
    assert asked(None, space, 1, replay_with(study, sampler))[0] != before


def replay_with(study, sampler):
    copy = replayed(study, 10)
    copy.sampler = sampler
    return copy


# ---- the example in the documentation


def test_the_documented_example_runs_outside_the_service():
    import schedsearch.search.sampler as documented

    code = "\n".join(line[4:] for line in documented.__doc__.split("\n\n\n")[0].splitlines() if line.startswith("    "))
    code = code.replace("n_trials=48", "n_trials=10")
    names = {"optuna": optuna, "CurveSampler": CurveSampler, "load_space": load_space}
    names["train"] = lambda schedule: float(np.square(schedule.lrs(600)).mean())
    exec(compile(code, "example", "exec"), names)  # noqa: S102
    assert len(names["study"].trials) == 10


def test_nothing_heavy_is_imported_before_it_is_used():
    code = (
        "import sys, numpy as np, schedsearch.search as s; assert 'optuna' not in sys.modules; s.CurveModel; "
        "s.best_free_shapes; s.name_champions; s.CurveSampler; "
        "heavy = {'torch', 'botorch', 'gpytorch'} & set(sys.modules); assert not heavy, heavy; "
        "s.CurveModel.fit([s.Observation(np.ones(9), 1.0)]); assert 'botorch' in sys.modules"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)
