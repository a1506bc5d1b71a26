"""Checkpoints that no run needs any more are removed, and never one of a run that goes on."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from store_databases import query

from schedsearch.schedule import Constant, Schedule
from schedsearch.space import load_space
from schedsearch.store import Failure, NewRun, NewStudy, Phase, RunResult, RunState, Store, Study, StudyState
from schedsearch.task import load_task
from schedsearch.training.places import STALE_S, Folder, training_mark
from schedsearch.workers.rows import NamedSchedule, new_candidate
from schedsearch.workers.sweeping import sweep

UPDATES = 200
SCHEDULE = Schedule(0.05, Constant())
TASK = """
import time
import torch
from torch import nn
from schedsearch.task import Splits, Task

class Slow(Task):
    total_updates = 200
    batch_size = 8

    def model(self):
        return nn.Linear(3, 1)

    def data(self):
        part = torch.ones(16, 3), torch.ones(16, 1)
        return Splits(part, part, part)

    def loss(self, output, batch):
        time.sleep(0.01)
        return nn.functional.mse_loss(output, batch[1])
"""
DONE = RunResult(RunState.COMPLETED, 0.5, 0.5, UPDATES, 1.0, None, None, 1.0)
FAILED = RunResult(RunState.FAILED, reason="ValueError: x.", failure=Failure.ERROR)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(f"sqlite:///{tmp_path}/store.db") as opened:
        yield opened


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "checkpoints"


def study_of(store: Store, seeds: int, name: str = "swept", task: str = "digits") -> Study:
    """A study with as many waiting runs of one schedule."""
    space = load_space("quick").with_base_lr(0.001, 0.1)
    fingerprint = load_task(task).fingerprint() if task != "digits" else "f" * 64
    study = store.create_study(
        NewStudy(
            name=name, task=task, task_options={}, task_fingerprint=fingerprint, metric="loss", direction="minimize",
            space_name=space.name, space_version=space.version, space=space.to_dict(), strategy="curve", seed=0,
            total_updates=UPDATES, updates_per_epoch=2, budget={}, plan={}, code_version="0", optuna_study=name,
        )
    )  # fmt: skip
    candidate = store.add_candidate(study.id, new_candidate(NamedSchedule("search", None, SCHEDULE)))
    store.add_runs(study.id, [NewRun(candidate, Phase.SEARCH, 0, seed, UPDATES) for seed in range(seeds)])
    return study


def plant(folder: Path, study: Study, seed: int, updates: int = 10, attempt: int = 1) -> str:
    """A file such as a worker leaves that was killed in this run."""
    mark = training_mark(study.task_fingerprint, SCHEDULE.to_dict(), seed, UPDATES)
    name = f"{mark}{'0' * 16}-{updates:010d}-{attempt}.ckpt"
    Folder(folder).write(name, b"a state")
    return name


def left(folder: Path) -> set[str]:
    return {one.name for one in folder.iterdir()}


def claim_and(store: Store, study: Study, *ends: str) -> None:
    for end in ends:
        claim = store.claim("worker", lease_s=60.0, device="cpu", study_id=study.id)
        assert claim is not None
        if end == "completed":
            store.finish(claim, DONE, [])
        elif end == "failed":
            store.fail(claim, FAILED, [], 1)


def finish(store: Store, study: Study) -> None:
    """As a verdict does."""
    store.set_study_state(study.id, StudyState.FINISHED)


def test_files_of_ended_runs_go_and_of_all_others_stay(store: Store, folder: Path) -> None:
    study = study_of(store, 4)
    claim_and(store, study, "completed", "failed", "running")
    files = [plant(folder, study, seed) for seed in range(4)]
    stranger = plant(folder, replace(study, task_fingerprint="e" * 64), 0)
    assert sweep(store, str(folder)) == 1
    assert left(folder) == {*files[1:], stranger}
    finish(store, study)
    assert sweep(store, str(folder)) == 2
    assert left(folder) == {files[2], stranger}  # somebody still trains run 3; stranger's is another store's


def test_a_training_that_another_study_still_needs_stays(store: Store, folder: Path) -> None:
    one, other = study_of(store, 1, "one"), study_of(store, 1, "other")
    plant(folder, one, 0)
    claim_and(store, one, "completed")
    finish(store, one)
    assert sweep(store, str(folder)) == 0
    claim_and(store, other, "completed")
    assert sweep(store, str(folder)) == 1
    assert left(folder) == set()


def test_what_cannot_be_swept_ends_nothing(store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert sweep(store, None) == sweep(store, str(tmp_path / "nowhere")) == 0
    assert sweep(store, "nosuch://me:s3cr3t-MARK@host/folder") == 0
    assert "checkpoints could not be swept" in caplog.text
    assert "s3cr3t" not in caplog.text


def worker(store: Store, study: Study, folder: Path) -> subprocess.Popen[bytes]:
    line = ["worker", study.name, "--storage", store.url, "--checkpoints", str(folder), "--checkpoint-every", "0.05"]
    return subprocess.Popen([sys.executable, "-m", "schedsearch", *line], env={**os.environ, "OMP_NUM_THREADS": "1"})


def wait_for(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_what_killed_workers_and_zombies_leave_is_swept_by_the_last_worker(
    store: Store, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "task.py").write_text(TASK)
    study = study_of(store, 1, task=f"{tmp_path / 'task.py'}:Slow")
    first = worker(store, study, folder)
    wait_for(lambda: list(folder.glob("*.ckpt")))
    first.send_signal(signal.SIGKILL)
    first.wait()
    files = left(folder)
    mark = training_mark(study.task_fingerprint, SCHEDULE.to_dict(), 0, UPDATES)
    assert all(one.startswith((mark, ".")) for one in files)  # a row of the store gives a file's name
    assert sweep(store, str(folder)) == 0  # a lease that has not expired
    half = folder / ".half.part"
    half.write_bytes(b"half a state")
    then = half.stat().st_mtime - 2 * STALE_S
    os.utime(half, (then, then))
    query(store.url, "update schedsearch_run set lease_expires_at = 0")
    claim_and(store, study, "completed")  # by another worker, without a look at the files
    assert store.runs(study.id)[0].attempt == 2
    zombie = plant(folder, study, 0, updates=150, attempt=1)
    finish(store, study)
    assert zombie in left(folder)
    last = worker(store, study, folder)
    assert last.wait(60) == 0
    assert left(folder) == set()
