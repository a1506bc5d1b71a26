"""A user's script: attached to a study, watched at every update, and alone as it was."""

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch

from schedsearch import Schedule, attach
from schedsearch.errors import InvalidTask, RunInterrupted, SchedsearchError
from schedsearch.script.letters import VARIABLE, Folder, ScriptOrder
from schedsearch.task.script import Script, is_script, read_script, script_of, shown_task
from schedsearch.training.scripts import examine_script, train_script
from schedsearch.training.spec import Measurement, RunSpec

LINEAR = Schedule.from_dict({"base_lr": 0.2, "decay": {"kind": "linear"}})
TOTAL = 12
HEAD = """
import math, os, sys, time
import torch
import schedsearch

run = schedsearch.attach(seed=5)
torch.manual_seed(run.seed)
model = torch.nn.Linear(3, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
scheduler = run.scheduler(optimizer, total_updates=12)
x = torch.ones(8, 3)

def update():
    loss = (model(x) - 1).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()
"""
GOOD = """
for step in range(12):
    loss = update()
    scheduler.step()
    run.report(loss=loss)
    if step % 4 == 3:
        run.report(val_loss=loss / 2, accuracy=0.5)
"""


def script(folder: Path, body: str, head: str = HEAD) -> Script:
    (folder / "train.py").write_text(head + textwrap.dedent(body))
    return script_of([sys.executable, "train.py"], folder)


def trained(one: Script, metric: str = "val_loss", schedule: Schedule = LINEAR, stop: bool = False):
    rows: list[Measurement] = []
    options = {} if metric == "val_loss" else {"metric": metric}
    outcome = train_script(one, options, RunSpec(schedule, 3, TOTAL), rows.extend, lambda: stop)
    return outcome, rows


# Its facts


def test_what_a_rehearsal_finds(tmp_path):
    found = examine_script(script(tmp_path, GOOD), {"metric": "accuracy", "direction": "maximize"})
    assert (found.name, found.metric, found.direction) == ("train", "accuracy", "maximize")
    assert (found.total_updates, found.updates_per_epoch, found.optimizer) == (TOTAL, 1, "SGD")
    assert found.parameters == 4
    assert found.base_lr_range == pytest.approx((0.1 / 10**1.5, 0.1 * 10**1.5))
    assert 0 < found.seconds_per_update < 5


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ("for _ in range(12): update()", "stepped 0 times in 3 updates: call `scheduler.step()` once after every"),
        ("for _ in range(12): update(); scheduler.step(); scheduler.step()", "where gradients are accumulated"),
        ("for _ in range(12): optimizer.param_groups[0]['lr'] = 1; update(); scheduler.step()", "something else sets"),
        ("for _ in range(2): update(); scheduler.step()", "ended before its optimizer did the first updates"),
        ("sys.exit(3)", "ended with exit code 3 when it was tried"),
    ],
)
def test_what_a_rehearsal_names(tmp_path, body, sentence):
    with pytest.raises(InvalidTask, match=sentence.replace("(", r"\(").replace(")", r"\)")):
        examine_script(script(tmp_path, body), {})


def test_a_script_that_does_not_attach(tmp_path):
    with pytest.raises(InvalidTask, match="ended without asking for its scheduler"):
        examine_script(script(tmp_path, "print('hello')", head=""), {})


def test_a_program_that_is_not_there(tmp_path):
    with pytest.raises(InvalidTask, match=r"nowhere-to-be-found train\.py cannot be started: No such file"):
        examine_script(script_of(["nowhere-to-be-found", "train.py"], tmp_path), {})


# A run


