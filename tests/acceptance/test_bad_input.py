"""Bad input to `launch`: exit code 2, one clear sentence that names what is wrong, and nothing written."""

import json
from pathlib import Path

import pytest
from command_line import schedsearch

SPACE = """
name: mine
warmup: {{kinds: [none, linear], fraction: {fraction}}}
decay:
  {decay}
"""
STEP, CUT = "step: {{gamma: {gamma}}}", "multistep: {{milestones: {milestones}}}"
TASK = '''
import torch
from schedsearch.task import Splits, Task

class Broken(Task):
    total_updates = 20
    batch_size = 4

    def data(self):
        inputs, targets = torch.rand(40, 2), torch.rand(40, 1)
        return Splits(*((inputs[one], targets[one]) for one in (slice(20), slice(20, 30), slice(30, 40))))

    def model(self):
        {model}

    def loss(self, output, batch):
        return {loss}
'''
NET = "return torch.nn.Linear(2, 1)"


def space(fraction: object = 0.1, gamma: object = 0.1, milestones: object = None) -> str:
    decay = STEP.format(gamma=gamma) if milestones is None else CUT.format(milestones=milestones)
    return SPACE.format(fraction=fraction, decay=decay)


def refused(folder: Path, *arguments: str, code: int = 2) -> str:
    """What the command says to these arguments; asserts that it refuses them and leaves nothing behind."""
    before = sorted(folder.rglob("*"))
    done = schedsearch("launch", *arguments, cwd=folder)
    after = sorted(path for path in folder.rglob("*") if "__pycache__" not in path.parts)
    assert (done.code, done.out, after) == (code, "", before), done
    assert "Traceback" not in done.err
    return done.err.strip()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (space() + "wramup: 3\n", "has no key 'wramup'"),
        (space(fraction=1.5), "`warmup.fraction` must be in (0, 1), but is 1.5 instead."),
        (space(gamma=2), "`decay.step.gamma` must be in (0, 1), but is 2 instead."),
        (space(milestones=[0.7, 0.3]), "`decay.multistep` must have `milestones` that rise strictly inside (0, 1)"),
    ],
)
def test_a_bad_space(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    said = refused(tmp_path, "--task", "digits", "--space", "mine.yaml")
    assert sentence in said
    assert said.startswith("Error: mine.yaml:")
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--task", "digitz"), "There is no task 'digitz'"),
        (("--task", "nowhere.py:Task"), "nowhere.py"),
        (("--task", "os:system"), "no subclass of schedsearch.task.Task"),
        (("--task", "digits", "--space", "vast"), "There is no search space 'vast'"),
        (("--task", "digits", "--base-lr", "0", "1"), "`base_lr` must be two numbers with 0 < low < high"),
        (("--task", "digits", "--total-updates", "1"), "`total_updates` must be at least 2, but is 1 instead."),
        (("--task", "digits", "--trials", "2"), "`trials` must be at least 4, but is 2 instead."),
        (("--task", "digits", "--trials", "9", "--hours", "1"), "Exactly one of `trials`, `updates`, `hours`"),
        (("--task", "digits", "--updates", "4000"), "pays for"),
        (("--task", "digits", "--resolution", "0"), "`resolution` must be greater than 0, but is 0.0 instead."),
        (
            ("--task", "digits", "--workers", "2", "--per-device", "2"),
            "`workers` counts all of them, so that `per_device` cannot be given too.",
        ),
        (("--task", "digits", "--per-device", "0"), "`per_device` must be at least 1, but is 0 instead."),
        (("--task", "digits", "--screen", "1"), "`screen` must be at least 2, but is 1 instead."),
        (("--task", "digits", "--screen", "100"), "`screen` = 100 shortens the horizon from"),
        (("--task", "digits", "--screen", "4", "--trials", "20"), "for at least 24 in the search, but it pays for 20."),
        (
            ("--task", "digits", "--resolution", "0.1", "--confirm-seeds", "5"),
            "`resolution` decides the seeds of the confirmation",
        ),
        (("--task", "digits", "--task-option", "optimizer=lion"), "optimizer"),
        (("--task", "digits", "--task-option", "depth=3"), "depth"),
        (("--task", "digits", "--devices", "cuda:97"), "`devices` must be among cpu"),
        (("--task", "digits", "--mlflow", "sqlite:///schedsearch.db"), "`mlflow` must be another database"),
        (("--task", "digits", "--storage", "oracle://db/x"), "`storage` must be a URL of sqlite"),
        (("--task", "digits", "--study", "../x"), "`study` must start with a letter or digit"),
        ((), "`task` must be given"),
    ],
)
def test_bad_options(tmp_path: Path, arguments: tuple[str, ...], sentence: str) -> None:
    said = refused(tmp_path, *arguments)
    assert sentence in said
    assert len(said.splitlines()) == 1


def test_every_fault_is_told_at_once(tmp_path: Path) -> None:
    said = refused(tmp_path, "--seed", "-1", "--noise-seeds", "1", "--task", "digits")
    assert "`seed` must be at least 0, but is -1 instead." in said
    assert "`noise_seeds` must be at least 2, but is 1 instead." in said


def test_a_warmup_longer_than_the_horizon(tmp_path: Path) -> None:
    long = {"base_lr": 0.1, "warmup": {"kind": "linear", "fraction": 0.99}, "decay": {"kind": "constant"}}
    (tmp_path / "mine.json").write_text(json.dumps(long))
    said = refused(tmp_path, "--task", "digits", "--total-updates", "20", "--incumbent", "mine.json")
    assert "`warmup.fraction`" in said
    assert "20" in said


def test_an_incumbent_that_is_no_schedule(tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text('{"base_lr": -1, "decay": {"kind": "cosine"}}')
    said = refused(tmp_path, "--task", "digits", "--incumbent", "mine.json")
    assert said == "Error: mine.json: `base_lr` must be a finite number greater than 0, but is -1 instead."


@pytest.mark.parametrize(
    ("model", "loss", "sentence"),
    [
        ('raise RuntimeError("no such layer")', "0", "RuntimeError: no such layer"),
        (NET, "(output - batch[1]).sum() * float('nan')", "nan"),
        (NET, "output - batch[1]", "scalar"),
    ],
)
def test_a_task_that_cannot_train(tmp_path: Path, model: str, loss: str, sentence: str) -> None:
    (tmp_path / "task.py").write_text(TASK.format(model=model, loss=loss))
    assert sentence in refused(tmp_path, "--task", "task.py:Broken")


def test_a_database_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    said = refused(tmp_path, "--task", "digits", "--storage", "sqlite:///file/studies.db", code=1)
    assert "file/studies.db cannot be written" in said


def test_a_study_file(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text("task: digits\nspaec: quick\nbase_lr: [1e-3, 1]\n")
    said = refused(tmp_path, "study.yaml")
    assert "study.yaml has no key 'spaec'; valid keys: arrays, base_lr," in said


@pytest.mark.parametrize("verb", [("status", "x"), ("report", "x"), ("export", "x", "--to", "json"), ("studies",)])
def test_reading_verbs_make_no_store(tmp_path: Path, verb: tuple[str, ...]) -> None:
    done = schedsearch(*verb, cwd=tmp_path)
    assert done.code == 1
    assert "There is no store at sqlite:///schedsearch.db" in done.err
    assert list(tmp_path.iterdir()) == []
