"""One study, many workers, and everything that can go wrong on one machine: what is done to them, and what must hold.

A driver with a seeded generator kills and stops workers, damages checkpoints, restarts the database and cuts the line
to MLflow, while the study goes on; `faults_of` then looks for anything lost, doubled or left behind.
"""

import json
import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from command_line import SCHEDSEARCH, environment
from mlflow import MlflowClient
from proxy import Proxy
from servers import PostgresServer
from store_databases import query

from schedsearch.schedule import Schedule
from schedsearch.store import RunState, Store
from schedsearch.workers.safety import LEASE_S

UPDATES = 40
TASK = f'''
import os, time
from pathlib import Path
import torch
from torch import nn
from schedsearch.task import Splits, Task

LOG = os.open(Path(__file__).with_name("executed"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

def rows(count):
    drawn = torch.Generator().manual_seed(count)
    x = torch.randn(count, 4, generator=drawn)
    return x, x.sum(1, keepdim=True) + torch.randn(count, 1, generator=drawn)

class Patient(Task):
    """A small regression whose updates take their time and are counted outside the database."""
    total_updates = {UPDATES}
    batch_size = 8
    optimizer = "momentum"

    def model(self):
        return nn.Linear(4, 1)

    def data(self):
        return Splits(rows(64), rows(32), rows(16))

    def loss(self, output, batch):
        if torch.is_grad_enabled():
            os.write(LOG, b"u")
            time.sleep(0.01)
        return nn.functional.mse_loss(output, batch[1])
'''


@dataclass
class Troubles:
    """How often each of them was made."""

    kills: int = 0
    terminations: int = 0
    freezes: int = 0
    database_restarts: int = 0
    damaged_checkpoints: int = 0
    mlflow_outage_s: float = 0.0


class Fleet:
    """A study under way: `workers` processes of `schedsearch worker`, started again when they end, and a mirror."""

    def __init__(self, folder: Path, storage: str, mlflow: str, workers: int, lease_s: float) -> None:
        self.folder, self.storage, self.mlflow, self.lease_s = folder, storage, mlflow, lease_s
        self._workers: list[subprocess.Popen[bytes] | None] = [None] * workers
        self._mirror: subprocess.Popen[bytes] | None = None
        self.name = "chaos"

    def launch(self, *options: str) -> None:
        """Write the study; nothing is trained yet."""
        path = self.folder / "patient.py"
        path.write_text(TASK)
        given = ["--task", f"{path}:Patient", "--space", "quick", "--study", self.name, "--detach", *options]
        subprocess.run(
            [SCHEDSEARCH, "launch", *given, "--storage", self.storage, "--mlflow", "none"],
            cwd=self.folder, env=environment(), check=True, capture_output=True,
        )  # fmt: skip

    def tend(self, finished: Callable[[], bool], deadline_s: float) -> float:
        """Keep everybody at work until it is finished; seconds that it took. Raises TimeoutError."""
        started = time.monotonic()
        while not finished():
            if time.monotonic() - started > deadline_s:
                raise TimeoutError(f"not finished after {deadline_s:g} s:\n{self.log_tail()}")
            for index, process in enumerate(self._workers):
                if process is None or process.poll() is not None:
                    times = ("--checkpoint-every", "0.05", "--lease", str(self.lease_s))
                    self._workers[index] = self._start("worker", f"worker-{index}.log", *times)
            if self._mirror is None or self._mirror.poll() is not None:
                self._mirror = self._start("sync", "mirror.log", "--follow", "--mlflow", self.mlflow)
            time.sleep(0.1)
        return time.monotonic() - started

    def _start(self, verb: str, log: str, *options: str) -> subprocess.Popen[bytes]:
        command = [SCHEDSEARCH, verb, self.name, *options]
        more = {"SCHEDSEARCH_STORAGE": self.storage, "OMP_NUM_THREADS": "1", "SCHEDSEARCH_LOCKS": str(self.folder)}
        with (self.folder / log).open("ab") as file:
            return subprocess.Popen(
                command, cwd=self.folder, env=environment(**more), stdout=file, stderr=file, start_new_session=True
            )

    def pids(self) -> list[int]:
        """The workers that live now."""
        return [one.pid for one in self._workers if one is not None and one.poll() is None]

    def log_tail(self) -> str:
        return "\n".join(log.read_text()[-600:] for log in sorted(self.folder.glob("*.log")))

    def end(self) -> None:
        for one in [*self._workers, self._mirror]:
            if one is not None:
                with suppress(ProcessLookupError):
                    os.killpg(one.pid, signal.SIGKILL)
                one.wait()

    def executed(self) -> int:
        """Updates that were made by anybody, by the task's own count."""
        return len((self.folder / "executed").read_bytes())


