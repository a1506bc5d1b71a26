"""Ctrl-C, SIGTERM and worse: what was trained is kept, nothing stays behind, and the study goes on."""

import json
import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psutil
import pytest
from command_line import ONE_WORKER, SCHEDSEARCH, SMALL, environment, schedsearch

NAME = "stopped"
STUDY = (*SMALL, "--trials", "4", "--study", NAME, "--mlflow", "none", "--workers", "2", "--lease", "5")


def runs(folder: Path, state: str) -> int:
    with closing(sqlite3.connect(folder / "schedsearch.db", timeout=30)) as connection:
        (found,) = connection.execute("select count(*) from schedsearch_run where state = ?", [state]).fetchone()
    return int(found)


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def begun(folder: Path) -> bool:
    try:
        return runs(folder, "completed") >= 3
    except sqlite3.OperationalError:
        return False


def launched(folder: Path) -> subprocess.Popen[str]:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # tests in the background: children would inherit it
        signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(
        [SCHEDSEARCH, "launch", *STUDY],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    wait_until(lambda: begun(folder) or process.poll() is not None)
    assert process.poll() is None, process.communicate()
    return process


def workers(folder: Path) -> list[psutil.Process]:
    """The workers of the study in this folder, its planner last."""
    found = []
    for process in psutil.process_iter(["cmdline", "cwd"]):
        if "schedsearch.workers" in (process.info["cmdline"] or []) and process.info["cwd"] == str(folder):
            found.append(process)
    return sorted(found, key=lambda one: "--plan" in one.info["cmdline"])


def stopped(folder: Path, what: signal.Signals) -> int:
    """Stop a study under way by this signal; how many runs are trained then."""
    process = launched(folder)
    process.send_signal(what)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert f"schedsearch launch --resume {NAME}" in err
    assert workers(folder) == []
    assert runs(folder, "running") == 0
    trained = runs(folder, "completed")
    assert trained >= 3
    return trained


def taken_up(folder: Path) -> None:
    done = schedsearch("launch", "--resume", NAME, *ONE_WORKER, "--mlflow", "none", "--json", cwd=folder)
    assert done.code == 0, done.err
    assert json.loads(done.out)["state"] == "finished"


def test_a_stopped_study_goes_on_where_it_was(tmp_path: Path) -> None:
    trained = stopped(tmp_path, signal.SIGINT)
    taken_up(tmp_path)
    assert runs(tmp_path, "completed") > trained
    assert runs(tmp_path, "waiting") == runs(tmp_path, "running") == 0


def test_a_study_that_was_given_up_goes_on(tmp_path: Path) -> None:
    """Stopped by SIGTERM, then as after a full disk: its failed runs are tried again."""
    stopped(tmp_path, signal.SIGTERM)
    with closing(sqlite3.connect(tmp_path / "schedsearch.db")) as connection:
        failed = "update schedsearch_run set state = 'failed', reason = 'OSError: no space left on device'"
        assert connection.execute(f"{failed} where state in ('waiting', 'completed')").rowcount >= 3
        connection.execute("update schedsearch_study set state = 'failed', reason = '3 runs failed in the same way'")
        connection.commit()
    taken_up(tmp_path)
    assert runs(tmp_path, "failed") == 0


@pytest.mark.parametrize("victim", [0, -1], ids=["a worker", "the planner"])
def test_a_process_that_is_killed_is_replaced(tmp_path: Path, victim: int) -> None:
    process = launched(tmp_path)
    processes = workers(tmp_path)
    assert len(processes) == 3
    os.kill(processes[victim].pid, signal.SIGKILL)
    out, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    assert "Use " in out
    assert runs(tmp_path, "failed") == 0
    with closing(sqlite3.connect(tmp_path / "schedsearch.db")) as connection:
        twice = connection.execute(
            "select run_id, update_number, count(*) from schedsearch_measurement group by 1, 2 having count(*) > 1"
        ).fetchall()
    assert twice == []
