"""Trying a task: the facts of a good one, one sentence for each thing that can be wrong with another."""

import pytest
import torch

from schedsearch.errors import InvalidTask
from schedsearch.task import load_task
from schedsearch.training.devices import default_devices
from schedsearch.training.preflight import examine

FILE = """
import torch
from torch import nn
from schedsearch.task import Splits, Task

def part(count):
    return torch.ones(count, 3), torch.ones(count, 1)

class Good(Task):
    batch_size = 4

    def model(self):
        return nn.Linear(3, 1)

    def data(self):
        return Splits(part(10), part(5))

    def loss(self, output, batch):
        return nn.functional.mse_loss(output, batch[1])

class Bad(Good):
"""


def tried(reference, options):
    """Load and try a task, as a worker does that rehearses."""
    return examine(load_task(reference, options), reference)


MODEL = "    def model(self):\n        "
LOSS = "    def loss(self, output, batch):\n        "
DATA = "    def data(self):\n        "

FAULTS = {
    "model raises": (
        MODEL + "raise ValueError('no such layer')",
        "failed in model(): ValueError: no such layer ({}:23).",
    ),
    "model fails inside torch": (
        MODEL + "return nn.Linear(3, 'one')",
        "failed in model(): TypeError:",
    ),
    "model is none": (MODEL + "pass", "model() must return a torch.nn.Module, but returned NoneType instead."),
    "model is empty": (
        MODEL + "return nn.ReLU()",
        "model() must return a module with at least one parameter to train, but it has none.",
    ),
    "data raises": (DATA + "open('nowhere.csv')", "failed in data(): FileNotFoundError: [Errno 2] No such file"),
    "data is empty": (DATA + "return Splits(part(0), part(5))", "The train data is empty."),
    "data is no splits": (
        DATA + "return part(3)",
        "data() must return Splits(train, validation, test), but returned tuple.",
    ),
    "batch too large": (
        "    batch_size = 11",
        "`batch_size` must be at most the 10 training examples, but is 11 instead.",
    ),
    "forward raises": (
        "    def forward(self, model, batch):\n        return model(batch['x'])",
        "failed in forward(): TypeError: tuple indices must be integers or slices, not str ({}:23).",
    ),
    "shapes do not fit": (
        MODEL + "return nn.Linear(4, 1)",
        "failed in forward(): RuntimeError: mat1 and mat2 shapes cannot be multiplied",
    ),
    "loss raises": (LOSS + "return output.nothing", "failed in loss(): AttributeError:"),
    "loss is nan": (
        LOSS + "return output.sum() * float('nan')",
        "The loss must be finite at the start, but is nan at the first update.",
    ),
    "loss is infinite": (
        LOSS + "return output.sum() + float('inf')",
        "The loss must be finite at the start, but is inf at the first update.",
    ),
    "loss is a vector": (
        LOSS + "return (output - batch[1])[:, 0]",
        "loss() must return a scalar tensor, but returned one of shape (4,) instead; take its mean.",
    ),
    "loss is a number": (
        LOSS + "return 1.0",
        "loss() must return a scalar tensor, but returned float instead.",
    ),
    "loss is detached": (
        LOSS + "return output.mean().detach()",
        "loss() must depend on the model's parameters, but has no gradient.",
    ),
    "metric is missing": (
        "    metric = 'accuracy'",
        "`metric` must be one of loss (loss, or what metrics() returns), but is 'accuracy' instead.",
    ),
    "metrics raise": (
        "    def metrics(self, output, batch):\n        return {'a': 1 / 0}",
        "failed in the evaluation: ZeroDivisionError: division by zero ({}:23).",
    ),
    "validation is not finite": (
        "    metric = 'a'\n    def metrics(self, output, batch):\n        return {'a': float('nan')}",
        "The validation a must be finite after two updates, but is nan instead.",
    ),
    "direction": (
        "    direction = 'down'",
        '`direction` must be "minimize" or "maximize", but is \'down\' instead.',
    ),
    "range": (
        "    base_lr_range = (0.1, 0.01)",
        "`base_lr_range` must be two numbers with 0 < low < high, but is (0.1, 0.01) instead.",
    ),
    "range of text": (
        "    base_lr_range = 'ab'",
        "`base_lr_range` must be two numbers with 0 < low < high, but is 'ab' instead.",
    ),
    "optimizer is none": (
        "    def make_optimizer(self, model):\n        pass",
        "make_optimizer() must return a torch.optim.Optimizer, but returned NoneType instead.",
    ),
    "optimizer raises": (
        "    def make_optimizer(self, model):\n        return torch.optim.SGD([])",
        "failed in make_optimizer(): ValueError: optimizer got an empty parameter list ({}:23).",
    ),
    "optimizer without a rate": (
        "    def make_optimizer(self, model):\n        return torch.optim.SGD(model.parameters(), lr=0)",
        "The LR of the optimizer's first group must be above 0, but is 0 instead.",
    ),
    "optimizer needs a closure": (
        "    def make_optimizer(self, model):\n        return torch.optim.LBFGS(model.parameters())",
        "failed in an update: TypeError:",
    ),
    "no way to count an epoch": (
        DATA + "return Splits(type('E', (), {'__iter__': lambda self: iter([part(4)])})(), part(5))",
        "The training data needs a length (`__len__`: batches of one pass), but has none.",
    ),
}

NO_LINE_OF_THE_USERS = ("shapes do not fit", "optimizer needs a closure")


@pytest.fixture
def file(tmp_path):
    """Writes the bad task's body; the path of its file."""

    def written(body):
        path = tmp_path / "mine.py"
        path.write_text(FILE + body + "\n")
        return path

    return written


@pytest.mark.parametrize("which", FAULTS)
def test_each_fault_is_one_clear_sentence(file, which):
    body, sentence = FAULTS[which]
    path = file(body)
    with pytest.raises(InvalidTask) as caught:
        tried(f"{path}:Bad", {})
    assert len(caught.value.faults) == 1
    told = caught.value.faults[0]
    assert sentence.format(path.name) in told
    assert "\n" not in told
    if sentence.startswith("failed"):
        assert told.startswith(f"The task '{path}:Bad' failed in ")
        assert (f"({path.name}:" in told) == (which not in NO_LINE_OF_THE_USERS)
    else:
        assert told == sentence


def test_the_facts_of_a_good_task(file):
    path = file("    base_lr_range = (0.01, 0.1)")
    found = tried(f"{path}:Bad", {"total_updates": "12", "optimizer": "adam"})
    assert (found.name, found.metric, found.direction, found.optimizer) == ("bad", "loss", "minimize", "adam")
    assert (found.batch_size, found.total_updates, found.updates_per_epoch, found.parameters) == (4, 12, 2, 4)
    assert found.base_lr_range == (1e-4, 0.1)
    assert len(found.fingerprint) == 64
    assert found.seconds_per_update > 0
    assert found.seconds_per_evaluation > 0
    assert list(found.devices) == default_devices()
    assert tried(f"{path}:Bad", {}).base_lr_range == (0.01, 0.1)


def test_an_optimizer_of_the_tasks_own_is_named_by_its_class(file):
    path = file("    def make_optimizer(self, model):\n        return torch.optim.NAdam(model.parameters(), lr=0.1)")
    assert tried(f"{path}:Bad", {}).optimizer == "NAdam"


def test_trying_leaves_the_random_numbers_alone(file):
    path = file("    pass")
    torch.manual_seed(2)
    expected = torch.rand(2)
    torch.manual_seed(2)
    tried(f"{path}:Bad", {})
    assert torch.equal(torch.rand(2), expected)
