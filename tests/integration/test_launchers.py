"""Studies whose workers an engine runs: submitit's local executor, and a Ray cluster of two nodes of which one dies."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from command_line import SCHEDSEARCH, SMALL, environment, schedsearch
from store_databases import fresh_database

from schedsearch.errors import InvalidInput
from schedsearch.workers.launchers import make_launcher
from schedsearch.workers.safety import Safety

pytestmark = pytest.mark.xdist_group("launchers")


def test_a_study_trained_by_an_array_of_jobs(tmp_path: Path) -> None:
    options = ("--launcher", "slurm", "--launcher-option", "cluster=local", "--workers", "2")
    done = schedsearch("launch", *SMALL, "--trials", "8", "--study", "jobs", "--mlflow", "none", *options, cwd=tmp_path)
    assert done.code == 0, done.err
    logs = list((tmp_path / "schedsearch-results" / "jobs" / "logs").iterdir())
    ended = [line for log in logs if log.name.endswith(".err") for line in log.read_text().splitlines()]
    lines = [json.loads(line) for line in ended if line.startswith("{")]
    finished = [line for line in lines if line.get("state") in ("completed", "diverged")]
    assert len({line["worker"] for line in finished}) == 2
    assert len({line["run"] for line in finished}) == len(finished)
    assert "schedsearch.db" not in "".join(log.read_bytes().decode("latin-1") for log in logs)  # the storage URL


def test_jobs_are_submitted_and_left_alone_with_detach(tmp_path: Path) -> None:
    options = ("--launcher", "slurm", "--launcher-option", "cluster=local", "--workers", "1", "--detach")
    few = (*SMALL, "--trials", "4", "--study", "left", "--mlflow", "none")
    written = schedsearch("launch", *few, *options, cwd=tmp_path)
    assert written.code == 0, written.err
    for _ in range(600):
        if json.loads(schedsearch("status", "left", "--json", cwd=tmp_path).out)["state"] == "finished":
            break
        time.sleep(0.1)
    assert schedsearch("report", "left", cwd=tmp_path).code == 0


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--launcher", "slurm", "--workers", "2"), "because Slurm's jobs run on other machines"),
        (("--launcher", "slurm"), "`workers` must be given with `launcher` = slurm"),
        (
            ("--launcher", "ray", "--workers", "2", "--launcher-option", "address=10.0.0.1:6379"),
            "because Ray's tasks run on other machines",
        ),
        (("--launcher-option", "address=x"), "`launcher_options` are for `launcher` = ray or slurm"),
        (("--launcher", "ray", "--workers", "2", "--detach"), "`detach` cannot go with `launcher` = ray"),
        (("--launcher-option", "nonsense"), "`launcher-option` must look like name=value"),
    ],
)
def test_what_no_engine_can_do(tmp_path: Path, options: tuple[str, ...], sentence: str) -> None:
    said = schedsearch("launch", *SMALL, "--trials", "4", "--mlflow", "none", *options, cwd=tmp_path)
    assert (said.code, len(said.err.splitlines())) == (2, 1)
    assert sentence in said.err
    assert not (tmp_path / "schedsearch.db").exists()


def test_an_option_that_submitit_does_not_know(tmp_path: Path) -> None:
    jobs = make_launcher("slurm", f"sqlite:///{tmp_path}/x.db", Safety(), {"cluster": "local", "bananas": 3})
    with pytest.raises(InvalidInput, match=r"`launcher_options`: .*bananas"):
        jobs.start("study", [], tmp_path)


CLUSTER = """
import sys, time
from ray.cluster_utils import Cluster

cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
nodes = [cluster.add_node(num_cpus=4, num_gpus=1) for _ in range(2)]
print(cluster.address, flush=True)
sys.stdin.readline()
cluster.remove_node(nodes[0], allow_graceful=False)
print("gone", flush=True)
sys.stdin.readline()
cluster.shutdown()
"""
@pytest.mark.timeout(600)
def test_a_study_outlives_a_node_of_its_ray_cluster(tmp_path: Path) -> None:
    """Four workers at half a GPU each on two nodes with one (logical) GPU; one node is killed in the middle."""
    quiet = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0", "OMP_NUM_THREADS": "1"}
    with (
        fresh_database("PostgreSQL", tmp_path) as url,
        subprocess.Popen(
            [sys.executable, "-c", CLUSTER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=quiet
        ) as cluster,
    ):
        assert cluster.stdin is not None
        assert cluster.stdout is not None
        try:
            address = cluster.stdout.readline().strip()
            assert re.fullmatch(r"[\d.]+:\d+", address)
            where = ("--launcher-option", f"address={address}", "--workers", "4", "--devices", "0", "--per-device", "2")
            short = (*SMALL, "--trials", "8", "--lease", "5")
            few = (*short, "--study", "outlives", "--mlflow", "none", "--launcher", "ray", *where)
            with subprocess.Popen(
                [SCHEDSEARCH, "launch", *few],
                cwd=tmp_path,
                env=environment(SCHEDSEARCH_STORAGE=url, OMP_NUM_THREADS="1"),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            ) as launch:
                workers = _wait_for(url, tmp_path, launch)
                assert len(workers) >= 2
                cluster.stdin.write("kill\n")
                cluster.stdin.flush()
                assert cluster.stdout.readline().strip() == "gone"
                said, _ = launch.communicate(timeout=400)
            assert launch.returncode == 0, said
            status = json.loads(schedsearch("status", "outlives", "--json", cwd=tmp_path, SCHEDSEARCH_STORAGE=url).out)
            assert status["state"] == "finished"
            assert sum(one["failed"] for one in status["phases"]) == 0
        finally:
            cluster.stdin.close()
            cluster.terminate()


def _wait_for(url: str, folder: Path, launch: subprocess.Popen[str]) -> list[str]:
    """The workers at work once there are several and some runs have ended."""
    for _ in range(300):
        said = schedsearch("status", "outlives", "--json", cwd=folder, SCHEDSEARCH_STORAGE=url)
        status = json.loads(said.out) if said.code == 0 else {"workers": [], "phases": []}
        if len(status["workers"]) >= 2 and sum(one["done"] for one in status["phases"]) >= 4:
            return [one["worker_id"] for one in status["workers"]]
        if launch.poll() is not None:
            raise AssertionError(launch.stdout and launch.stdout.read())
        time.sleep(0.2)
    raise AssertionError("the workers never came")
