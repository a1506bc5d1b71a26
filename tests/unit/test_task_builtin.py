"""The built-in tasks: real data, disjoint fixed splits, and models that learn from it."""

from itertools import combinations

import pytest
import torch
from task_examples import never, nothing, spec

from schedsearch.schedule import Cosine
from schedsearch.task import load_task
from schedsearch.task.builtin import charlm
from schedsearch.task.builtin.data import cut
from schedsearch.training.loop import train

SIZES = {"digits": (989, 449, 359), "mnist5k": (3000, 1000, 1000), "mnist1d": (3200, 800, 1000)}
SHAPES = {"digits": (64,), "mnist5k": (1, 28, 28), "mnist1d": (1, 40)}


@pytest.fixture(scope="module", params=sorted(SIZES))
def images(request):
    return load_task(request.param)


def rows_of(split):
    return {row.numpy().tobytes() for row in split[0]}


def test_sizes_shapes_and_labels(images):
    splits = images.splits
    assert tuple(len(split[0]) for _, split in splits.items()) == SIZES[images.name]
    for _, (x, y) in splits.items():
        assert x.shape[1:] == SHAPES[images.name]
        assert x.dtype == torch.float32
        assert set(y.tolist()) == set(range(10))


def test_splits_share_no_example(images):
    parts = [rows_of(split) for _, split in images.splits.items()]
    assert all(not one & other for one, other in combinations(parts, 2))


def test_a_split_does_not_follow_the_runs_seed():
    x = torch.arange(100.0)
    first = cut(x, x, 0.2, 0.3)
    torch.manual_seed(99)
    again = cut(x, x, 0.2, 0.3)
    assert [len(part[0]) for _, part in first.items()] == [50, 20, 30]
    assert torch.equal(first.train[0], again.train[0])
    every = torch.cat([part[0] for _, part in first.items()])
    assert every.sort().values.tolist() == x.tolist()


@pytest.mark.parametrize(
    ("name", "options", "base_lr", "accuracy"),
    [
        ("digits", {}, 0.2, 0.95),
        ("mnist5k", {"total_updates": 100}, 0.1, 0.85),
        ("mnist1d", {"total_updates": 150}, 0.02, 0.5),
    ],
)
def test_a_short_training_learns(name, options, base_lr, accuracy):
    task = load_task(name, options)
    measured = []
    given = spec(base_lr, total=task.total_updates, decay=Cosine(), with_test=True)
    outcome = train(task, given, measured.extend, never)
    assert measured[-1].metrics["accuracy"] > accuracy
    assert outcome.score == measured[-1].val_loss
    assert outcome.test_score == pytest.approx(outcome.score, rel=0.6)


# ---- the character model


def test_whole_topics_are_split_and_none_is_in_two_parts():
    texts = charlm._texts()
    assert sum(map(len, texts)) == sum(map(len, charlm._topics())) > 300_000
    shares = [len(text) / sum(map(len, texts)) for text in texts]
    assert shares == pytest.approx([0.8, 0.1, 0.1], abs=0.05)
    for topic in charlm._topics():
        assert sum(topic in text for text in texts) >= 1
    longest = max(charlm._topics(), key=len)
    assert sum(longest in text for text in texts) == 1


def test_targets_are_the_characters_one_further_on():
    task = load_task("charlm", {"context": 16})
    (inputs, targets), alphabet = task.splits.train, charlm._alphabet()
    assert inputs.shape == targets.shape
    assert inputs.shape[1] == 16
    assert torch.equal(inputs[:, 1:], targets[:, :-1])
    letters = {number: character for character, number in alphabet.items()}
    assert "".join(letters[one] for one in inputs[:2].flatten().tolist()) == charlm._texts()[0][:32]


def test_no_position_sees_what_comes_after_it():
    task = load_task("charlm")
    torch.manual_seed(0)
    model = task.model()
    one = task.splits.train[0][:2]
    other = one.clone()
    other[:, 10:] = 0
    with torch.no_grad():
        assert torch.allclose(model(one)[:, :10], model(other)[:, :10], atol=1e-5)
        assert not torch.allclose(model(one)[:, 10:], model(other)[:, 10:], atol=1e-2)


def test_a_short_training_of_the_character_model_beats_letter_frequencies():
    task = load_task("charlm", {"total_updates": 60})
    outcome = train(task, spec(0.01, total=60), nothing, never)
    frequencies = task.splits.train[0].flatten().bincount(minlength=len(charlm._alphabet())).float()
    frequencies = (frequencies + 1) / (frequencies + 1).sum()
    alone = -frequencies[task.splits.validation[1].flatten()].log().mean()
    assert outcome.score < float(alone) - 0.3
