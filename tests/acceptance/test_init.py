"""`schedsearch init`: what it writes trains, checks and launches as it is."""

from pathlib import Path

import pytest
from command_line import ONE_WORKER, schedsearch


@pytest.mark.parametrize(("kind", "optimizer"), [("classification", "sgd"), ("regression", "adamw")])
def test_what_is_written_can_be_checked_and_launched(tmp_path: Path, kind: str, optimizer: str) -> None:
    flags = ("--name", "WineTask", "--kind", kind, "--optimizer", optimizer, "--updates", "40")
    begun = schedsearch("init", "mine", *flags, cwd=tmp_path)
    assert begun.code == 0, begun.err
    folder = tmp_path / "mine"
    checked = schedsearch("check", "wine_task.py:WineTask", cwd=folder)
    assert checked.code == 0, checked.err
    assert "wine_task.py:WineTask: 40 updates a run (31 an epoch), batches of 64" in checked.out
    assert "equal to the last bit" in checked.out
    few = ("--trials", "4", "--noise-seeds", "2", "--confirm-seeds", "2", "--mlflow", "none", *ONE_WORKER)
    done = schedsearch("launch", "study.yaml", *few, cwd=folder)
    assert done.code == 0, done.err
    assert "Use " in done.out


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text("mine")
    said = schedsearch("init", cwd=tmp_path)
    assert said.code == 2
    assert "study.yaml would be overwritten; choose another folder or name." in said.err
    assert [one.name for one in tmp_path.iterdir()] == ["study.yaml"]


def test_a_name_that_no_class_can_have(tmp_path: Path) -> None:
    said = schedsearch("init", "--name", "my-task", cwd=tmp_path)
    assert said.code == 2
    assert "`name` must be a class name such as MyTask, but is 'my-task' instead." in said.err
