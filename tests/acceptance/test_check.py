"""`schedsearch check`: a task is tried and a study of it is priced, before anything is written."""

import json
import re
import sys
from pathlib import Path

from command_line import schedsearch

RESTLESS = """
import os, random
import torch
from schedsearch.task import Splits, Task

class Restless(Task):
    total_updates = 30
    batch_size = 4

    def data(self):
        part = torch.ones(8, 2), torch.ones(8, 1)
        return Splits(part, part, part)

    def model(self):
        return torch.nn.Linear(2, 1)

    def loss(self, output, batch):
        noise = int.from_bytes(os.urandom(2), "little") / 2**16
        return torch.nn.functional.mse_loss(output, batch[1]) + noise
"""
SCRIPT = """
import torch, schedsearch
run = schedsearch.attach()
parameter = torch.nn.Parameter(torch.zeros(1))
optimizer = torch.optim.SGD([parameter], lr=0.05)
scheduler = run.scheduler(optimizer, total_updates=30)
for _ in range(30):
    optimizer.step(); scheduler.step()
run.report(val_loss=1.0)
"""


def test_a_built_in_task_is_priced(tmp_path: Path) -> None:
    said = schedsearch("check", "digits", "--trials", "24", "--workers", "3", cwd=tmp_path)
    assert said.code == 0, said.err
    assert "digits: 400 updates a run (" in said.out
    assert "A study of 24 candidates is at most " in said.out
    assert "on 3 workers." in said.out
    assert "with one seed were equal to the last bit." in said.out
    assert "goes on from its checkpoint" in said.out
    assert re.search(r"\d+ runs that wait together are trained as one batched model, [\d.]+ times as many", said.out)
    found = json.loads(schedsearch("check", "digits", "--workers", "3", "--json", cwd=tmp_path).out)
    assert found["study_s"] * 3 == found["most_runs"] * found["run_s"]
    assert found["facts"]["total_updates"] == 400
    assert list(tmp_path.iterdir()) == []


def test_a_task_that_does_not_repeat_itself_is_named(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(RESTLESS)
    said = schedsearch("check", "mine.py:Restless", cwd=tmp_path)
    assert said.code == 0, said.err
    assert "with one seed differ: something draws from a generator that is not seeded" in said.out
    assert "Runs are trained one by one. The loss differs by " in said.out


def test_a_script_is_priced_and_its_limits_are_told(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(SCRIPT)
    metric = ("--metric", "f1", "--direction", "maximize")
    said = schedsearch("check", *metric, "--", sys.executable, "train.py", cwd=tmp_path)
    assert said.code == 0, said.err
    assert f"{sys.executable} train.py: 30 updates a run" in said.out
    assert "It would maximize f1; base LRs between 0.00158 and 1.58." in said.out
    assert re.search(r"a run about .* s, .* s of it to start\.", said.out)
    assert "begins again, unless it calls run.load_checkpoint and run.save_checkpoint." in said.out
    assert "Runs are trained one by one. A script trains in a process of its own" in said.out


def test_what_cannot_be_checked(tmp_path: Path) -> None:
    for arguments, sentence in (
        (("digitz",), "There is no task 'digitz'"),
        (("--metric", "f1", "--", sys.executable, "train.py"), "`direction` must be given for the metric 'f1'"),
        (("digits", "--task-option", "width"), "`task-option` must look like name=value"),
        (("--", sys.executable, "missing.py"), "ended with exit code 2 when it was tried"),
    ):
        said = schedsearch("check", *arguments, cwd=tmp_path)
        assert said.code == 2
        assert sentence in said.err
