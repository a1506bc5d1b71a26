"""Arms, answers, and which schedule is the simpler one."""

import pytest

from schedsearch.schedule import (
    Constant,
    Cosine,
    Decay,
    Linear,
    MultiStep,
    Restarts,
    Schedule,
    Spline,
    Step,
    Warmup,
    Wsd,
)
from schedsearch.space import Arm, Question, answers_of, arm_of, complexity
from schedsearch.space.answers import SIMPLEST_FIRST


def schedule(decay: Decay, warmup: Warmup | None = None, restarts: Restarts | None = None) -> Schedule:
    return Schedule(0.1, decay, warmup, restarts)


def test_the_arm_of_a_schedule_says_how_it_answers() -> None:
    bare = schedule(Constant())
    full = schedule(Cosine(), Warmup("exponential"), Restarts(3))
    assert arm_of(bare) == Arm("none", "constant", "single")
    assert arm_of(full) == Arm("exponential", "cosine", "restarts")
    assert answers_of(bare) == {Question.WARMUP: "no", Question.DECAY: "constant", Question.RESTARTS: "no"}
    assert answers_of(full) == {Question.WARMUP: "yes", Question.DECAY: "cosine", Question.RESTARTS: "yes"}


@pytest.mark.parametrize(
    ("arm", "label"),
    [
        (Arm("none", "wsd", "single"), "no warm-up + wsd, single"),
        (Arm("linear", "cosine", "restarts"), "linear warm-up + cosine, restarts"),
    ],
)
def test_labels(arm: Arm, label: str) -> None:
    assert arm.label == label


def test_questions_come_in_the_order_in_which_they_are_decided() -> None:
    assert list(Question) == ["warmup", "decay", "restarts"]


def test_every_kind_of_decay_has_a_place_in_the_order_of_simplicity() -> None:
    assert set(SIMPLEST_FIRST) == {family.kind for family in Decay.__subclasses__()}


@pytest.mark.parametrize(
    ("simpler", "harder"),
    [
        (schedule(Constant()), schedule(Linear())),
        (schedule(Linear()), schedule(Cosine())),
        (schedule(Spline(0.2, 0.4, 0.8, 0.3)), schedule(Linear(), Warmup())),
        (schedule(Linear(), Warmup()), schedule(Linear(), Warmup(), Restarts())),
        (schedule(Wsd(0.2)), schedule(Step(2, 0.1))),
        (schedule(Cosine()), schedule(Cosine(0.0, 2.0))),
        (schedule(Linear(), Warmup()), schedule(Linear(), Warmup("linear", 0.037))),
        (schedule(Linear(), None, Restarts(3)), schedule(Linear(), None, Restarts(3, 1.5, 0.7))),
        (schedule(MultiStep((0.5,), 0.1)), schedule(MultiStep((0.5, 0.75), 0.1))),
    ],
)
def test_complexity_puts_the_plainer_schedule_first(simpler: Schedule, harder: Schedule) -> None:
    assert complexity(simpler) < complexity(harder)


def test_complexity_ignores_the_base_lr() -> None:
    one = schedule(Cosine(0.1, 2.0), Warmup("linear", 0.037))
    assert complexity(one) == complexity(one.with_base_lr(3.0)) == (2, SIMPLEST_FIRST.index("cosine"), 3)
