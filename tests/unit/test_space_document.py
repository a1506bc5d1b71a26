"""What a space file may say, and the sentence for everything it may not."""

from typing import Any

import pytest

from schedsearch.errors import InvalidSpace
from schedsearch.space import SearchSpace

SMALL: dict[str, Any] = {"name": "small", "decay": {"linear": None}}


def space(**changes: Any) -> SearchSpace:
    return SearchSpace.from_dict({**SMALL, **changes})


def faults(**changes: Any) -> list[str]:
    with pytest.raises(InvalidSpace) as caught:
        space(**changes)
    return list(caught.value.faults)


def test_the_smallest_space_asks_for_the_base_lr_only() -> None:
    small = space(base_lr={"low": 0.1, "high": 1})
    assert [one.name for one in small.dimensions({"base_lr": 0.5})] == ["base_lr"]
    assert small.schedule({"base_lr": 0.5}).to_dict() == {
        "base_lr": 0.5,
        "warmup": None,
        "decay": {"kind": "linear", "final_factor": 0.0},
        "restarts": None,
        "step_every": 1,
    }


@pytest.mark.parametrize("text", ["1e-3", "1E-3", "+1e-3", "0.001", ".001"])
def test_text_that_spells_a_number_is_one(text: str) -> None:
    assert space(decay={"exponential": {"final_factor": text}}).document.decay.exponential.final_factor == 0.001


def test_text_that_spells_a_whole_number_is_one() -> None:
    assert space(decay={"step": {"drops": "3"}}).document.decay.step.drops == 3


DECAY_FAULTS = [
    ({}, "`decay` must list at least one kind of constant, step, multistep, exponential, cosine, linear, polynomial, "
     "rex, wsd, inverse_sqrt, spline, but is empty."),
    ({"step": {"gamma": 1.5}}, "`decay.step.gamma` must be in (0, 1), but is 1.5 instead."),
    ({"step": {"gamma": {"low": 0.5, "high": 1}}}, "`decay.step.gamma` must be in (0, 1), but is 1 instead."),
    ({"step": {"gamma": {"low": 0.5, "high": 0.5}}},
     "`decay.step.gamma` must have `low` below `high`, but has low 0.5 and high 0.5."),
    ({"step": {"gamma": {"low": 0.5}}}, "`decay.step.gamma.high` is missing."),
    ({"step": {"gamma": {"low": 0.1, "high": 0.2, "lg": True}}},
     "`decay.step.gamma` has no key 'lg'; valid keys: low, high, log."),
    ({"step": {"gamma": True}}, "`decay.step.gamma` must be a number, but is True instead."),
    ({"step": {"gamma": "half"}}, "`decay.step.gamma` must be a number, but is 'half' instead."),
    ({"step": {"gamma": "nan"}}, "`decay.step.gamma` must be a finite number, but is 'nan' instead."),
    ({"step": {"drops": 0}}, "`decay.step.drops` must be at least 1, but is 0 instead."),
    ({"step": {"drops": 2.5}}, "`decay.step.drops` must be a whole number, but is 2.5 instead."),
    ({"step": {"drops": True}}, "`decay.step.drops` must be a number, but is True instead."),
    ({"step": {"drops": {"low": 0, "high": 3}}}, "`decay.step.drops` must be at least 1, but is 0 instead."),
    ({"multistep": {"milestones": [0.5, 0.5]}},
     "`decay.multistep` must have `milestones` that rise strictly inside (0, 1), but has [0.5, 0.5]."),
    ({"multistep": {"milestones": []}},
     "`decay.multistep` must have `milestones` that rise strictly inside (0, 1), but has []."),
    ({"cosine": {"final_factor": 1}}, "`decay.cosine.final_factor` must be in [0, 1), but is 1 instead."),
    ({"cosine": {"final_factor": {"low": 0, "high": 0.5}}},
     "`decay.cosine.final_factor` must lie in (0, 1), but is from 0 to 0.5."),
    ({"cosine": {"power": 0}}, "`decay.cosine.power` must be greater than 0, but is 0 instead."),
    ({"rex": {"beta": {"low": -1, "high": 2, "log": True}}},
     "`decay.rex.beta` must have a `low` greater than 0 where `log` is true, but has -1."),
    ({"wsd": {"cooldown": 1.01}}, "`decay.wsd.cooldown` must be in (0, 1], but is 1.01 instead."),
    ({"wsd": {"shape": "sqrt"}}, "`decay.wsd.shape` must be a list, but is 'sqrt' instead."),
    ({"wsd": {"shape": []}}, "`decay.wsd.shape` must list at least one choice, but is empty."),
    ({"wsd": {"shape": ["sqrt", "sqrt"]}},
     "`decay.wsd.shape` must list every choice once, but is ['sqrt', 'sqrt'] instead."),
    ({"constant": {"final_factor": 0}}, "`decay.constant` has no key 'final_factor'; valid keys: none."),
    ({"linear": 3}, "`decay.linear` must hold `key: value` pairs, but is 3 instead."),
]  # fmt: skip