def test_a_run_is_trained_at_the_schedules_rates_with_its_seed(tmp_path):
    outcome, rows = trained(script(tmp_path, GOOD))
    assert (outcome.status, outcome.updates_done, outcome.diverged_at) == ("completed", TOTAL, None)
    lrs = LINEAR.lrs(TOTAL)
    assert [one.update for one in rows] == [3, 7, 11]
    assert [one.lr for one in rows] == pytest.approx(lrs[[3, 7, 11]])
    torch.manual_seed(3)
    model, x = torch.nn.Linear(3, 1), torch.ones(8, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    losses = []
    for lr in lrs:
        optimizer.param_groups[0]["lr"] = float(lr)
        loss = (model(x) - 1).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert outcome.score == pytest.approx(losses[-1] / 2, rel=1e-5)
    assert outcome.initial_loss == pytest.approx(losses[0])
    assert rows[0].train_loss == pytest.approx(sum(losses[:4]) / 4, rel=1e-5)
    assert rows[-1].metrics == {"accuracy": 0.5}


def test_another_metric_is_the_score(tmp_path):
    assert trained(script(tmp_path, GOOD), "accuracy")[0].score == 0.5


def test_a_loss_that_is_not_finite_ends_the_run_as_diverged(tmp_path):
    body = """
    for step in range(12):
        update()
        scheduler.step()
        run.report(loss=math.nan if step == 5 else 1.0)
        time.sleep(0.05)
    time.sleep(60)
    """
    outcome, _ = trained(script(tmp_path, body))
    assert (outcome.status, outcome.score) == ("diverged", None)
    assert outcome.reason is not None
    assert "nan" in outcome.reason


def test_a_metric_that_is_not_finite_at_the_end_is_a_divergence(tmp_path):
    outcome, _ = trained(script(tmp_path, GOOD + "run.report(val_loss=math.inf)\n"))
    assert (outcome.status, outcome.reason) == ("diverged", "The val_loss was not finite at the end.")


@pytest.mark.parametrize(
    ("body", "metric", "sentence"),
    [
        (GOOD, "f1", "reported no `f1`: call `run.report"),
        (GOOD.replace("range(12)", "range(9)"), "val_loss", "must do 12 updates, as it said, but did 9"),
        (GOOD + "sys.exit(4)\n", "val_loss", "ended with exit code 4"),
        (GOOD.replace("scheduler.step()", "step % 4 or scheduler.step()"), "val_loss", "not once an epoch"),
    ],
)
def test_a_run_that_is_not_what_was_planned_fails_with_the_reason(tmp_path, body, metric, sentence):
    with pytest.raises(SchedsearchError, match=sentence):
        trained(script(tmp_path, body), metric)


def test_another_horizon_than_at_the_start_of_the_study_is_named(tmp_path):
    one = script(tmp_path, GOOD.replace("12", "13"), HEAD.replace("12", "13"))
    with pytest.raises(SchedsearchError, match="`total_updates` must be 12, as when the study began, but is 13"):
        trained(one)


def test_a_script_is_asked_to_stop_and_ended_when_it_does_not(tmp_path):
    with pytest.raises(RunInterrupted, match="was asked to stop"):
        trained(script(tmp_path, "time.sleep(60)"), stop=True)


def test_gradients_may_be_accumulated(tmp_path):
    body = """
    for batch in range(24):
        loss = (model(x) - 1).square().mean()
        loss.backward()
        if batch % 2:
            optimizer.step()
            optimizer.zero_grad()
            scheduler.step()
    run.report(val_loss=1.0)
    """
    assert trained(script(tmp_path, body))[0].score == 1.0


def test_updates_that_mixed_precision_skips_are_no_fault(tmp_path):
    """A gradient scaler leaves out the first few updates, but the loop steps the scheduler all the same."""
    head = HEAD.replace("12", "60")
    body = """
    for step in range(60 + 4):
        if step >= 4:
            update()
        if step < 60:
            scheduler.step()
    run.report(val_loss=1.0)
    """
    one = script(tmp_path, body, head)
    assert examine_script(one, {}).total_updates == 60
    outcome = train_script(one, {}, RunSpec(LINEAR, 3, 60), lambda rows: None, lambda: False)
    assert (outcome.status, outcome.updates_done) == ("completed", 60)


def test_only_rank_0_reports(tmp_path):
    body = GOOD + "assert os.environ['RANK'] == '1'\n"
    one = script(tmp_path, body, "import os\nos.environ['RANK'] = '1'\n" + HEAD)
    with pytest.raises(SchedsearchError, match="reported no `val_loss`"):
        trained(one)


BY_HAND = """
import torch, schedsearch

def own(update):
    return 0.1 if update < 6 else 0.01

run = schedsearch.attach()
parameter = torch.nn.Parameter(torch.zeros(1))
optimizer = torch.optim.SGD([parameter], lr=1.0)
used = []
for update in range(12):
    optimizer.param_groups[0]["lr"] = run.lr(update, total_updates=12, default=own)
    used.append(optimizer.param_groups[0]["lr"])
    optimizer.step()
run.report(val_loss=sum(used))
"""


def test_a_loop_that_sets_the_rate_by_hand(tmp_path):
    one = script(tmp_path, "assert run.is_attached or used == [own(update) for update in range(12)]", BY_HAND)
    subprocess.run(one.command, cwd=one.folder, check=True)
    facts = examine_script(one, {})
    assert (facts.total_updates, facts.optimizer) == (12, "set by hand")
    assert facts.base_lr_range == pytest.approx((0.1 / 10**1.5, 0.1 * 10**1.5))
    outcome, rows = trained(one)
    assert outcome.score == pytest.approx(LINEAR.lrs(12).sum())
    assert rows[-1].lr == pytest.approx(LINEAR.lrs(12)[-1])
    skipping = script(tmp_path, "", BY_HAND.replace("run.lr(update,", "run.lr(2 * update,"))
    with pytest.raises(SchedsearchError, match="once for every update in turn: after 0 it was asked for 2"):
        trained(skipping)


def test_torchrun_may_stand_in_between(tmp_path):
    (tmp_path / "train.py").write_text(HEAD + GOOD)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "train.py"]
    one = script_of(launcher, tmp_path)
    assert examine_script(one, {}).total_updates == TOTAL
    outcome, rows = trained(one)
    assert (outcome.status, outcome.updates_done, len(rows)) == ("completed", TOTAL, 3)


