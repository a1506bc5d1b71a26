import numpy as np
import pytest
from search_problem import HORIZON, curve_search, quadratic, space_of

from schedsearch.schedule import (
    FEATURE_NAMES,
    Constant,
    Cosine,
    Linear,
    Schedule,
    Step,
    Warmup,
    describe_curve,
    relative_bound,
)
from schedsearch.search import CurveModel, Observation, Tried, best_base_lr, name_champions
from schedsearch.search.champions import SAME_LR, arm_champions
from schedsearch.search.model import REPEATED_SHARE
from schedsearch.space import Answer, Question, arm_of

pytestmark = pytest.mark.xdist_group("search champions")  # one set of searches for all
SPACE = space_of(low=1e-2, high=1.9)


@pytest.fixture(scope="module")
def done():
    return curve_search(2, 30, space=SPACE)


def tried_of(done, space=SPACE):
    pairs = zip(done.study.trials, done.losses, strict=True)
    return [
        Tried(trial.params, space.schedule(trial.params), 100 + trial.number, loss)
        for trial, loss in pairs
        if loss is not None
    ]


def named(done, tried=None, seed=0, space=SPACE, model=None):
    tried = tried_of(done) if tried is None else tried
    return name_champions(model or done.model(), space, tried, HORIZON, None, np.random.default_rng(seed))


def loss_of(champion):
    return quadratic(champion.schedule.lrs(HORIZON))


def test_every_answer_has_a_champion_that_gives_it(done):
    champions = named(done)
    assert set(champions) == set(SPACE.answers)
    for answer, champion in champions.items():
        assert arm_of(champion.schedule).answers[answer.question] == answer.value


def test_who_was_run_keeps_its_number_and_who_was_not_has_none(done):
    numbers = {one.schedule: one.candidate_id for one in tried_of(done)}
    champions = named(done).values()
    assert all(champion.candidate_id == numbers.get(champion.schedule) for champion in champions)
    assert any(champion.candidate_id is None for champion in champions)


def test_champions_of_answers_are_near_the_best_known_of_their_answer(done):
    """The best known: 4,000 random candidates and every champion. A search of 30 runs over ten arms."""
    rng = np.random.default_rng(1)
    best: dict[Answer, float] = {}
    for _ in range(4000):
        schedule = SPACE.schedule(SPACE.draw(rng))
        loss = quadratic(schedule.lrs(HORIZON))
        for question, value in arm_of(schedule).answers.items():
            answer = Answer(question, value)
            best[answer] = min(best.get(answer, np.inf), loss if loss is not None else np.inf)
    gaps = [loss_of(champion) / best[answer] - 1 for answer, champion in named(done).items()]
    assert np.median(gaps) < 0.15


def test_the_winners_of_two_questions_are_equally_good_and_champions_of_their_arms(done):
    champions = named(done)
    by_question = {
        question: min((c for a, c in champions.items() if a.question is question), key=lambda one: one.mean)
        for question in (Question.WARMUP, Question.DECAY)
    }
    means = [champion.mean for champion in by_question.values()]
    assert means[0] == pytest.approx(means[1], rel=0.05)
    arms = arm_champions(done.model(), SPACE, tried_of(done), HORIZON, None, np.random.default_rng(0))
    assert set(champions.values()) <= set(arms.values())
    assert set(arms) == set(SPACE.arms)


def test_an_untried_curve_must_beat_the_tried_by_more_than_its_uncertainty(done):
    model, tried = done.model(), tried_of(done)
    for answer, champion in named(done).items():
        if champion.candidate_id is None:
            rivals = [one for one in tried if arm_of(one.schedule).answers[answer.question] == answer.value]
            judged = model.judged([one.schedule.lrs(HORIZON) for one in rivals], [one.score for one in rivals])
            own = model.predict([champion.schedule.lrs(HORIZON)])
            assert own.latent_mean[0] + own.latent_sd[0] <= judged.min(initial=np.inf)


