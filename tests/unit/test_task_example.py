"""The example in `examples/` and the one in the docstring of `Task` are whole and work."""

import inspect
import textwrap
from pathlib import Path

import pytest
import torch
from task_examples import never, spec

from schedsearch.schedule import Linear
from schedsearch.task import Task, load_task
from schedsearch.training.loop import train

EXAMPLE = Path(__file__).parents[2] / "examples" / "tabular_task.py"


def example_of_the_docstring(folder):
    text = textwrap.dedent((inspect.getdoc(Task) or "").split("diabetes.py:Diabetes`:\n")[1].split("\nOptions are")[0])
    path = folder / "diabetes.py"
    path.write_text(text)
    return path, text


@pytest.fixture(params=["examples", "docstring"])
def task(request, tmp_path):
    path = EXAMPLE if request.param == "examples" else example_of_the_docstring(tmp_path)[0]
    return load_task(f"{path}:Diabetes", {"width": 16})


def test_it_predicts_better_than_the_mean_does(task):
    measured = []
    outcome = train(task, spec(0.01, total=300, decay=Linear(), with_test=True), measured.extend, never)
    target = task.splits.validation[1]
    assert outcome.score < 0.75 * float(target.var())
    assert outcome.test_score < 0.9 * float(task.splits.test[1].var())
    assert 0 < measured[-1].metrics["mean_absolute_error"] < 1


def test_its_splits_share_no_patient(task):
    parts = [{row.numpy().tobytes() for row in split[0]} for _, split in task.splits.items()]
    assert not parts[0] & parts[1]
    assert not parts[0] & parts[2]
    assert not parts[1] & parts[2]
    assert sum(map(len, parts)) == 442


def test_its_width_is_an_option(task):
    torch.manual_seed(0)
    assert task.model()[0].out_features == 16


def test_a_users_class_is_about_25_lines(tmp_path):
    _, text = example_of_the_docstring(tmp_path)
    lines = [line for line in text.splitlines() if line.strip()]
    assert len(lines) <= 27
