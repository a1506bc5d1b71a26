"""A study written here and trained by workers elsewhere, stopped and taken up again."""

import sqlite3
from contextlib import closing
from pathlib import Path

from command_line import SMALL, schedsearch

NAME = "detached"


def state(folder: Path) -> str:
    with closing(sqlite3.connect(folder / "schedsearch.db")) as connection:
        return str(connection.execute("select state from schedsearch_study").fetchone()[0])


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
    done = schedsearch("worker", "--stall-timeout", "0", "--checkpoint-every", "-1", cwd=tmp_path)
    assert done.code == 2
    assert done.err.splitlines() == [
        "Error: `stall_timeout` must be above 0, but is 0 instead.",
        "`checkpoint_every` must be above 0, but is -1 instead.",
    ]


def test_detach_and_resume_exclude_each_other(tmp_path: Path) -> None:
    done = schedsearch("launch", "--detach", "--resume", NAME, cwd=tmp_path)
    assert done.code == 2
    assert len(done.err.strip().splitlines()) == 1