# Alone


def test_alone_it_trains_as_before(tmp_path):
    body = """
    assert not run.is_attached and run.schedule is None and not run.should_stop
    assert run.seed == 5 and run.device == "cpu"
    assert scheduler.get_last_lr() == [0.1]
    run.report(val_loss=1.0)
    """
    own = HEAD.replace(
        "total_updates=12)",
        "total_updates=12, default=lambda one: torch.optim.lr_scheduler.StepLR(one, 4))\n"
        "assert type(scheduler).__name__ == 'StepLR'",
    )
    one = script(tmp_path, body, own)
    subprocess.run(one.command, cwd=one.folder, check=True)


def test_without_a_default_the_rate_is_constant():
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=0.3)
    scheduler = attach().scheduler(optimizer, total_updates=5)
    for _ in range(5):
        optimizer.step()
        scheduler.step()
    assert optimizer.param_groups[0]["lr"] == 0.3


# Its name and its letters


def test_a_reference_is_read_back_and_shown_as_it_was_typed(tmp_path):
    one = script_of(["python", "my train.py", "--lr", "0.1"], tmp_path)
    assert is_script(one.reference)
    assert not is_script("digits")
    assert read_script(one.reference) == one
    assert shown_task(one.reference) == "python 'my train.py' --lr 0.1"
    assert (shown_task("digits"), one.name) == ("digits", "my train")
    with pytest.raises(InvalidTask, match="must name a program, but is empty"):
        script_of([], tmp_path)


def test_the_fingerprint_follows_command_options_and_files(tmp_path):
    one = script(tmp_path, GOOD)
    before = one.fingerprint()
    assert one.fingerprint() == before != one.fingerprint(metric="f1")
    assert Script((*one.command, "--more"), one.folder).fingerprint() != before
    (tmp_path / "train.py").write_text("other")
    assert one.fingerprint() != before


def test_reports_are_read_line_by_line_also_half_written_ones(tmp_path, monkeypatch):
    folder = Folder(tmp_path)
    assert folder.new_reports() == []
    folder.report("report", update=1)
    with (tmp_path / "reports.jsonl").open("a") as file:
        file.write('{"kind": "half')
    assert folder.new_reports() == [{"kind": "report", "update": 1}]
    with (tmp_path / "reports.jsonl").open("a") as file:
        file.write('"}\n')
    assert folder.new_reports() == [{"kind": "half"}]
    order = ScriptOrder(LINEAR.to_dict(), 1, 2, "cpu")
    folder.write_order(order)
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    found = Folder.of_environment()
    assert found is not None
    assert found.order() == ScriptOrder(json.loads(json.dumps(LINEAR.to_dict())), 1, 2, "cpu")
    assert not found.is_asked_to_stop
    folder.ask_to_stop()
    assert found.is_asked_to_stop
