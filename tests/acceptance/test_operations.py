"""What an operator asks: status, metrics and doctor, of a study that is running, broken and finished."""

import json
import os
import re
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest
from command_line import ONE_WORKER, SCHEDSEARCH, SMALL, environment, schedsearch

TASK = """
import os, time
import torch
from schedsearch.task import Splits, Task

class Brittle(Task):
    total_updates = 20
    batch_size = 4

    def data(self):
        part = torch.ones(8, 2), torch.ones(8, 1)
        return Splits(part, part, part)

    def model(self):
        return torch.nn.Linear(2, 1)

    def loss(self, output, batch):
        time.sleep(0.05)
        mark = os.environ.get("BRITTLE_MARK")
        if mark and not os.path.exists(mark):
            open(mark, "w").close()
            os.kill(os.getpid(), 11)
        return torch.nn.functional.mse_loss(output, batch[1])
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("operations")
    few = (*SMALL, *ONE_WORKER, "--trials", "4")
    done = schedsearch("launch", *few, "--study", "calm", "--mlflow", "none", cwd=folder)
    assert done.code == 0, done.err
    return folder


def samples(text: str) -> dict[str, float]:
    """The metrics by name and labels."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


def test_metrics_of_a_finished_study(finished: Path) -> None:
    said = schedsearch("metrics", cwd=finished)
    assert said.code == 0, said.err
    found = samples(said.out)
    assert found['schedsearch_study_state{state="finished",study="calm"}'] == 1
    assert found['schedsearch_study_state{state="running",study="calm"}'] == 0
    assert found['schedsearch_active_workers{study="calm"}'] == 0
    status = json.loads(schedsearch("status", "calm", "--json", cwd=finished).out)
    runs = {key: value for key, value in found.items() if key.startswith("schedsearch_runs{")}
    assert sum(runs.values()) == sum(one["done"] for one in status["phases"])
    assert found['schedsearch_best_score{study="calm"}'] == pytest.approx(status["best_score"])
    assert status["trained_s"] == pytest.approx(found['schedsearch_trained_seconds{study="calm"}'])
    assert (status["failures"], status["retried"], status["reason"]) == ({}, 0, None)
    assert status["runs_per_hour"] > 0


def test_metrics_are_served_to_prometheus(finished: Path) -> None:
    with subprocess.Popen(
        [SCHEDSEARCH, "metrics", "--listen", "127.0.0.1:19464"], cwd=finished, env=environment()
    ) as server:
        try:
            for _ in range(100):
                try:
                    text = urllib.request.urlopen("http://127.0.0.1:19464/metrics", timeout=2).read().decode()
                    break
                except OSError:
                    time.sleep(0.1)
            assert samples(text)['schedsearch_study_state{state="finished",study="calm"}'] == 1
        finally:
            server.terminate()


@pytest.mark.parametrize("listen", ["9464", "127.0.0.1:", "127.0.0.1:70000", "here:x"])
def test_an_address_that_cannot_be_listened_at(finished: Path, listen: str) -> None:
    said = schedsearch("metrics", "--listen", listen, cwd=finished)
    assert said.code == 2
    assert "`listen` must be HOST:PORT" in said.err


def test_status_names_attempts_without_a_result(tmp_path: Path) -> None:
    (tmp_path / "brittle.py").write_text(TASK)
    few = ("--trials", "4", "--noise-seeds", "2", "--confirm-seeds", "2", "--space", "quick")
    name = ("--study", "brittle", "--mlflow", "none", "--detach", "--no-arrays")
    launched = schedsearch("launch", "--task", "brittle.py:Brittle", *few, *name, cwd=tmp_path)
    assert launched.code == 0, launched.err
    with subprocess.Popen(
        [SCHEDSEARCH, "worker", "brittle"],
        cwd=tmp_path,
        env=environment(BRITTLE_MARK=str(tmp_path / "mark")),
        start_new_session=True,
    ) as worker:
        try:
            for _ in range(300):
                said = json.loads(schedsearch("status", "brittle", "--json", cwd=tmp_path).out)
                if said["retried"] and said["workers"]:
                    break
                time.sleep(0.1)
            assert said["failures"] == {"crash": 1}
            (active,) = said["workers"]
            assert active["lease_left_s"] > 0
            assert 0 <= active["seconds"] < 60
            assert active["updates_done"] <= active["total_updates"] == 20
            shown = schedsearch("status", "brittle", cwd=tmp_path).out
            assert "attempts without a result: 1 crash" in shown
            assert re.search(r"run \d+ +\d+/20 +\d+ s", shown)
        finally:
            os.killpg(worker.pid, 15)


def test_the_doctor_finds_a_healthy_study_folder(finished: Path) -> None:
    said = schedsearch("doctor", "--mlflow", "none", "--json", cwd=finished)
    assert said.code == 0, said.out
    found = {one["subject"]: one for one in json.loads(said.out)}
    assert found["schema"]["detail"].startswith("version 0007")
    assert "s from this machine's" in found["clock"]["detail"]
    folder = finished / "schedsearch-checkpoints"
    assert found["checkpoints"]["detail"] == f"{folder} can be written, by this user on this machine"
    assert found["device"]["detail"].startswith(("cpu, ", "cuda:0, "))
    assert "GB free here" in found["disk"]["detail"]
    assert list(folder.glob("doctor-*")) == []


def test_the_doctor_names_checkpoints_that_cannot_be_written(finished: Path) -> None:
    (finished / "file").write_text("")
    said = schedsearch("doctor", "--mlflow", "none", "--checkpoints", "file/inside", "--json", cwd=finished)
    assert said.code == 1
    (broken,) = [one for one in json.loads(said.out) if not one["healthy"]]
    assert broken["subject"] == "checkpoints"
    assert "cannot be used" in broken["detail"]


def test_a_workers_log_for_machines_names_study_run_and_worker(tmp_path: Path) -> None:
    launched = schedsearch(
        "launch", *SMALL, "--trials", "4", "--study", "logged", "--detach", "--mlflow", "none", cwd=tmp_path
    )
    assert launched.code == 0, launched.err
    said = schedsearch("worker", "logged", "--log", "json", cwd=tmp_path)
    assert said.code == 0, said.err
    lines = [json.loads(line) for line in said.err.splitlines()]
    ended = [line for line in lines if line.get("state") in ("completed", "diverged")]
    status = json.loads(schedsearch("status", "logged", "--json", cwd=tmp_path).out)
    assert len(ended) == sum(one["done"] for one in status["phases"])
    assert {line["study"] for line in ended} == {"logged"}
    assert len({line["run"] for line in ended}) == len(ended)
    assert len({line["worker"] for line in ended}) == 1
    assert all(re.fullmatch(r"run \d+: (completed|diverged) after [\d.]+ s.*", line["message"]) for line in ended)
    assert all(line["time"].endswith("+00:00") and line["level"] == "info" for line in ended)
