"""Checkpoints of scripts: one that was stopped goes on where it was, to the last bit, its reports told again."""

import sys
import time
from pathlib import Path
from textwrap import dedent

import pytest
import torch

from schedsearch.errors import RunInterrupted, SchedsearchError
from schedsearch.schedule import Cosine, Schedule, Warmup
from schedsearch.script.state import read_state, write_state
from schedsearch.task.script import Script, script_of
from schedsearch.training.checkpoints import Checkpoints
from schedsearch.training.places import open_place
from schedsearch.training.scripts import train_script
from schedsearch.training.spec import RunSpec

TOTAL = 30
SCHEDULE = Schedule(0.05, Cosine(), Warmup("linear", 0.2, 0.1))
SOURCE = """
    import random, time, torch, schedsearch
    run = schedsearch.attach()
    torch.manual_seed(run.seed)
    random.seed(run.seed)
    model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Dropout(0.3), torch.nn.Linear(4, 1))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    {begin}
    for update in range(first, 30):
        x = torch.randn(8, 4) + random.random()
        loss = model(x).square().mean()
        optimizer.zero_grad()
        loss.backward()
        {step}
        run.report(loss=loss.item())
        if update % 3 == 2:
            run.report(val_loss=sum(one.abs().sum().item() for one in model.parameters()))
        {pause}
        run.save_checkpoint(model=model, optimizer=optimizer, update=update + 1)
"""
KINDS = {
    "scheduler": {
        "begin": "scheduler = run.scheduler(optimizer, total_updates=30)\n"
        "    first = run.load_checkpoint(model=model, optimizer=optimizer).get('update', 0)",
        "step": "optimizer.step(); scheduler.step()",
    },
    "by hand": {
        "begin": "first = run.load_checkpoint(model=model, optimizer=optimizer).get('update', 0)",
        "step": "optimizer.param_groups[0]['lr'] = run.lr(update, total_updates=30, default=lambda t: 0.1); "
        "optimizer.step()",
    },
}


def script(folder: Path, kind: str, pause: str = "pass") -> Script:
    text = SOURCE.format(**KINDS[kind], pause=pause)
    (folder / "train.py").write_text(dedent(text))
    return script_of([sys.executable, "train.py"], folder)


def trained(one, checkpoints=None, stop=lambda: False):
    rows = []
    outcome = train_script(one, {}, RunSpec(SCHEDULE, 3, TOTAL), rows.extend, stop, checkpoints)
    return outcome, rows


def kept(folder: Path, attempt: int, every_s: float = 1000.0) -> Checkpoints:
    return Checkpoints(open_place(str(folder / "checkpoints")), "k" * 32, attempt, every_s)


@pytest.mark.parametrize("kind", KINDS)
def test_a_script_that_was_stopped_goes_on_to_the_last_bit(tmp_path, kind):
    whole, rows = trained(script(tmp_path, kind))
    mark = tmp_path / "reached"
    slow = script(tmp_path, kind, f"update == 13 and open({str(mark)!r}, 'w').close(); update > 12 and time.sleep(0.5)")
    with pytest.raises(RunInterrupted):
        trained(slow, kept(tmp_path, 1), mark.exists)
    assert len(list((tmp_path / "checkpoints").iterdir())) == 1
    again, rows_again = trained(script(tmp_path, kind), kept(tmp_path, 2))
    assert again.score == whole.score
    assert again.updates_done == TOTAL
    assert again.initial_loss == whole.initial_loss
    assert rows_again == rows
    assert list((tmp_path / "checkpoints").iterdir()) == []


def test_a_script_that_is_killed_goes_on_from_what_it_saved_last(tmp_path):
    whole, _ = trained(script(tmp_path, "scheduler"))
    died = "update == 20 and (time.sleep(0.3), __import__('os')._exit(9)); time.sleep(0.02)"
    with pytest.raises(SchedsearchError, match="exit code 9"):
        trained(script(tmp_path, "scheduler", died), kept(tmp_path, 1, every_s=0.05))
    assert list((tmp_path / "checkpoints").iterdir())
    started = "update < 5 and __import__('os')._exit(8)"  # it must not begin again
    again, _ = trained(script(tmp_path, "scheduler", started), kept(tmp_path, 2))
    assert again.score == whole.score


def test_without_checkpoints_nothing_is_written_and_it_begins_again(tmp_path):
    until = time.monotonic() + 3
    slow = script(tmp_path, "scheduler", "time.sleep(0.5)")
    with pytest.raises(RunInterrupted):
        trained(slow, None, lambda: time.monotonic() > until)
    assert trained(script(tmp_path, "scheduler"))[0].updates_done == TOTAL


def test_other_objects_than_were_saved_are_refused(tmp_path):
    folder = tmp_path / "checkpoints"
    kept(tmp_path, 1).save(
        {"objects": {"net": {}}, "values": {}, "generators": {}, "updates": 1, "reports": "", "losses": [],
         "scheduler": {"last_epoch": 1, "base_lrs": [0.05]}}, 1
    )  # fmt: skip
    assert list(folder.iterdir())
    with pytest.raises(SchedsearchError, match="exit code 1"):
        trained(script(tmp_path, "scheduler"), kept(tmp_path, 2))


def test_a_state_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "state.pt"
    write_state(path, {"weights": torch.ones(3), "update": 4})
    found = read_state(path)
    assert found["update"] == 4
    assert torch.equal(found["weights"], torch.ones(3))
    with pytest.raises(Exception, match=r"local object|pickle"):
        write_state(path, {"bad": lambda: 1})
    assert read_state(path)["update"] == 4
