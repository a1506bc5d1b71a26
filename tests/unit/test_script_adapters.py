"""The adapters in the hands of the real frameworks: LRs, updates, losses and metrics, attached and alone."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.optim.lr_scheduler import StepLR

from schedsearch import Schedule, attach
from schedsearch.errors import SchedsearchError
from schedsearch.script.adapters.timm import UpdateScheduler, update_scheduler
from schedsearch.script.letters import VARIABLE, Folder, ScriptOrder
from schedsearch.task.script import Script, script_of
from schedsearch.training.scripts import examine_script, train_script
from schedsearch.training.spec import Measurement, RunSpec

LINEAR = Schedule.from_dict({"base_lr": 0.02, "decay": {"kind": "linear"}})
HEAD = """
import json, os, sys
import torch
import schedsearch

run = schedsearch.attach(seed=5)
used = []

def watched(optimizer):
    optimizer.register_step_pre_hook(lambda one, args, kwargs: used.append(one.param_groups[0]["lr"]))
    return optimizer

def tell():
    if os.environ.get("LOCAL_RANK", "0") == "0":
        with open("used.json", "w") as file:
            json.dump(used, file)
"""
LIGHTNING = """
import lightning
from schedsearch.script.adapters.lightning import ReportCallback, schedule_optimizer
from torch.utils.data import DataLoader