def test_a_run_is_judged_between_what_the_model_expects_and_what_it_scored(done):
    model, tried = done.model(), tried_of(done)
    curves, scores = [one.schedule.lrs(HORIZON) for one in tried], [one.score for one in tried]
    expected, scored = model.predict(curves).latent_mean, model.scale.to_latent(scores)
    share = (model.judged(curves, scores) - expected) / (scored - expected)
    assert share == pytest.approx(np.full(len(tried), REPEATED_SHARE))
    best = int(np.argmin(scored))
    assert model.judged([curves[best]], [None])[0] > model.judged([curves[best]], [scores[best]])[0]


def test_no_untried_curve_is_bolder_than_every_run_that_ended_well(done):
    well = [describe_curve(curve) for curve, loss in zip(done.curves, done.losses, strict=True) if loss is not None]
    peak = FEATURE_NAMES.index("log_max")
    boldest = max(features[peak] for features in well)
    for champion in named(done).values():
        assert describe_curve(champion.schedule.lrs(HORIZON))[peak] <= boldest + 1e-6
        assert loss_of(champion) is not None


def test_the_same_generator_names_the_same(done):
    assert named(done, seed=3) == named(done, seed=3)


def test_without_a_single_run_there_are_still_champions():
    champions = named(None, [], model=CurveModel.fit([]))
    assert set(champions) == set(SPACE.answers)
    assert all(champion.candidate_id is None for champion in champions.values())


def test_a_space_with_one_arm_names_one_schedule():
    space = space_of(warmup={"kinds": ["none"]}, decay={"linear": {}})
    done = curve_search(0, 10, space=space)
    champions = named(done, tried_of(done, space), space=space)
    assert len({champion.schedule for champion in champions.values()}) == 1


def test_baselines_speak_for_the_answers_of_their_arm_and_others_stay_outside(done):
    wonder, foreign = Schedule(0.31, Cosine(), Warmup("linear", 0.11)), Schedule(0.2, Step(2, 0.3))
    observed = [Observation(wonder.lrs(HORIZON), 1e-4), Observation(foreign.lrs(HORIZON), 1e-5)]
    tried = [*tried_of(done), Tried(None, wonder, 7, 1e-4), Tried(None, foreign, 8, 1e-5)]
    champions = named(done, tried, model=done.model(observed))
    assert 8 not in {champion.candidate_id for champion in champions.values()}
    assert champions[Answer(Question.DECAY, "cosine")].mean < done.best


# ---- base LRs of baselines

RANGE = (1e-2, 4.0)


@pytest.mark.parametrize("baseline", [Schedule(1.0, Constant()), Schedule(1.0, Cosine()), Schedule(1.0, Linear())])
def test_without_a_model_baselines_start_equally_bold(baseline):
    found = best_base_lr(None, baseline, RANGE, HORIZON, None, [])
    assert found == pytest.approx(0.2 * relative_bound(baseline, HORIZON).best_scale)


def test_a_narrow_range_holds_whatever_the_shape_asks_for():
    for low, high in ((0.1, 0.11), (0.09999999999999999, 0.1)):
        for model in (None, CurveModel.fit([])):
            found = best_base_lr(model, Schedule(1.0, Constant()), (low, high), HORIZON, None, [low, high])
            assert low <= found <= high


def test_with_a_model_the_base_lr_is_near_the_best_one(done):
    baseline = Schedule(1.0, Linear())
    found = best_base_lr(done.model(), baseline, RANGE, HORIZON, None, [])
    lrs = np.geomspace(*RANGE, 200)
    losses = [quadratic(baseline.with_base_lr(lr).lrs(HORIZON)) or np.inf for lr in lrs]
    assert quadratic(baseline.with_base_lr(found).lrs(HORIZON)) < 1.25 * min(losses)


def test_base_lrs_that_were_tried_are_not_tried_again(done):
    baseline, tried = Schedule(1.0, Linear()), []
    for _ in range(5):
        found = best_base_lr(done.model(), baseline, RANGE, HORIZON, None, tried)
        assert all(abs(np.log10(found / other)) >= SAME_LR - 1e-9 for other in tried)
        tried.append(found)
