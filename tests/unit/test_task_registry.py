"""The list of built-in tasks: true, and free of torch."""

import subprocess
import sys

import pytest

from schedsearch.task import load_task
from schedsearch.task.registry import builtin_reference, builtin_tasks

NAMES = ["charlm", "digits", "mnist1d", "mnist5k"]


def test_the_four_tasks_are_listed_by_name():
    assert [one.name for one in builtin_tasks()] == NAMES
    assert builtin_reference("digits") == "schedsearch.task.builtin.digits:Digits"
    assert builtin_reference("cifar") is None


@pytest.mark.parametrize("info", builtin_tasks(), ids=NAMES)
def test_a_line_of_the_list_says_what_the_task_says_itself(info):
    task = load_task(info.name)
    assert (info.name, info.optimizer, info.total_updates) == (task.name, task.optimizer, task.total_updates)
    assert 300 <= info.total_updates <= 600


def test_listing_and_naming_tasks_never_imports_torch():
    program = "import sys, schedsearch.task, schedsearch.task.registry; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