SEED
class Line(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.net = torch.nn.Linear(3, 1)
        self.batches = []

    def training_step(self, batch, batch_idx):
        loss = (self.net(batch) - batch.sum(1, keepdim=True)).square().mean()
        self.batches.append(loss.item())
        self.log("train_mean", loss)
        return loss

    def validation_step(self, batch, batch_idx):
        self.log("val_loss", sum(self.batches))
        self.log("val/batches", float(len(self.batches)))

    def configure_optimizers(self):
        own = lambda one: torch.optim.lr_scheduler.StepLR(one, 1)
        return schedule_optimizer(run, self, watched(torch.optim.SGD(self.parameters(), lr=0.1)), default=own)

data = torch.randn(20, 3, generator=torch.Generator().manual_seed(0))
trainer = lightning.Trainer(
    accelerator="cpu", accumulate_grad_batches=2, max_epochs=2, logger=False, enable_checkpointing=False,
    enable_progress_bar=False, enable_model_summary=False, callbacks=[ReportCallback(run)], **MORE,
)
model = Line()
trainer.fit(model, DataLoader(data, 4, shuffle=True), DataLoader(data, 20))
tell()
"""
TRAINER = """
from transformers import Trainer, TrainingArguments
from schedsearch.script.adapters.transformers import ScheduledTrainer

class Line(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.net = torch.nn.Linear(3, 1)

    def forward(self, x, labels=None):
        out = self.net(x)
        return {"loss": (out - x.sum(1, keepdim=True)).square().mean() * FACTOR, "logits": out}

class Other(Trainer):
    pass

class Mine(ScheduledTrainer, Other):
    pass

torch.manual_seed(run.seed)
rows = [{"x": one, "labels": 0} for one in torch.randn(20, 3)]
args = TrainingArguments(
    "out", per_device_train_batch_size=4, gradient_accumulation_steps=2, logging_steps=1, learning_rate=0.1,
    lr_scheduler_type="constant", eval_strategy="epoch", save_strategy="no", disable_tqdm=True, use_cpu=True,
    seed=SEED, **MORE,
)
model = Line()
trainer = Mine(
    run=run, model=model, args=args, train_dataset=rows, eval_dataset=rows, compute_metrics=lambda found: {"two": 2.0},
    optimizers=(watched(torch.optim.SGD(model.parameters(), lr=0.1)), None),
)
trainer.train()
tell()
"""
ACCELERATE = """
import accelerate
from schedsearch.script.adapters.accelerate import prepare_scheduler
from torch.utils.data import DataLoader

accelerator = accelerate.Accelerator(cpu=True, gradient_accumulation_steps=2)
accelerate.utils.set_seed(run.seed)
model = torch.nn.Linear(3, 1)
optimizer = watched(torch.optim.SGD(model.parameters(), lr=0.1))
batches = DataLoader(torch.randn(48, 3), 4, shuffle=True)
model, optimizer, batches = accelerator.prepare(model, optimizer, batches)
total = len(batches) // 2 * 2
own = lambda one: torch.optim.lr_scheduler.StepLR(one, 2)
PREPARED
for epoch in range(2):
    for x in batches:
        with accelerator.accumulate(model):
            loss = (model(x) - x.sum(1, keepdim=True)).square().mean()
            accelerator.backward(loss)
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad()
    run.report(val_loss=loss.item(), processes=accelerator.num_processes)
tell()
accelerator.end_training()
import atexit, os
atexit._run_exitfuncs()
os._exit(0)  # gloo's threads sometimes abort an interpreter that ends by itself
"""
PREPARED = "scheduler = prepare_scheduler(run, accelerator, optimizer, total_updates=total, default=own)"
BY_ITSELF = "scheduler = accelerator.prepare(run.scheduler(optimizer, total_updates=total, default=own))"
TWO_PROCESSES = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


def script(folder: Path, body: str, *launcher: str, **values: str) -> Script:
    for name, value in {"SEED": "run.seed", "MORE": "{}", "FACTOR": "1", **values}.items():
        body = body.replace(name, value)
    (folder / "train.py").write_text(HEAD + body)
    return script_of([sys.executable, *launcher, "train.py"], folder)


def lightning(folder: Path, seed: str = "lightning.seed_everything(run.seed)", more: str = "{}") -> Script:
    return script(folder, LIGHTNING, SEED=seed, MORE=more)


def used(folder: Path) -> list[float]:
    """The LRs that the optimizer used, one an update."""
    return json.loads((folder / "used.json").read_text())


def trained(one: Script, total_updates: int, **options: str):
    rows: list[Measurement] = []
    outcome = train_script(one, options, RunSpec(LINEAR, 3, total_updates), rows.extend, lambda: False)
    return outcome, rows


def alone(one: Script) -> list[float]:
    subprocess.run(one.command, cwd=one.folder, check=True)
    return used(Path(one.folder))


def stopped_at_once(one: Script) -> float:
    """The updates that a script does whose study asks it to end before it has begun."""
    folder = Folder(Path(one.folder) / "letters")
    folder.path.mkdir()
    folder.write_order(ScriptOrder(LINEAR.to_dict(), 3, 6, "cpu"))
    folder.ask_to_stop()
    subprocess.run(one.command, cwd=one.folder, check=True, env={**os.environ, VARIABLE: str(folder.path)})
    return next(report["updates"] for report in folder.new_reports() if report["kind"] == "done")


# Lightning


@pytest.mark.slow
def test_lightning_trains_at_the_schedules_rates_one_an_update(tmp_path: Path) -> None:
    one = lightning(tmp_path)
    facts = examine_script(one, {})
    assert (facts.total_updates, facts.updates_per_epoch, facts.optimizer) == (6, 3, "SGD")
    assert facts.base_lr_range == pytest.approx((0.1 / 10**1.5, 0.1 * 10**1.5))
    outcome, rows = trained(one, 6)
    assert (outcome.status, outcome.updates_done) == ("completed", 6)
    assert used(tmp_path) == pytest.approx(LINEAR.lrs(6).tolist())
    assert [row.update for row in rows] == [2, 5]
    assert [row.metrics for row in rows] == [{"val/batches": 5.0}, {"val/batches": 10.0}]


def test_the_loss_of_an_update_is_the_mean_of_its_batches_in_lightning(tmp_path: Path) -> None:
    _, rows = trained(lightning(tmp_path, more="{'limit_train_batches': 4}"), 4)
    losses = [row.train_loss for row in rows]
    assert sum(losses) * 4 == pytest.approx(rows[-1].val_loss, rel=1e-5)  # 8 batches; each row is the mean of 2 updates


def test_lightning_alone_steps_its_own_scheduler_once_an_epoch(tmp_path: Path) -> None:
    assert alone(lightning(tmp_path)) == pytest.approx([0.1] * 3 + [0.01] * 3)


def test_lightning_given_another_seed_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(SchedsearchError, match=r"`seed_everything` must be given run\.seed, 3, but was given 42"):
        trained(lightning(tmp_path, "lightning.seed_everything(42)"), 6)


def test_lightning_is_seeded_where_the_script_set_no_seed_and_ends_when_asked(tmp_path: Path) -> None:
    one = lightning(tmp_path, "")
    with (tmp_path / "train.py").open("a") as file:
        file.write("assert os.environ['PL_GLOBAL_SEED'] == '3'\n")
    assert stopped_at_once(one) == 1


@pytest.mark.slow
def test_lightning_on_two_processes_reports_once(tmp_path: Path) -> None:
    one = lightning(tmp_path, more="{'devices': 2, 'strategy': 'ddp'}")
    facts = examine_script(one, {})
    assert (facts.total_updates, facts.updates_per_epoch) == (4, 2)
    outcome, rows = trained(one, 4)
    assert (outcome.updates_done, len(rows)) == (4, 2)
    assert used(tmp_path) == pytest.approx(LINEAR.lrs(4).tolist())


# Hugging Face's Trainer


def test_the_trainer_trains_at_the_schedules_rates_one_an_update(tmp_path: Path) -> None:
    one = script(tmp_path, TRAINER, MORE="{'num_train_epochs': 2}")
    facts = examine_script(one, {})
    assert (facts.total_updates, facts.updates_per_epoch, facts.optimizer) == (6, 3, "SGD")
    outcome, rows = trained(one, 6)
    assert (outcome.status, outcome.updates_done) == ("completed", 6)
    assert used(tmp_path) == pytest.approx(LINEAR.lrs(6).tolist())
    assert [row.update for row in rows] == [2, 5]
    assert rows[-1].val_loss == outcome.score
    assert rows[-1].metrics == {"eval_two": 2.0}
    assert rows[-1].train_loss is not None


def test_the_trainer_counts_updates_of_an_epoch_from_steps_too(tmp_path: Path) -> None:
    facts = examine_script(script(tmp_path, TRAINER, MORE="{'max_steps': 5}"), {})
    assert (facts.total_updates, facts.updates_per_epoch) == (5, 3)


def test_the_trainer_alone_has_its_own_scheduler(tmp_path: Path) -> None:
    one = script(tmp_path, TRAINER.replace('"constant"', '"linear"'), MORE="{'num_train_epochs': 2}", SEED="5")
    assert alone(one) == pytest.approx([0.1 * (1 - update / 6) for update in range(6)])


def test_the_trainer_given_another_seed_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(SchedsearchError, match=r"`seed` of TrainingArguments must be run\.seed, 3, but is 42"):
        trained(script(tmp_path, TRAINER, SEED="42", MORE="{'num_train_epochs': 2}"), 6)


def test_a_loss_that_is_not_finite_is_seen_although_the_trainer_would_hide_it(tmp_path: Path) -> None:
    one = script(tmp_path, TRAINER, FACTOR="float('nan')", MORE="{'num_train_epochs': 2}")
    outcome, _ = trained(one, 6)
    assert (outcome.status, outcome.diverged_at) == ("diverged", 0)


def test_the_trainer_ends_when_asked(tmp_path: Path) -> None:
    assert stopped_at_once(script(tmp_path, TRAINER, MORE="{'num_train_epochs': 2}")) == 1


# Accelerate


@pytest.mark.slow
@pytest.mark.parametrize(("launcher", "total"), [((), 12), (TWO_PROCESSES, 6)])
def test_accelerate_trains_at_the_schedules_rates_one_an_update(
    tmp_path: Path, launcher: tuple[str, ...], total: int
) -> None:
    one = script(tmp_path, ACCELERATE, *launcher, PREPARED=PREPARED)
    facts = examine_script(one, {})
    assert (facts.total_updates, facts.optimizer) == (total, "SGD")
    outcome, rows = trained(one, total)
    assert (outcome.status, outcome.updates_done) == ("completed", total)
    assert used(tmp_path) == pytest.approx(LINEAR.lrs(total).tolist())
    assert [row.metrics["processes"] for row in rows] == [2 if launcher else 1] * 2


def test_accelerate_may_prepare_the_scheduler_of_a_wrapped_optimizer_itself_on_one_process(tmp_path: Path) -> None:
    outcome, _ = trained(script(tmp_path, ACCELERATE, PREPARED=BY_ITSELF), 12)
    assert outcome.updates_done == 12
    assert used(tmp_path) == pytest.approx(LINEAR.lrs(12).tolist())


def test_accelerate_that_steps_it_once_a_process_is_a_fault(tmp_path: Path) -> None:
    wide = ACCELERATE.replace("randn(48, 3)", "randn(192, 3)")
    with pytest.raises(SchedsearchError, match="The scheduler was stepped 18 times in 9 updates"):
        trained(script(tmp_path, wide, *TWO_PROCESSES, PREPARED=BY_ITSELF), 24)


@pytest.mark.slow
@pytest.mark.parametrize(("launcher", "each"), [((), 2), (TWO_PROCESSES, 1)])
def test_accelerate_alone_steps_its_own_scheduler_as_ever(tmp_path: Path, launcher: tuple[str, ...], each: int) -> None:
    found = alone(script(tmp_path, ACCELERATE, *launcher, PREPARED=PREPARED))
    assert found == pytest.approx([0.1 * 0.1 ** (update // each) for update in range(6 * each)])


# timm's manner


def optimizer(lr: float = 0.1) -> torch.optim.Optimizer:
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)


def timm_loop(one: torch.optim.Optimizer, scheduler: UpdateScheduler, epochs: int = 3, steps: int = 4) -> list[float]:
    lrs = []
    for epoch in range(epochs):
        for step in range(steps):
            lrs.append(one.param_groups[0]["lr"])
            one.step()
            scheduler.step_update(num_updates=epoch * steps + step + 1, metric=1.0)
        scheduler.step(epoch + 1, 1.0)
    return lrs


def test_updates_and_epochs_in_timms_manner() -> None:
    one = optimizer()
    scheduler = UpdateScheduler(LINEAR.scheduler(one, total_updates=12))
    assert timm_loop(one, scheduler) == pytest.approx(LINEAR.lrs(12).tolist())


def test_a_loop_in_timms_manner_goes_on_where_it_was() -> None:
    one, other = optimizer(), optimizer()
    scheduler = UpdateScheduler(LINEAR.scheduler(one, total_updates=12))
    scheduler.step_update(7)
    later = UpdateScheduler(LINEAR.scheduler(other, total_updates=12))
    later.load_state_dict(scheduler.state_dict())
    assert later.get_last_lr() == scheduler.get_last_lr() == pytest.approx([LINEAR.lrs(12)[7]])
    jumped = UpdateScheduler(LINEAR.scheduler(optimizer(), total_updates=12))
    jumped.step_update(7)
    assert jumped.get_last_lr() == pytest.approx([LINEAR.lrs(12)[7]])


def test_alone_a_loop_in_timms_manner_gets_its_own_scheduler() -> None:
    one = optimizer()
    found = update_scheduler(attach(), one, total_updates=12, default=lambda given: UpdateScheduler(StepLR(given, 4)))
    assert timm_loop(one, found) == pytest.approx([0.1] * 4 + [0.01] * 4 + [0.001] * 4)
    one = optimizer()
    assert timm_loop(one, update_scheduler(attach(), one, total_updates=12)) == pytest.approx([0.1] * 12)


@pytest.mark.slow
def test_attached_a_loop_in_timms_manner_is_watched(tmp_path: Path) -> None:
    body = """
from schedsearch.script.adapters.timm import update_scheduler
optimizer = watched(torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1))
scheduler = update_scheduler(run, optimizer, total_updates=12, updates_per_epoch=4)
for epoch in range(3):
    for step in range(4):
        optimizer.step()
        scheduler.step_update(epoch * 4 + step + 1)
    scheduler.step(epoch + 1)
run.report(val_loss=sum(used))
"""
    one = script(tmp_path, body)
    facts = examine_script(one, {})
    assert (facts.total_updates, facts.updates_per_epoch) == (12, 4)
    assert trained(one, 12)[0].score == pytest.approx(LINEAR.lrs(12).sum())
    with pytest.raises(SchedsearchError, match="stepped 0 times in 3 updates"):
        trained(script(tmp_path, body.replace("        scheduler.step_update", "        ()or None and scheduler")), 12)
