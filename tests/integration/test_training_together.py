"""Workers that train runs together: the same results, each run's own end, and one by one again where it goes wrong."""

import os
import signal
import textwrap
import threading
import time
from pathlib import Path

import pytest

from schedsearch.schedule import Constant, Cosine, Linear, Schedule
from schedsearch.space import load_space
from schedsearch.store import NewRun, NewStudy, Phase, RunState, Store
from schedsearch.task import load_task
from schedsearch.workers.loop import Worker, WorkerOptions
from schedsearch.workers.rows import NamedSchedule, new_candidate
from schedsearch.workers.safety import Safety

SOURCE = """
import os, signal, time
from pathlib import Path
import torch
from torch import nn
from schedsearch.task import Splits, Task, option

def rows(count):
    drawn = torch.Generator().manual_seed(count)
    x = torch.randn(count, 4, generator=drawn)
    return x, x.sum(1, keepdim=True) + torch.randn(count, 1, generator=drawn)

class Company(Task):
    total_updates = 40
    batch_size = 8
    optimizer = "sgd"
    what: str = option("nothing", "what it does while runs are trained together")

    def model(self):
        return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))

    def data(self):
        return Splits(rows(80), rows(20), rows(10))

    def loss(self, output, batch):
        if torch.is_grad_enabled():
            time.sleep(0.01 if self.what == "slow" else 0.0005)
        if torch._C._functorch.is_batchedtensor(output):
            if self.what == "fall":
                os.kill(os.getpid(), signal.SIGSEGV)
            if self.what == "differ":
                return nn.functional.mse_loss(output, batch[1]) + 0.1
        return nn.functional.mse_loss(output, batch[1])
"""
SHAPES = (Cosine(), Linear(), Constant())
MANY = 16


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    path = tmp_path_factory.mktemp("task") / "company.py"
    path.write_text(textwrap.dedent(SOURCE))
    return f"{path}:Company"


@pytest.fixture
def store(tmp_path):
    with Store.open(f"sqlite:///{tmp_path}/store.db") as opened:
        yield opened


def study_of(store, reference, lrs, *, what="nothing", seeds=(1,), arrays=True, updates=40):
    """A study of one run a base LR and seed."""
    options = {"what": what}
    task, space = load_task(reference, options), load_space("quick").with_base_lr(0.001, 0.1)
    name = f"{what}-{arrays}"
    study = store.create_study(
        NewStudy(
            name=name, task=reference, task_options=options, task_fingerprint=task.fingerprint(), metric="loss",
            direction="minimize", space_name=space.name, space_version=space.version, space=space.to_dict(),
            strategy="curve", seed=0, total_updates=updates, updates_per_epoch=10, budget={"arrays": arrays}, plan={},
            code_version="0", optuna_study=name,
        )
    )  # fmt: skip
    schedules = [Schedule(lr, SHAPES[number % 3]) for number, lr in enumerate(lrs)]
    ids = [store.add_candidate(study.id, new_candidate(NamedSchedule("search", None, one))) for one in schedules]
    store.add_runs(study.id, [NewRun(one, Phase.CONFIRM, 0, seed, updates) for seed in seeds for one in ids])
    return study


def lrs(count):
    return [0.002 * 1.2**number for number in range(count)]


def serve(store, study, until, **options):
    """A worker in this process, which never plans, until this holds."""
    worker = Worker(store, WorkerOptions(study.name, threads=1, plans_after_s=600.0, **options))
    thread = threading.Thread(target=worker.run)
    thread.start()
    deadline = time.monotonic() + 200
    try:
        while not until(worker):
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        worker._stopping.set()
        thread.join()


def trained(store, study, **options):
    serve(store, study, lambda worker: all(run.state.is_finished for run in store.runs(study.id)), **options)
    return store.runs(study.id)


def results(store, runs):
    """What of these runs must not depend on how they were trained, as one flat list."""
    scores = [value for run in runs for value in (run.score, run.test_score, run.initial_loss)]
    losses = [value for run in runs for row in store.measurements(run.id) for value in (row.lr, row.val_loss)]
    return scores + losses


@pytest.mark.parametrize(("count", "seeds"), [(MANY, (5,)), (4, (5, 6, 7, 8))])
def test_runs_trained_together_have_the_results_of_runs_trained_alone(store, reference, count, seeds):
    runs = trained(store, study_of(store, reference, lrs(count), seeds=seeds))
    alone = trained(store, study_of(store, reference, lrs(count), seeds=seeds, arrays=False))
    assert [run.trained_together for run in runs] == [MANY] * MANY
    assert [run.trained_together for run in alone] == [1] * MANY
    assert {run.state for run in [*runs, *alone]} == {RunState.COMPLETED}
    assert [(run.seed, run.attempt, run.updates_done) for run in runs] == [
        (run.seed, 1, 40) for run in alone
    ]
    assert results(store, runs) == pytest.approx(results(store, alone), rel=1e-4)
    assert len({run.score for run in runs}) == MANY


def test_a_run_that_diverges_is_its_own_affair(store, reference):
    runs = trained(store, study_of(store, reference, [*lrs(MANY - 1), 1e4]))
    assert [run.state for run in runs] == [RunState.COMPLETED] * (MANY - 1) + [RunState.DIVERGED]
    assert {run.trained_together for run in runs} == {MANY}
    assert runs[-1].diverged_at < 10


@pytest.mark.parametrize("what", ["fall", "differ"])
def test_what_cannot_be_trained_together_is_trained_one_by_one(store, reference, what):
    """A process that falls over a batched model, and one whose loss differs there: seen before anything is recorded."""
    runs = trained(store, study_of(store, reference, lrs(MANY), what=what))
    assert {(run.state, run.trained_together) for run in runs} == {(RunState.COMPLETED, 1)}


def test_runs_whose_process_is_killed_are_tried_again_one_by_one(store, reference):
    study = study_of(store, reference, lrs(4), what="slow", updates=240)
    killed = []

    def until(worker):
        running = [run for run in store.runs(study.id) if run.state is RunState.RUNNING]
        begun = len(running) == 4 and any(store.measurements(run.id) for run in running)
        if begun and not killed:
            killed.append(worker._training.pid)
            os.kill(killed[0], signal.SIGKILL)
        return all(run.state.is_finished for run in store.runs(study.id))

    serve(store, study, until, safety=Safety(lease_s=3.0))
    runs = store.runs(study.id)
    assert killed
    assert {(run.state, run.attempt, run.trained_together) for run in runs} == {(RunState.COMPLETED, 2, 1)}


def test_runs_that_are_stopped_together_go_on_one_by_one_from_their_checkpoints(store, reference, tmp_path):
    study = study_of(store, reference, lrs(4), what="slow", updates=240)
    folder = tmp_path / "checkpoints"
    safety = Safety(checkpoints=str(folder), lease_s=3.0)
    serve(store, study, lambda worker: any(store.measurements(run.id) for run in store.runs(study.id)), safety=safety)
    assert {(run.state, run.attempt) for run in store.runs(study.id)} == {(RunState.WAITING, 1)}
    assert len([path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")]) == 4
    runs = trained(store, study, safety=safety)
    assert {(run.state, run.attempt, run.trained_together) for run in runs} == {(RunState.COMPLETED, 2, 1)}
    alone = trained(store, study_of(store, reference, lrs(4), what="slow", updates=240, arrays=False))
    assert results(store, runs) == pytest.approx(results(store, alone), rel=1e-4)
    assert [path for path in Path(folder).rglob("*") if path.is_file()] == []
