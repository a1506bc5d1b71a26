"""A terminal that nobody reads, results that cannot be written, Ctrl-C that the task swallows, an open umask."""

import json
import signal
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path

import psutil
import pytest
from command_line import SCHEDSEARCH, environment, schedsearch

NAME = "piped"
FEW = ("--trials", "4", "--noise-seeds", "2", "--confirm-seeds", "2", "--space", "quick")
TASKS = '''
import os, signal, subprocess, time
from pathlib import Path
import torch
from schedsearch.task import Splits, Task

class Tiny(Task):
    total_updates = 40
    batch_size = 4

    def data(self):
        part = torch.ones(8, 2), torch.ones(8, 1)
        return Splits(part, part, part)

    def model(self):
        self.updates = 0
        return torch.nn.Linear(2, 1)

    def loss(self, output, batch):
        return torch.nn.functional.mse_loss(output, batch[1])

class Deaf(Tiny):
    """Swallows Ctrl-C and SIGTERM, as some example scripts do, and has a child that does so too."""

    def loss(self, output, batch):
        self.updates += torch.is_grad_enabled()
        if self.updates == 5:
            for one in (signal.SIGINT, signal.SIGTERM):
                signal.signal(one, signal.SIG_IGN)
            self.child = subprocess.Popen(["sh", "-c", "trap '' INT TERM; while :; do sleep 1; done"])
            Path(__file__).with_name(f"begun-{os.getpid()}").touch()
            while True:
                try:
                    time.sleep(3600)
                except KeyboardInterrupt:
                    pass
        return super().loss(output, batch)
'''


@pytest.fixture(scope="module")
def piped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a study whose output went to `head -1`, launched where every new file is everybody's."""
    folder = tmp_path_factory.mktemp("piped")
    (folder / "tasks.py").write_text(TASKS)
    launch = f'"{SCHEDSEARCH}" launch --task tasks.py:Tiny {" ".join(FEW)} --workers 1 --study {NAME}'
    line = f"umask 000; {launch} 2>&1 | head -n 1"
    said = subprocess.run(
        ["bash", "-c", line], cwd=folder, env=environment(), capture_output=True, text=True, check=True, timeout=240
    )
    assert len(said.stdout.splitlines()) == 1
    return folder


def test_a_study_ends_though_nobody_reads_what_it_says(piped: Path) -> None:
    assert json.loads(schedsearch("status", NAME, "--json", cwd=piped).out)["state"] == "finished"
    assert (piped / "schedsearch-results" / NAME / "report.html").exists()


def test_what_a_study_leaves_is_its_owners_alone(piped: Path) -> None:
    inside = [one for one in piped.iterdir() if one.name not in ("__pycache__", "tasks.py")]
    assert {"schedsearch.db", "mlflow.db", "schedsearch-results"} <= {one.name for one in inside}
    opened = {one.name: oct(one.stat().st_mode & 0o777) for one in inside if one.stat().st_mode & 0o077}
    assert opened == {}  # what lies deeper is behind a folder of one's own
    assert all(one.stat().st_mode & 0o077 == 0 for one in (piped / "schedsearch-results").rglob("*") if one.is_dir())


def test_results_that_cannot_be_written_are_one_sentence(piped: Path) -> None:
    (piped / "file").write_text("in the way")
    with closing(sqlite3.connect(piped / "schedsearch.db")) as store:
        before = list(store.iterdump())
    for verb in (("report", NAME), ("export", NAME, "--to", "json")):
        said = schedsearch(*verb, "--output", "file/inside", cwd=piped)
        assert (said.code, said.out) == (1, "")
        assert said.err.splitlines() == ["Error: file/inside cannot be written: Not a directory."]
    with closing(sqlite3.connect(piped / "schedsearch.db")) as store:
        assert list(store.iterdump()) == before


def processes_of(folder: Path) -> list[psutil.Process]:
    """Those that run in this folder, but for ours and dead ones."""
    found = []
    for one in psutil.process_iter(["cwd", "status"]):
        if one.info["cwd"] == str(folder) and one.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(one)
    return found


def test_two_ctrl_c_end_what_swallows_them(tmp_path: Path) -> None:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # tests in the background: children would inherit it
        signal.signal(signal.SIGINT, signal.default_int_handler)
    (tmp_path / "tasks.py").write_text(TASKS)
    line = [SCHEDSEARCH, "launch", "--task", "tasks.py:Deaf", *FEW, "--mlflow", "none", "--study", "deaf"]
    process = subprocess.Popen(
        [*line, "--workers", "2"],
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 120
    while len(list(tmp_path.glob("begun-*"))) < 2:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert len(processes_of(tmp_path)) >= 7  # launch, planner, two workers, what trains for them, their children
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    started = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert time.monotonic() - started < 5
    assert process.returncode == 130
    assert "Traceback" not in err
    assert processes_of(tmp_path) == []
    status = json.loads(schedsearch("status", "deaf", "--json", cwd=tmp_path).out)
    assert (status["state"], status["workers"]) == ("stopped", [])
