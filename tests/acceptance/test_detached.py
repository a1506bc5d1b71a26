"""A study written here and trained by workers elsewhere, stopped and taken up again."""

import json
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path

from command_line import SCHEDSEARCH, SMALL, environment, schedsearch

NAME = "detached"


def state(folder: Path) -> str:
    with closing(sqlite3.connect(folder / "schedsearch.db")) as connection:
        return str(connection.execute("select state from schedsearch_study").fetchone()[0])


def workers_of(study: int, folder: Path) -> set[str]:
    """Those that hold or have trained a run of it."""
    found = "select distinct worker_id from schedsearch_run where study_id = ? and worker_id is not null"
    with closing(sqlite3.connect(folder / "schedsearch.db", timeout=30)) as connection:
        return {str(one) for (one,) in connection.execute(found, [study])}


def test_a_detached_study_is_stopped_taken_up_and_finished_by_a_worker(tmp_path: Path) -> None:
    launched = schedsearch(
        "launch", *SMALL, "--trials", "8", "--study", NAME, "--detach", "--mlflow", "none", cwd=tmp_path
    )
    assert (launched.code, launched.out) == (0, f"{NAME}\n")
    assert f"schedsearch worker {NAME}" in launched.err
    assert state(tmp_path) == "running"
    stopped = schedsearch("stop", NAME, cwd=tmp_path)
    assert (stopped.code, state(tmp_path)) == (0, "stopped")
    assert schedsearch("worker", NAME, cwd=tmp_path).code == 0
    again = schedsearch("stop", NAME, cwd=tmp_path)
    assert again.code == 2
    assert "must be running to be stopped, but is stopped already." in again.err
    assert schedsearch("resume", NAME, cwd=tmp_path).code == 0
    worker = schedsearch("worker", NAME, "--threads", "1", cwd=tmp_path)
    assert (worker.code, state(tmp_path)) == (0, "finished")
    finished = schedsearch("resume", NAME, cwd=tmp_path)
    assert finished.code == 2
    assert "must be stopped to go on, but is finished." in finished.err
    assert schedsearch("report", NAME, cwd=tmp_path).code == 0


def test_times_of_a_worker_are_checked(tmp_path: Path) -> None:
    done = schedsearch("worker", "--stall-timeout", "0", "--checkpoint-every", "-1", "--lease", "2", cwd=tmp_path)
    assert done.code == 2
    assert done.err.splitlines() == [
        "Error: `stall_timeout` must be above 0, but is 0 instead.",
        "`checkpoint_every` must be above 0, but is -1 instead.",
        "`lease` must be at least 3, but is 2 instead.",
    ]


def test_detach_and_resume_exclude_each_other(tmp_path: Path) -> None:
    done = schedsearch("launch", "--detach", "--resume", NAME, cwd=tmp_path)
    assert done.code == 2
    assert len(done.err.strip().splitlines()) == 1


def test_one_command_serves_with_several_workers_and_hands_a_signal_on(tmp_path: Path) -> None:
    for name in ("whole", "stopped"):
        few = ("--trials", "8", "--fresh", "--mlflow", "none")
        launched = schedsearch("launch", *SMALL, *few, "--study", name, "--detach", cwd=tmp_path)
        assert launched.code == 0, launched.err
    assert schedsearch("worker", "whole", "--per-device", "2", "--log", "json", cwd=tmp_path).code == 0
    workers = workers_of(1, tmp_path)
    assert len(workers) == 2
    lines = [line for log in (tmp_path / "schedsearch-logs").iterdir() for line in log.read_text().splitlines()]
    assert {json.loads(line)["worker"] for line in lines} == workers
    command = [SCHEDSEARCH, "worker", "stopped", "--per-device", "2"]
    with subprocess.Popen(command, cwd=tmp_path, env=environment(), start_new_session=True) as fleet:
        deadline = time.monotonic() + 120
        while len(workers_of(2, tmp_path)) < 2 and time.monotonic() < deadline:
            time.sleep(0.02)
        both = len(workers_of(2, tmp_path)) == 2
        fleet.terminate()
        assert fleet.wait(timeout=30) == 0
    assert both
    left = json.loads(schedsearch("status", "stopped", "--json", cwd=tmp_path).out)
    assert (left["workers"], left["state"], left["failures"]) == ([], "running", {})


def test_devices_that_are_not_named(tmp_path: Path) -> None:
    done = schedsearch("worker", "--devices", ",", cwd=tmp_path)
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "`devices` must name at least one, such as `cpu` or `0,1`, but is ',' instead." in done.err
