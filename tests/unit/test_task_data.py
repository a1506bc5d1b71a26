"""Splits: what they may be, how batches are drawn from them, and what a run's seed decides."""

import pytest
import torch
from task_examples import Plane, rows
from torch.utils.data import DataLoader, TensorDataset

from schedsearch.errors import InvalidTask
from schedsearch.task import Splits
from schedsearch.task.randomness import kept, order_generator, seeded
from schedsearch.task.stream import BatchStream
from schedsearch.task.tensors import (
    EVALUATION_BATCH,
    evaluation_batches,
    examples_in,
    to_device,
    updates_per_epoch,
)

CPU = torch.device("cpu")


def splits_of(splits):
    class Given(Plane):
        def data(self):
            return splits

    return Given().splits


def faults_of(splits):
    with pytest.raises(InvalidTask) as caught:
        splits_of(splits)
    return list(caught.value.faults)


def numbers(count):
    return (torch.arange(count),)


def take(batches, count):
    return [next(batches) for _ in range(count)]


def test_an_epoch_is_every_full_batch_of_a_permutation():
    drawn = take(BatchStream(numbers(10), 3, order_generator(1), CPU), 6)
    assert updates_per_epoch(numbers(10), 3) == 3
    first, second = torch.cat([one[0] for one in drawn[:3]]), torch.cat([one[0] for one in drawn[3:]])
    assert len(set(first.tolist())) == len(set(second.tolist())) == 9
    assert first.tolist() != second.tolist()


def test_the_seed_decides_the_order_and_rows_stay_together():
    x, y = torch.arange(20), 10 * torch.arange(20)
    orders = {
        seed: [one.tolist() for one, _ in take(BatchStream((x, y), 5, order_generator(seed), CPU), 4)]
        for seed in (1, 2)
    }
    again = take(BatchStream((x, y), 5, order_generator(1), CPU), 4)
    assert [one.tolist() for one, _ in again] == orders[1] != orders[2]
    assert all((10 * a == b).all() for a, b in again)


def test_evaluation_sees_every_example_once_in_order():
    batches = list(evaluation_batches(numbers(2 * EVALUATION_BATCH + 5), CPU))
    assert [len(one[0]) for one in batches] == [EVALUATION_BATCH, EVALUATION_BATCH, 5]
    assert torch.equal(torch.cat([one[0] for one in batches]), torch.arange(2 * EVALUATION_BATCH + 5))


def test_an_iterable_of_batches_is_walked_again_and_again():
    given = [(torch.ones(2), 1), (torch.zeros(2), 2)]
    found = [one[1] for one in take(BatchStream(given, 64, order_generator(0), CPU), 5)]
    assert found == [1, 2, 1, 2, 1]
    assert updates_per_epoch(given, 64) == 2


def test_a_shuffling_loader_follows_the_runs_seed():
    loader = DataLoader(TensorDataset(torch.arange(12)), batch_size=4, shuffle=True)

    def order(seed):
        with seeded(seed, CPU):
            return [one[0].tolist() for one in take(BatchStream(loader, 4, order_generator(seed), CPU), 6)]

    assert order(3) == order(3) != order(4)


@pytest.mark.parametrize(
    ("splits", "faults"),
    [
        (Splits((torch.ones(0, 2),), numbers(3)), ["The train data is empty."]),
        (Splits(numbers(3), []), ["The validation data is empty."]),
        (Splits(numbers(3), numbers(3), numbers(0)), ["The test data is empty."]),
        (
            Splits((torch.ones(3), torch.ones(4)), numbers(3)),
            ["The train data must have as many rows in every tensor, but has 3, 4."],
        ),
        (
            Splits(numbers(3), 5),
            ["The validation data must be a tuple of tensors or an iterable of batches, but is int."],
        ),
        (
            Splits(iter([1]), numbers(3)),
            ["The train data must be an iterable that can be walked again, but is an iterator that ends."],
        ),
        (Splits(numbers(0), numbers(0)), ["The train data is empty.", "The validation data is empty."]),
        ((1, 2), ["data() must return Splits(train, validation, test), but returned tuple."]),
    ],
)
def test_data_that_cannot_be_trained_on_is_refused(splits, faults):
    assert faults_of(splits) == faults


def test_an_epoch_that_cannot_be_counted_is_refused():
    class Endless:
        def __iter__(self):
            return iter([1])

    with pytest.raises(InvalidTask, match="needs a length"):
        updates_per_epoch(Endless(), 4)
    with pytest.raises(InvalidTask, match=r"`batch_size` must be at most the 3 training examples, but is 4 instead."):
        updates_per_epoch(numbers(3), 4)


def test_an_iterable_that_turns_out_empty_ends_instead_of_hanging():
    class Liar(list):
        def __len__(self):
            return 3

    with pytest.raises(InvalidTask, match="The training data is empty"):
        next(BatchStream(Liar(), 4, order_generator(0), CPU))


def test_batches_of_any_shape_are_moved_and_counted():
    batch = {"x": [torch.ones(5, 2)], "label": torch.zeros(5), "name": "a"}
    moved = to_device(batch, CPU)
    assert torch.equal(moved["x"][0], torch.ones(5, 2))
    assert moved["name"] == "a"
    assert examples_in(batch) == 5
    assert examples_in(torch.ones(7)) == 7
    assert examples_in(torch.tensor(1.0)) == 1
    assert examples_in(3) == 1
    assert examples_in(()) == 1


def test_data_is_loaded_once_and_leaves_the_random_numbers_alone():
    class Counting(Plane):
        loads = 0

        def data(self):
            Counting.loads += 1
            torch.manual_seed(0)
            return Splits(rows(20, 1), rows(10, 2))

    task = Counting()
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    assert task.updates_per_epoch == 2
    assert torch.equal(torch.rand(3), expected)
    assert task.splits_on(CPU) is task.splits_on(CPU)
    assert Counting.loads == 1


def test_generators_are_kept_also_when_the_block_raises():
    torch.manual_seed(1)
    expected = torch.rand(2)
    torch.manual_seed(1)
    with pytest.raises(ValueError, match="inside"), kept():
        torch.rand(5)
        raise ValueError("inside")
    assert torch.equal(torch.rand(2), expected)
