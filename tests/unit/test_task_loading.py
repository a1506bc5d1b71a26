"""Where a task comes from: a name, a module, a file; and one sentence for everything else."""

import sys

import pytest

from schedsearch.errors import InvalidTask
from schedsearch.task import Task, load_task
from schedsearch.task.loading import blamed, told

FILE = '''
import torch
from torch import nn
from schedsearch.task import Splits, Task, option
from {neighbour} import WIDTH

class Line(Task):
    total_updates = 10
    batch_size = 4
    width: int = option(WIDTH, at_least=1)

    def model(self):
        return nn.Linear(self.width, 1)

    def data(self):
        part = (torch.ones(8, self.width), torch.ones(8, 1))
        return Splits(part, part)

    def loss(self, output, batch):
        return nn.functional.mse_loss(output, batch[1])

class Other(Line):
    pass

number = 3
'''


@pytest.fixture
def file(tmp_path, monkeypatch):
    """A task file with a neighbour that it imports; import state as it was afterwards."""
    neighbour = f"neighbour_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{neighbour}.py").write_text("WIDTH = 3\n")
    path = tmp_path / f"tasks_{neighbour}.py"
    path.write_text(FILE.format(neighbour=neighbour))
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield path
    for name in set(sys.modules) - before:
        if "neighbour" in name or name.startswith("schedsearch_task_"):
            del sys.modules[name]


def fault(reference, options=None):
    with pytest.raises(InvalidTask) as caught:
        load_task(reference, options)
    assert len(caught.value.faults) == 1
    return caught.value.faults[0]


def test_a_built_in_task_by_name_with_options():
    task = load_task("digits", {"width": 7})
    assert task.name == "digits"
    assert task.width == 7


def test_a_task_in_a_file_may_import_its_neighbours(file):
    task = load_task(f"{file}:Line", {"batch_size": 2})
    assert isinstance(task, Task)
    assert (task.width, task.batch_size, task.name) == (3, 2, "line")
    assert type(load_task(f"{file}:Line")) is type(task)


def test_a_task_in_a_module(file, monkeypatch):
    monkeypatch.syspath_prepend(str(file.parent))
    assert load_task(f"{file.stem}:Line").total_updates == 10


def test_an_unknown_name_lists_the_valid_ones():
    assert fault("digit") == (
        "There is no task 'digit': give one of charlm, digits, mnist1d, mnist5k, or `pkg.module:Name`, "
        "or `path/file.py:Name`."
    )


@pytest.mark.parametrize("reference", ["", ":", "a b:C", "os:", "os:system()", "file.py", "../x:Y", "x.py:", "os:a.b"])
def test_what_is_no_reference_is_refused_unimported(reference):
    assert fault(reference).startswith(f"There is no task {reference!r}: give one of")


def test_a_function_is_no_task():
    assert fault("os:system") == (
        "os has 'system', which is no subclass of schedsearch.task.Task; there is no task in it."
    )


def test_the_base_class_itself_is_no_task():
    assert "'Task', which is no subclass" in fault("schedsearch.task:Task")


def test_a_missing_module_and_a_module_that_misses_another(file, monkeypatch):
    assert fault("nowhere.at_all:Thing") == (
        "There is no module 'nowhere.at_all', which the task 'nowhere.at_all:Thing' names."
    )
    monkeypatch.syspath_prepend(str(file.parent))
    (file.parent / "needy_neighbour.py").write_text("\nimport not_installed_here\n")
    assert fault("needy_neighbour:T") == (
        "The task 'needy_neighbour:T' failed in the import of needy_neighbour: ModuleNotFoundError: "
        "No module named 'not_installed_here' (needy_neighbour.py:2)."
    )


def test_a_missing_file(tmp_path):
    path = tmp_path / "no.py"
    assert fault(f"{path}:T") == f"There is no file {str(path)!r}, which the task '{path}:T' names."


def test_a_missing_class_lists_the_tasks_there(file):
    assert fault(f"{file}:Lines") == f"{file} has no 'Lines'; tasks there: Line, Other."
    assert fault(f"{file}:number") == (
        f"{file} has 'number', which is no subclass of schedsearch.task.Task; tasks there: Line, Other."
    )


def test_a_file_that_raises_or_is_no_python(tmp_path):
    path = tmp_path / "broken.py"
    path.write_text("x = 1\nx = 1 / 0\n")
    assert fault(f"{path}:T") == (
        f"The task '{path}:T' failed in the import of broken.py: ZeroDivisionError: division by zero (broken.py:2)."
    )
    path.write_text("x = 1\ny = (\n")
    told_now = fault(f"{path}:T")
    assert "SyntaxError: '(' was never closed" in told_now
    assert told_now.endswith("(broken.py:2).")
    path.write_text("y = (1,)\n")
    assert fault(f"{path}:T") == f"{path} has no 'T'; there is no task in it."


def test_a_class_that_lacks_a_method_is_told(file):
    file.write_text("from schedsearch.task import Task\nclass Half(Task):\n    def model(self): ...\n")
    assert "failed in __init__(): TypeError: Can't instantiate abstract class Half" in fault(f"{file}:Half")


def test_options_are_checked_while_loading():
    assert fault("digits", {"depth": 2}) == (
        "The task 'digits' has no option `depth`; its options: batch_size, clip_grad_norm, momentum, optimizer, "
        "precision, total_updates, weight_decay, width."
    )


def test_blame_names_the_last_line_of_the_users_own_code():
    place = r"failed in model\(\): ValueError: two lines \(test_task_loading.py:\d+\)"
    with pytest.raises(InvalidTask, match=place), blamed("mine", "model()"):
        raise ValueError("two\nlines")


def test_an_error_without_a_place_is_told_without_one():
    assert told(ValueError("odd")) == "ValueError: odd."
