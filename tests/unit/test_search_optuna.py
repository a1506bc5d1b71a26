"""Optuna's own tests of samplers, as far as the contract of `CurveSampler` reaches.

Left out: `RelativeSamplerTestCase` (it asks `sample_relative` for the parameters of a space that Optuna inferred; here
the whole candidate is planned from the `SearchSpace` and nothing is sampled relatively; the one test of it that only
runs a study in threads is repeated below), and `MultiObjectiveSamplerTestCase` (several objectives are refused, which
`SingleOnlySamplerTestCase` checks).
"""

import optuna
import pytest
from optuna.testing.pytest_samplers import BasicSamplerTestCase, SingleOnlySamplerTestCase
from search_problem import HORIZON, space_of

from schedsearch.search import CurveSampler


def make_sampler():
    return CurveSampler(space_of(), HORIZON, seed=0)


class TestBasics(BasicSamplerTestCase):
    @pytest.fixture
    def sampler(self):
        return make_sampler


class TestSingleObjectiveOnly(SingleOnlySamplerTestCase):
    @pytest.fixture
    def sampler(self):
        return make_sampler


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_parameters_of_a_users_own_are_drawn_at_random(n_jobs):
    def objective(trial):
        return trial.suggest_float("x", -10, 10) + trial.suggest_float("y", -10, 10)

    study = optuna.create_study(sampler=make_sampler())
    study.optimize(objective, n_trials=10, n_jobs=n_jobs)
    assert len({trial.params["x"] for trial in study.trials}) == 10
