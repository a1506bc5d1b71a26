"""Workers whose clocks are an hour wrong, either way: leases go by the database's clock alone."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from store_databases import fresh_database

from schedsearch.schedule import Constant, Schedule
from schedsearch.space import load_space
from schedsearch.store import NewRun, NewStudy, Phase, Run, RunState, Store
from schedsearch.task import load_task
from schedsearch.workers.rows import NamedSchedule, new_candidate

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or shutil.which("cc") is None, reason="a wrong clock is made by a C compiler on Linux"
)
# Wall clocks only, and no sleeping: faketime 0.9.10 shifts the sleeps of Python 3.11 too, which then fail or never end.
WRONG_CLOCK = """
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
int clock_gettime(clockid_t clock, struct timespec *now) {
    int code = syscall(SYS_clock_gettime, clock, now);
    if (code == 0 && clock == CLOCK_REALTIME) now->tv_sec += atol(getenv("CLOCK_IS_AHEAD_S"));
    return code;
}
int gettimeofday(struct timeval *now, void *zone) {
    struct timespec exact;
    int code = clock_gettime(CLOCK_REALTIME, &exact);
    if (code == 0) { now->tv_sec = exact.tv_sec; now->tv_usec = exact.tv_nsec / 1000; }
    return code;
}
time_t time(time_t *now) {
    struct timespec exact;
    clock_gettime(CLOCK_REALTIME, &exact);
    if (now) *now = exact.tv_sec;
    return exact.tv_sec;
}
"""
UPDATES, RUNS = 40, 6
TASK = """
import time
import torch
from torch import nn
from schedsearch.task import Splits, Task

class Slow(Task):
    total_updates = 40
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


@pytest.fixture(scope="module")
def wrong_clock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library that shifts the wall clock of whatever loads it first."""
    folder = tmp_path_factory.mktemp("clock")
    (folder / "clock.c").write_text(WRONG_CLOCK)
    library = folder / "clock.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, folder / "clock.c"], check=True)
    asked = [sys.executable, "-c", "import time; print(time.time())"]
    told = subprocess.run(
        asked, env={**os.environ, **shifted(library, 3600)}, capture_output=True, text=True, check=True
    )
    assert abs(float(told.stdout) - 3600 - time.time()) < 60
    return library


def shifted(library: Path, ahead_s: int) -> dict[str, str]:
    return {"LD_PRELOAD": str(library), "CLOCK_IS_AHEAD_S": str(ahead_s)}


@pytest.fixture(
    params=[
        pytest.param("PostgreSQL", marks=pytest.mark.xdist_group("store-PostgreSQL")),
        pytest.param("MariaDB", marks=[pytest.mark.xdist_group("store-MariaDB"), pytest.mark.slow]),
    ]
)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with fresh_database(request.param, tmp_path) as made:
        yield made


def queued(store: Store, folder: Path) -> int:
    """A study of some slow runs; its number."""
    (folder / "task.py").write_text(TASK)
    reference = f"{folder / 'task.py'}:Slow"
    space = load_space("quick").with_base_lr(0.001, 0.1)
    study = store.create_study(
        NewStudy(
            name="clocks", task=reference, task_options={}, task_fingerprint=load_task(reference).fingerprint(),
            metric="loss", direction="minimize", space_name=space.name, space_version=space.version,
            space=space.to_dict(), strategy="curve", seed=0, total_updates=UPDATES, updates_per_epoch=2, budget={},
            plan={}, code_version="0", optuna_study="clocks",
        )
    )  # fmt: skip
    candidate = store.add_candidate(
        study.id, new_candidate(NamedSchedule("search", None, Schedule(0.05, Constant())))
    )
    store.add_runs(study.id, [NewRun(candidate, Phase.SEARCH, 0, seed, UPDATES) for seed in range(RUNS)])
    return study.id


def worker(url: str, library: Path, ahead_s: int, zone: str) -> subprocess.Popen[bytes]:
    """On a machine whose clock is wrong and which is in another time zone."""
    return subprocess.Popen(
        [sys.executable, "-m", "schedsearch", "worker", "--checkpoints", "none"],
        env={
            **os.environ,
            **shifted(library, ahead_s),
            "OMP_NUM_THREADS": "1",
            "SCHEDSEARCH_STORAGE": url,
            "PGTZ": zone,
            "TZ": zone,
        },
        start_new_session=True,
    )


def wait_for(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_wrong_clocks_expire_no_lease_and_miss_none(url: str, tmp_path: Path, wrong_clock: Path) -> None:
    with Store.open(url) as store:
        study_id = queued(store, tmp_path)
        dead = store.claim("killed", lease_s=4.0, device="cpu", study_id=study_id)
        held = store.claim("alive", lease_s=600.0, device="cpu", study_id=study_id)
        assert dead is not None
        assert held is not None
        workers = [
            worker(url, wrong_clock, 3600, "Asia/Tokyo"),
            worker(url, wrong_clock, -3600, "America/Los_Angeles"),
        ]
        try:
            others = RUNS - 1
            wait_for(lambda: sum(run.state is RunState.COMPLETED for run in store.runs(study_id)) == others)
        finally:
            for one in workers:
                os.killpg(one.pid, signal.SIGKILL)
                one.wait()
        runs: dict[int, Run] = {run.id: run for run in store.runs(study_id)}
        assert store.renew(held, 60.0)  # not taken away by a clock that is an hour ahead
        assert runs[held.run_id].attempt == 1
        assert runs[dead.run_id].attempt == 2  # taken away, also by one that is an hour behind
        trained = [run for run in runs.values() if run.id not in (held.run_id, dead.run_id)]
        assert {run.attempt for run in trained} == {1}
        for run in (*trained, runs[dead.run_id]):
            assert run.duration_s is not None
            assert 0 <= run.duration_s < 60
            assert run.finished_at is not None
            assert run.claimed_at is not None
            assert 0 <= run.finished_at - run.claimed_at < 60
            assert abs(run.finished_at - time.time()) < 300
        status = store.overview(study_id, "minimize")
        assert all(one.seconds >= 0 for one in status.active)
        assert status.recent_s >= 0
