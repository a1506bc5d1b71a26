"""No arm is left untuned because another one leads."""

import numpy as np
import pytest
from search_problem import curve_search, space_of

from schedsearch.search import proposals
from schedsearch.search.acquisition import PoolView
from schedsearch.search.gp import Hyperparameters, Posterior
from schedsearch.search.model import CurveModel
from schedsearch.search.pool import Describer, Pool
from schedsearch.search.trials import Candidate, Past, Told
from schedsearch.space import arm_of

SPACE = space_of()


def best_of_arms(done):
    """The best loss of every arm, 5 where none ended well."""
    best = dict.fromkeys(SPACE.arms, 5.0)
    for trial, loss in zip(done.study.trials, done.losses, strict=True):
        arm = arm_of(SPACE.schedule(trial.params))
        best[arm] = min(best[arm], 5.0 if loss is None else loss)
    return np.array(list(best.values()))


def test_turns_for_arms_bring_the_worst_arms_further(monkeypatch):
    with_turns = [best_of_arms(curve_search(seed, 48, fitter="scipy")) for seed in range(4)]
    monkeypatch.setattr(proposals, "ARMS_TURN", 10**9)
    without = [best_of_arms(curve_search(seed, 48, fitter="scipy")) for seed in range(4)]
    assert np.mean(np.sort(np.log(with_turns))[:, -5:]) < np.mean(np.sort(np.log(without))[:, -5:])


def test_improvement_can_be_on_a_bar_of_ones_own():
    posterior = Posterior(np.zeros((1, 2)), np.array([-1.0]), Hyperparameters((1.0, 1.0), 1.0, 0.1))
    view = PoolView(posterior, np.array([[0.0, 0.0], [3.0, 3.0]]))
    same = np.full(2, view.best_mean)
    assert view.expected_improvement(same) == pytest.approx(view.expected_improvement())
    easier = view.expected_improvement(np.array([view.best_mean, 0.5]))
    assert easier[0] == pytest.approx(view.expected_improvement()[0])
    assert easier[1] > view.expected_improvement()[1]


def test_the_bar_is_the_best_of_the_arm_and_where_it_has_none_the_worst_of_these():
    describer, rng = Describer(SPACE, 60), np.random.default_rng(0)
    first, second, third = SPACE.arms[:3]
    tried = [Candidate(describer.shape(SPACE.draw(rng, arm)), -1.0) for arm in (first, first, second)]
    x = np.stack([one.shape.features + one.log_lr for one in tried])
    model = CurveModel.of_features(x, [0.3, 0.1, 0.2], fitter="scipy")
    pool = Pool.of(describer.shapes(SPACE.draw(rng, arm) for arm in (first, second, third)), np.full((3, 1), -1.0))
    past = Past([Told(one, value) for one, value in zip(tried, [0.3, 0.1, 0.2], strict=True)], [], set())
    means = model.view(x).mean
    own = [means[:2].min(), means[2]]
    assert proposals._arms_best(pool, past, model) == pytest.approx([*own, max(own)])