@dataclass
class Chaos:
    """Makes trouble from a thread of its own until `stop`. every_s: between two troubles, in the mean; every
    `restart_every`-th of them is a restart of the database, until there were `restarts`."""

    fleet: Fleet
    database: PostgresServer
    mlflow: Proxy
    seed: int
    every_s: float = 3.0
    restarts: int = 2
    restart_every: int = 4
    freeze_s: float = LEASE_S + 5
    done: Troubles = field(default_factory=Troubles)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)  # noqa: S311 - guards nothing
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._frozen: list[tuple[float, int]] = []
        self._line_cut_at: float | None = None

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """No more trouble; whoever sleeps is woken, and every line is mended."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        self._freeze()
        beat = 0
        while not self._stopping.wait(self.every_s * self._random.uniform(0.5, 1.5)):
            beat += 1
            self._wake(time.monotonic() - self.freeze_s)
            (self._mend_line if self._line_cut_at is not None else self._cut_line)()
            if beat % self.restart_every == 0 and self.done.database_restarts < self.restarts:
                self._restart_database()
            else:
                self._random.choice([self._kill, self._kill, self._terminate, self._damage_checkpoint])()
        self._wake(time.monotonic())
        if self._line_cut_at is not None:
            self._mend_line()

    def _victim(self) -> int | None:
        frozen = [pid for _, pid in self._frozen]
        awake = [pid for pid in self.fleet.pids() if pid not in frozen]
        return self._random.choice(awake) if awake else None

    def _send(self, what: signal.Signals) -> bool:
        victim = self._victim()
        if victim is not None:
            with suppress(ProcessLookupError):
                os.kill(victim, what)
        return victim is not None

    def _kill(self) -> None:
        self.done.kills += self._send(signal.SIGKILL)

    def _terminate(self) -> None:
        self.done.terminations += self._send(signal.SIGTERM)

    def _freeze(self) -> None:
        """A worker and what trains for it stop as a suspended machine does, in the middle of a run."""
        while not self._stopping.wait(0.1):
            training = query(self.database.url, "select worker_id from schedsearch_run where state = 'running'")
            pids = [int(one["worker_id"].split("-")[-2]) for one in training]
            if pids:
                for pid in (pids[0], *children(pids[0])):
                    os.kill(pid, signal.SIGSTOP)
                self._frozen.append((time.monotonic(), pids[0]))
                self.done.freezes += 1
                return

    def _wake(self, before: float) -> None:
        for at, pid in list(self._frozen):
            if at <= before:
                self._frozen.remove((at, pid))
                for one in (*children(pid), pid):
                    with suppress(ProcessLookupError):
                        os.kill(one, signal.SIGCONT)

    def _restart_database(self) -> None:
        self.database.stop()
        time.sleep(self._random.uniform(0.0, 5.0))
        self.database.start()
        self.done.database_restarts += 1

    def _cut_line(self) -> None:
        self.mlflow.cut()
        self._line_cut_at = time.monotonic()

    def _mend_line(self) -> None:
        assert self._line_cut_at is not None
        self.mlflow.mend()
        self.done.mlflow_outage_s += time.monotonic() - self._line_cut_at
        self._line_cut_at = None

    def _damage_checkpoint(self) -> None:
        """Half of the newest one is lost."""
        found = sorted(self.fleet.folder.glob("schedsearch-checkpoints/*.ckpt"), key=lambda one: one.stat().st_mtime)
        with suppress(IndexError, FileNotFoundError):
            os.truncate(found[-1], found[-1].stat().st_size // 2)
            self.done.damaged_checkpoints += 1


def children(pid: int) -> list[int]:
    """The direct children of a process."""
    with suppress(FileNotFoundError):
        return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def faults_of(fleet: Fleet, mlflow_uri: str) -> list[str]:
    """What is wrong with a study that has ended and was synced, one sentence each; none is what it should be."""
    found: list[str] = []

    def must(holds: bool, sentence: str) -> None:
        found.extend([] if holds else [sentence])

    with Store.open(fleet.storage) as store:
        study = store.study(fleet.name)
        runs, candidates = store.runs(study.id), store.candidates(study.id)
        verdict = store.verdict(study.id)
    must(study.state.value == "finished" and verdict is not None, f"the study is {study.state.value}: {study.reason}")
    states = {run.state for run in runs}
    must(states <= {RunState.COMPLETED, RunState.DIVERGED}, f"runs ended as {sorted(one.value for one in states)}")
    keys = {(run.candidate_id, run.phase, run.seed, run.total_updates) for run in runs}
    must(len(keys) == len(runs), "a run is there twice")
    must(len({one.schedule.key() for one in candidates}) == len(candidates), "a candidate is there twice")
    must(all(Schedule.from_dict(one.schedule.to_dict()) == one.schedule for one in candidates), "a schedule is lost")
    must(all(run.updates_done == UPDATES for run in runs if run.state is RunState.COMPLETED), "updates are missing")
    stale = "select count(*) as n from schedsearch_measurement m join schedsearch_run r on r.id = m.run_id"
    must(query(fleet.storage, f"{stale} where m.attempt <> r.attempt")[0]["n"] == 0, "a lost attempt's measurements")
    twice = "select run_id from schedsearch_measurement group by run_id, update_number having count(*) > 1"
    must(query(fleet.storage, twice) == [], "a measurement is there twice")
    must(fleet.executed() >= sum(run.updates_done or 0 for run in runs), "updates were reported that nobody made")
    return found + mirror_faults(fleet, mlflow_uri, len(runs))


def mirror_faults(fleet: Fleet, mlflow_uri: str, runs: int) -> list[str]:
    """What MLflow lacks, or has twice."""
    with Store.open(fleet.storage) as store:
        study = store.study(fleet.name)
    client = MlflowClient(mlflow_uri)
    children = [
        run
        for run in client.search_runs([str(study.mlflow_experiment_id)], max_results=10_000)
        if run.data.tags.get("mlflow.parentRunId") == study.mlflow_run_id
    ]
    found = [] if len(children) == runs else [f"MLflow has {len(children)} of {runs} runs"]
    found += [f"a run in MLflow is {run.info.status}" for run in children if run.info.status == "RUNNING"]
    history = [client.get_metric_history(run.info.run_id, "val_loss") for run in children]
    return found + ["a point is in MLflow twice" for one in history if len({p.step for p in one}) != len(one)]


def planned_runs(fleet: Fleet) -> tuple[int, int]:
    """Runs that the plan asked for, and runs that ended."""
    said = subprocess.run(
        [SCHEDSEARCH, "status", fleet.name, "--json", "--storage", fleet.storage],
        env=environment(), cwd=fleet.folder, capture_output=True, text=True, check=True,
    )  # fmt: skip
    phases = json.loads(said.stdout)["phases"]
    return sum(one["planned"] for one in phases), sum(one["done"] for one in phases)


def whole_study(
    folder: Path,
    *,
    workers: int,
    trials: int,
    seed: int | None,
    every_s: float,
    deadline_s: float,
    mlflow_uri: str,
    lease_s: float = LEASE_S,
    restart_every: int = 4,
) -> tuple[float, int, Troubles, list[str]]:
    """One study on a PostgreSQL cluster of its own; without a seed it is left in peace.

    Returns seconds, runs, the troubles that were made, and what is wrong afterwards.
    """
    host, _, port = mlflow_uri.removeprefix("http://").partition(":")
    line = Proxy(host, int(port))
    with PostgresServer() as database:
        study = Fleet(folder, database.url, f"http://127.0.0.1:{line.port}", workers, lease_s)
        chaos = None
        if seed is not None:
            freeze_s = lease_s + 5
            chaos = Chaos(study, database, line, seed, every_s, restart_every=restart_every, freeze_s=freeze_s)
        try:
            study.launch("--trials", str(trials), "--confirm-seeds", "3")
            if chaos is not None:
                chaos.start()
            seconds = study.tend(lambda: _has_ended(database.url), deadline_s)
        finally:
            if chaos is not None:
                chaos.stop()
            study.end()
            line.mend()
        subprocess.run(
            [SCHEDSEARCH, "sync", study.name, "--storage", database.url, "--mlflow", mlflow_uri],
            cwd=folder, env=environment(), check=True, capture_output=True,
        )  # fmt: skip
        faults = faults_of(study, mlflow_uri)
        runs = query(database.url, "select count(*) as n from schedsearch_run")[0]["n"]
    line.close()
    return seconds, runs, Troubles() if chaos is None else chaos.done, faults


def _has_ended(url: str) -> bool:
    """False also while the database is away."""
    from sqlalchemy.exc import OperationalError

    try:
        return bool(query(url, "select state from schedsearch_study")[0]["state"] != "running")
    except OperationalError:
        return False
