"""Dimensions on their unit scale, random draws, replays."""

from math import exp, log

import numpy as np
import pytest

from schedsearch.space import Dimension
from schedsearch.space.suggest import RandomDraw, Replay

LINEAR = Dimension("x", "float", 2.0, 6.0)
LOG = Dimension("x", "float", 0.01, 1.0, log=True)


@pytest.mark.parametrize(
    ("dimension", "value", "place"),
    [(LINEAR, 2.0, 0.0), (LINEAR, 3.0, 0.25), (LINEAR, 6.0, 1.0), (LOG, 0.1, 0.5), (LOG, 1.0, 1.0)],
)
def test_unit_places(dimension: Dimension, value: float, place: float) -> None:
    assert dimension.to_unit(value) == pytest.approx(place, abs=1e-12)
    assert dimension.from_unit(place) == pytest.approx(value)


def test_from_unit_never_leaves_the_bounds() -> None:
    rounded = Dimension("x", "float", 0.001, 0.1, log=True)
    assert exp(log(0.1)) > 0.1  # so that rounding alone would leave the bounds
    assert rounded.from_unit(1.0) == 0.1
    assert LOG.from_unit(-0.1) == 0.01
    assert LINEAR.from_unit(1.5) == 6.0


def test_a_random_draw_is_uniform_on_the_scale_of_its_range_and_remembers_everything() -> None:
    draw = RandomDraw(np.random.default_rng(0))
    numbers = [draw.suggest_float("x", 0.01, 1.0, log=True) for _ in range(4000)]
    assert np.mean(np.array(numbers) < 0.1) == pytest.approx(0.5, abs=0.03)
    assert {draw.suggest_int("n", 2, 4) for _ in range(100)} == {2, 3, 4}
    assert {draw.suggest_categorical("c", ["a", "b"]) for _ in range(100)} == {"a", "b"}
    assert draw.params["x"] == numbers[-1]
    assert set(draw.params) == {"x", "n", "c"}


def test_fixed_answers_are_given_as_they_are() -> None:
    draw = RandomDraw(np.random.default_rng(0), {"c": "b", "n": 7})
    assert draw.suggest_categorical("c", ["a", "b"]) == "b"
    assert draw.suggest_int("n", 2, 4) == 7


def test_a_replay_gives_back_and_records_what_was_asked() -> None:
    replay = Replay({"x": 0.5, "n": 3, "c": "a", "other": 1})
    assert replay.suggest_float("x", 0.01, 1.0, log=True) == 0.5
    assert replay.suggest_int("n", 2, 4) == 3
    assert replay.suggest_categorical("c", ["a", "b"]) == "a"
    assert replay.asked == [
        LOG,
        Dimension("n", "int", 2, 4),
        Dimension("c", "categorical", choices=("a", "b")),
    ]


def test_a_replay_without_an_answer_raises() -> None:
    with pytest.raises(KeyError, match=r"wsd\.cooldown"):
        Replay({}).suggest_float("wsd.cooldown", 0.05, 0.9)
