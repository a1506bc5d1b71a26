"""How many runs to train together: what the timings say, what memory allows, and what cannot be batched at all."""

import gc

import numpy as np
import pytest
import torch
from task_examples import Plane
from torch import nn

from schedsearch.task import load_task
from schedsearch.task.randomness import seeded
from schedsearch.training.array_size import Step, bytes_a_row, fastest_size, quickest, together
from schedsearch.training.memory import TensorMemory
from schedsearch.training.stack import Stack
from schedsearch.training.usage import UsageWatch

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("gains", "size"),
    [
        ([], 1),
        ([0.8, 1.1, 1.14], 1),
        ([0.8, 1.2, 1.6, 1.5], 16),
        ([1.3, 1.2], 4),
        ([1.3, None], 4),
        ([None], 1),
    ],
)
def test_the_largest_gain_wins_where_it_is_worth_it(gains, size):
    assert quickest([Step(2 ** (k + 2), 0, gain) for k, gain in enumerate(gains)]) == size


def test_the_ladder_is_climbed_as_far_as_runs_wait():
    found = fastest_size(Plane(), [1] * 8, 40, CPU)
    assert [one.size for one in found.steps] in ([4], [4, 8])
    assert all(one.gain > 0 for one in found.steps)
    assert [one.memory_bytes for one in found.steps] == [
        one.size * found.steps[0].memory_bytes // 4 for one in found.steps
    ]
    assert found.size == quickest(found.steps)
    assert found.reason is None
    assert fastest_size(Plane(), [1, 2, 3], 40, CPU).steps == ()


def test_mixed_seeds_are_timed_as_they_are():
    assert fastest_size(Plane(), [1, 2, 1, 3], 40, CPU).steps[0].gain > 0


def test_what_memory_does_not_hold_is_not_tried():
    free = fastest_size(Plane(), [1] * 8, 40, CPU, ladder=(2, 4))
    found = fastest_size(Plane(), [1] * 8, 40, CPU, memory_bytes=free.steps[0].memory_bytes, ladder=(2, 4))
    assert found.steps[0].gain is not None
    assert [one.gain for one in found.steps[1:]] in ([], [None])
    nothing = fastest_size(Plane(), [1] * 8, 40, CPU, memory_bytes=0)
    assert (nothing.size, [one.gain for one in nothing.steps]) == (1, [None])


def test_a_task_that_cannot_be_batched_is_trained_run_by_run_and_the_reason_is_told():
    class Recurrent(Plane):
        def model(self):
            return nn.LSTMCell(3, 1)

        def forward(self, model, batch):
            return model(batch[0])[0]

    class Branches(Plane):
        def forward(self, model, batch):
            found = model(batch[0])
            return -found if found.mean() > 0 else found

    found = fastest_size(Recurrent(), [1] * 8, 40, CPU)
    assert (found.size, found.steps) == (1, ())
    assert "(LSTMCell) is recurrent" in found.reason
    assert "cannot be batched over models" in fastest_size(Branches(), [1] * 8, 40, CPU).reason


def test_it_leaves_the_generators_as_they_were():
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    fastest_size(Plane(), [1] * 4, 40, CPU)
    assert torch.rand(1) == expected


def test_tensors_are_counted_while_they_live():
    with TensorMemory() as memory:
        for _ in range(3):
            first = torch.zeros(1000)
            second = first + 1
            view = second[:10]
            del first, second, view
    assert memory.peak == 8000


def test_the_memory_of_an_array_is_predicted():
    task, rows = load_task("digits", {"width": 20_000}), 16
    with seeded(0, CPU):
        predicted = rows * bytes_a_row(task, [0], CPU)
        gc.collect()
        watch = UsageWatch("cpu")
        before = (watch.read().peak_memory_bytes or 0)
        stack = Stack(task, [0] * rows, CPU)
        for _ in range(2):
            stack.update(torch.zeros(rows))
        taken = (watch.read().peak_memory_bytes or 0) - before
    assert taken <= predicted < 3 * taken


def test_what_is_quicker_together_is_trusted_only_where_it_proves_to_be_the_same():
    class Wrong(Plane):
        def loss(self, output, batch):
            return super().loss(output, batch) + (0.1 if torch._C._functorch.is_batchedtensor(output) else 0.0)

    class Noisy(Plane):
        """Its noise is a run's own, but for NumPy all rows are one run."""

        def loss(self, output, batch):
            return super().loss(output, batch) * (1 + 0.1 * np.random.rand())

    found = together(Plane(), 40, CPU)
    assert found.reason is None
    assert 1 < found.fewest <= found.most
    assert 1 < found.mixed_fewest <= found.mixed_most <= found.most
    assert found.gain > 1.15
    assert [found.of(waiting, mixed=False) for waiting in (1, found.fewest, 1000)] == [1, found.fewest, found.most]
    wrong = together(Wrong(), 40, CPU)
    assert (wrong.most, wrong.mixed_most) == (1, 1)
    assert "loss differs by 0.1 between the array and a single run" in wrong.reason
    noisy = together(Noisy(), 40, CPU)
    assert noisy.most > 1
    assert noisy.mixed_most == 1