@pytest.mark.parametrize(("decay", "sentence"), DECAY_FAULTS)
def test_a_bad_decay_is_one_sentence(decay: dict[str, Any], sentence: str) -> None:
    assert faults(decay=decay) == [sentence]


OTHER_FAULTS = [
    ({"name": "a b"},
     "`name` must start with a letter or digit and hold only letters, digits, `.`, `_` and `-`, but is "
     "'a b' instead."),
    ({"title": 3}, "`title` must be text, but is 3 instead."),
    ({"warm_up": {}}, "The file has no key 'warm_up'; valid keys: name, title, description, base_lr, warmup, decay, "
     "restarts, step_every, baselines."),
    ({"base_lr": {"low": 0, "high": 1}}, "`base_lr.low` must be greater than 0, but is 0 instead."),
    ({"base_lr": {"low": 1, "high": 1}}, "`base_lr` must have `low` below `high`, but has low 1 and high 1."),
    ({"warmup": {"kinds": ["none", "quadratic"]}},
     "`warmup.kinds.1` must be 'none', 'linear', 'cosine' or 'exponential', but is 'quadratic' instead."),
    ({"warmup": {"kinds": ["linear"], "start_factor": 0}},
     "`warmup.start_factor` must be in (0, 1), but is 0 instead."),
    ({"restarts": {"cycles": 1}}, "`restarts.cycles` must be at least 2, but is 1 instead."),
    ({"restarts": {"growth": 0.9}}, "`restarts.growth` must be at least 1, but is 0.9 instead."),
    ({"restarts": {"peak_decay": {"low": 0.5, "high": 1.5}}},
     "`restarts.peak_decay` must be in (0, 1], but is 1.5 instead."),
    ({"step_every": 0}, '`step_every` must be a whole number of at least 1 or "epoch", but is 0 instead.'),
    ({"step_every": True}, '`step_every` must be a whole number of at least 1 or "epoch", but is True instead.'),
    ({"step_every": "batch"},
     '`step_every` must be a whole number of at least 1 or "epoch", but is \'batch\' instead.'),
    ({"baselines": {"mine": 3}}, "`baselines.mine` must hold `key: value` pairs, but is 3 instead."),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "sentence"), OTHER_FAULTS)
def test_a_bad_answer_is_one_sentence(changes: dict[str, Any], sentence: str) -> None:
    assert faults(**changes) == [sentence]


def test_a_range_inside_out_is_told_with_the_other_faults() -> None:
    found = faults(
        warmup={"kinds": ["linear"], "fraction": {"low": 0.2, "high": 0.1}},
        decay={"cosine": {"final": 0}},
        step_every=-1,
    )
    assert [sentence.split("`")[1] for sentence in found] == ["warmup.fraction", "decay.cosine", "step_every"]


def test_baselines_are_checked_like_schedules() -> None:
    linear = {"kind": "linear"}
    found = faults(
        baselines={
            "a": {"decay": {"kind": "cosin"}},
            "b": {"decay": linear, "warmup": {"kind": "linear", "fraction": 3.0, "start_factor": 0.1}},
            "c": {"decay": linear, "base_lr": 0.1},
        }
    )
    assert len(found) == 3
    assert all(sentence.startswith("`baselines` must be schedules, but in ") for sentence in found)
    assert "in 'a' `decay.kind` must be one of" in found[0]
    assert "in 'b' `warmup.fraction` must be in (0, 1), but is 3.0 instead." in found[1]
    assert "in 'c' a schedule without `base_lr` is expected" in found[2]


def test_missing_parts_are_named() -> None:
    with pytest.raises(InvalidSpace) as caught:
        SearchSpace.from_dict({"warmup": {}})
    assert caught.value.faults == ("`name` is missing.", "`warmup.kinds` is missing.", "`decay` is missing.")


def test_long_values_are_cut_in_the_sentence() -> None:
    (sentence,) = faults(title=list(range(100)))
    assert len(sentence) < 120
    assert "..." in sentence
