"""The process that trains for a worker: whatever the user's code does to it costs one attempt at one run."""

import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from schedsearch.schedule import Constant, Schedule
from schedsearch.space import load_space
from schedsearch.store import Failure, NewRun, NewStudy, Phase, RunState, Store
from schedsearch.task import load_task
from schedsearch.training.wire import Order
from schedsearch.workers.loop import Worker, WorkerOptions
from schedsearch.workers.process import TrainingProcess
from schedsearch.workers.rows import NamedSchedule, new_candidate

SOURCE = """
import os, signal, subprocess, sys, time
from pathlib import Path
import torch
from torch import nn
from schedsearch.task import Splits, Task, option

def rows(count):
    drawn = torch.Generator().manual_seed(count)
    x = torch.randn(count, 3, generator=drawn)
    return x, x.sum(1, keepdim=True)

class Trouble(Task):
    total_updates = 40
    batch_size = 8
    optimizer = "sgd"
    what: str = option("nothing", "what it does in update 10")

    def model(self):
        self.updates = 0
        return nn.Linear(3, 1)

    def data(self):
        return Splits(rows(40), rows(20), rows(10))

    def loss(self, output, batch):
        if torch.is_grad_enabled():
            self.updates += 1
            if self.what == "slow updates":
                time.sleep(0.1)
                Path(__file__).with_name("begun").touch()
            if self.what == "crowded":
                self.be_crowded()
            if self.updates == 11:
                print("in trouble", flush=True)
                self.trouble()
        return nn.functional.mse_loss(output, batch[1])

    def be_crowded(self):
        time.sleep(0.03)
        mark = Path(__file__).with_name("was short of memory")
        if self.updates == 20 and not mark.exists():
            mark.touch()
            raise MemoryError("too many neighbours")

    def trouble(self):
        Path(__file__).with_name("begun").touch()
        if self.what == "raise":
            raise ValueError("no such thing")
        if self.what == "sys.exit":
            sys.exit(2)
        if self.what == "os._exit":
            os._exit(0)
        if self.what == "segfault":
            os.kill(os.getpid(), signal.SIGSEGV)
        if self.what == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.what == "memory":
            bytearray(10**15)
        if self.what == "torch memory":
            torch.empty(10**15)
        if self.what == "hang":
            self.child = subprocess.Popen(["sleep", "3600"])
            print("child", self.child.pid, flush=True)
            time.sleep(3600)
        if self.what == "deaf":
            for one in (signal.SIGTERM, signal.SIGINT):
                signal.signal(one, signal.SIG_IGN)
            time.sleep(3600)
        if self.what == "slow":
            time.sleep(30)
"""


@pytest.fixture(scope="module")
def reference(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("task") / "trouble.py"
    path.write_text(textwrap.dedent(SOURCE))
    return f"{path}:Trouble"


@pytest.fixture(scope="module")
def process():
    made = TrainingProcess(threads=1, stall_timeout_s=60.0)
    yield made
    made.kill()


def order(reference: str, what: str = "nothing", **other) -> Order:
    options = {"what": what}
    return Order(
        **{
            "task": reference,
            "task_options": options,
            "task_fingerprint": load_task(reference, options).fingerprint(),
            "schedule": Schedule(0.05, Constant()).to_dict(),
            "seed": 1,
            "total_updates": 40,
            "device": "cpu",
            "with_test": True,
            "attempt": 1,
            **other,
        }
    )


def trained(process, given, should_stop=lambda: False, is_hurried=lambda: False):
    rows = []
    (answer,) = process.train([given], lambda run, new: rows.extend(new), should_stop, is_hurried)
    return answer, rows


def test_runs_one_after_another_in_one_process(process, reference):
    first, rows = trained(process, order(reference))
    pid = process.pid
    again, rows_again = trained(process, order(reference))
    assert process.pid == pid
    assert (first.kind, first.values["updates_done"]) == ("completed", 40)
    assert first.values["test_score"] is not None
    assert first.values["peak_memory_bytes"] > 1e7
    assert first.values["score"] == again.values["score"]
    assert len(rows) == 20
    assert rows == rows_again


@pytest.mark.parametrize(
    ("what", "kind", "reason"),
    [
        ("raise", "error", r"^ValueError: no such thing \(trouble\.py:\d+\)\.$"),
        ("sys.exit", "exit", r"^The task ended its process with sys\.exit\(2\): argparse finds no arguments here"),
        ("os._exit", "exit", r"^The task ended its process with exit code 0\.$"),
        ("segfault", "crash", r"^The training process was ended by SIGSEGV\.$"),
        ("killed", "memory", r"^The training process was killed, most likely because memory ran out\.$"),
        ("memory", "memory", r"^MemoryError"),
        ("torch memory", "memory", r"DefaultCPUAllocator"),
    ],
)
def test_whatever_ends_it_is_an_answer_and_the_next_run_trains(process, reference, what, kind, reason):
    answer, rows = trained(process, order(reference, what))
    assert answer.kind == kind
    assert re.search(reason, answer.reason)
    assert "in trouble" in answer.log
    assert [one["update"] for one in rows] == [1, 3, 5, 7, 9]
    assert trained(process, order(reference))[0].kind == "completed"


def pid_of_child(answer) -> int:
    return int(next(line for line in answer.log.splitlines() if line.startswith("child ")).split()[1])


def is_gone(pid: int) -> bool:
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except FileNotFoundError:
            return True
        time.sleep(0.05)
    return False


def test_a_hang_is_ended_with_all_its_children(reference):
    process = TrainingProcess(threads=1, stall_timeout_s=60.0)
    trained(process, order(reference))
    process._stall_timeout_s = 2.0
    started = time.monotonic()
    answer, _ = trained(process, order(reference, "hang"))
    assert 1.5 < time.monotonic() - started < 10
    assert (answer.kind, answer.reason) == ("stall", "The task made no update for 2 s and was ended.")
    assert is_gone(pid_of_child(answer))
    assert process.pid is None


@pytest.mark.parametrize("what", ["deaf", "slow"])
def test_a_run_that_does_not_stop_is_ended_when_there_is_no_time(reference, what):
    process = TrainingProcess(threads=1, stall_timeout_s=60.0)
    since = []

    def is_hurried():
        since.append(time.monotonic())
        return since[-1] - since[0] > 1.0

    answer, _ = trained(process, order(reference, what), lambda: "in trouble" in process._lines, is_hurried)
    assert 1.0 < since[-1] - since[0] < 3.0
    assert answer.kind == "interrupted"
    assert process.pid is None


def test_a_stopped_run_goes_on_in_another_process(process, reference, tmp_path):
    given = order(reference, checkpoints=str(tmp_path), checkpoint_every_s=0.0)
    whole, rows = trained(process, given)
    seen = []
    (answer,) = process.train([given], lambda run, new: seen.extend(new), lambda: len(seen) > 3, lambda: False)
    assert answer.kind == "interrupted"
    process.kill()
    again, rows_again = trained(process, given)
    assert rows_again == rows
    assert again.values["score"] == whole.values["score"]


def test_a_task_that_changed_is_refused(process, reference):
    answer, rows = trained(process, order(reference, task_fingerprint="0" * 64))
    assert (answer.kind, rows) == ("refused", [])
    assert "is another one here than when the study began" in answer.reason


def test_a_task_that_is_not_on_this_machine_is_refused(process, reference):
    answer, _ = trained(process, order(reference, task=reference.replace("trouble.py", "elsewhere.py")))
    assert answer.kind == "refused"
    assert answer.reason.startswith("There is no file ")


def test_it_ends_with_its_worker_even_while_it_hangs(reference):
    """The worker is killed without a chance to say goodbye."""
    program = f"""
import sys
from schedsearch.workers.process import TrainingProcess
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_training_process import order
process = TrainingProcess(1, 60.0)
process.start()
print(process.pid, flush=True)
given = order({reference!r}, "hang")
process.train([given], lambda run, rows: print("training", flush=True), lambda: False, lambda: False)
"""
    paths = os.pathsep.join(one for one in sys.path if one)
    worker = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": paths}
    )
    pid = int(worker.stdout.readline())
    assert worker.stdout.readline() == "training\n"
    worker.kill()
    worker.wait()
    worker.stdout.close()
    assert is_gone(pid)


# ---- through a worker and the store


@pytest.fixture
def store(tmp_path):
    with Store.open(f"sqlite:///{tmp_path}/store.db") as opened:
        yield opened


def study_of(store, reference, what, seeds=(1,)):
    """A study of one run a seed that does `what`; runs are trained one by one."""
    options = {"what": what}
    task, space = load_task(reference, options), load_space("quick").with_base_lr(0.001, 0.1)
    study = store.create_study(
        NewStudy(
            name="trouble", task=reference, task_options=options, task_fingerprint=task.fingerprint(), metric="loss",
            direction="minimize", space_name=space.name, space_version=space.version, space=space.to_dict(),
            strategy="curve", seed=0, total_updates=40, updates_per_epoch=5, budget={"arrays": False}, plan={},
            code_version="0", optuna_study="trouble",
        )
    )  # fmt: skip
    candidate = store.add_candidate(study.id, new_candidate(NamedSchedule("search", None, Schedule(0.05, Constant()))))
    store.add_runs(study.id, [NewRun(candidate, Phase.SEARCH, 0, seed, 40) for seed in seeds])
    return study


def only_run(store, study):
    return store.runs(study.id)[0]


def serve_until_done(store, study, workers=1):
    """Workers in this process that stop once every run has ended. They never plan."""
    serving = [Worker(store, WorkerOptions(study.name, threads=1, plans_after_s=600.0)) for _ in range(workers)]
    threads = [threading.Thread(target=one.run) for one in serving]
    for one in threads:
        one.start()
    try:
        wait_for(lambda: all(run.state.is_finished for run in store.runs(study.id)))
    finally:
        for one in serving:
            one._stopping.set()
        for one in threads:
            one.join()


def begun(reference):
    """The file that the task makes once it trains."""
    return Path(reference.rpartition(":")[0]).with_name("begun")


def wait_for(condition, seconds=60.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("what", "failure", "attempts"),
    [
        ("raise", Failure.ERROR, 1),
        ("os._exit", Failure.EXIT, 1),
        ("killed", Failure.MEMORY, 2),
        ("segfault", Failure.CRASH, 3),
    ],
)
def test_attempts_are_bounded_and_the_reason_is_kept(store, reference, what, failure, attempts):
    study = study_of(store, reference, what)
    serve_until_done(store, study)
    run = only_run(store, study)
    assert (run.state, run.failure, run.attempt) == (RunState.FAILED, failure, attempts)
    assert "in trouble" in run.log_tail
    assert run.reason


@pytest.fixture
def command(store, tmp_path):
    """Starts `schedsearch worker` on the study; its checkpoints are in a folder of this name."""
    started = []

    def start(study):
        begun(study.task).unlink(missing_ok=True)
        line = ["worker", study.name, "--storage", store.url, "--checkpoints", str(tmp_path / "checkpoints")]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        started.append(subprocess.Popen([sys.executable, "-m", "schedsearch", *line], env=environment))
        return started[-1]

    yield start
    for one in started:
        one.kill()
        one.wait()


def test_a_signal_writes_a_checkpoint_and_gives_the_run_back(store, reference, command, tmp_path):
    study = study_of(store, reference, "slow updates")
    worker = command(study)
    wait_for(begun(reference).exists)
    worker.send_signal(signal.SIGTERM)
    started = time.monotonic()
    assert worker.wait(20) == 0
    assert time.monotonic() - started < 5
    run = only_run(store, study)
    assert (run.state, run.worker_id, run.failure) == (RunState.WAITING, None, None)
    kept = list((tmp_path / "checkpoints").iterdir())
    assert len(kept) == 1
    assert int(kept[0].name.split("-")[1]) >= 1
    command(study)
    wait_for(lambda: only_run(store, study).state.is_finished)
    assert (only_run(store, study).state, only_run(store, study).attempt) == (RunState.COMPLETED, 2)
    assert [one.update for one in store.measurements(run.id)] == list(range(1, 40, 2))
    assert list((tmp_path / "checkpoints").iterdir()) == []


def test_a_second_signal_does_not_wait(store, reference, command):
    study = study_of(store, reference, "deaf")
    worker = command(study)
    wait_for(begun(reference).exists)
    worker.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    assert worker.poll() is None
    worker.send_signal(signal.SIGTERM)
    started = time.monotonic()
    assert worker.wait(20) == 0
    assert time.monotonic() - started < 2
    assert only_run(store, study).state is RunState.WAITING


def test_a_worker_with_another_version_of_the_task_is_refused(store, reference, tmp_path):
    study = study_of(store, reference, "nothing")
    path = Path(reference.rpartition(":")[0])
    source = path.read_text()
    try:
        path.write_text(source.replace("nn.Linear(3, 1)", "nn.Linear(3, 1, bias=False)"))
        done = subprocess.run(
            [sys.executable, "-m", "schedsearch", "worker", study.name, "--storage", store.url],
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
    finally:
        path.write_text(source)
    assert done.returncode == 2
    assert "is another one here than when the study began" in done.stderr.splitlines()[-1]
    assert only_run(store, study).state is RunState.WAITING


def test_a_run_that_found_no_memory_is_tried_again_alone(store, reference):
    """Nobody else trains on the device while the run that was short of memory is trained again."""
    study = study_of(store, reference, "crowded", range(9))
    serve_until_done(store, study, workers=3)
    runs = store.runs(study.id)
    assert [run.state for run in runs] == 9 * [RunState.COMPLETED]
    assert sorted(run.attempt for run in runs) == [*(8 * [1]), 2]
    (retried,) = [run for run in runs if run.attempt == 2]
    others = [run for run in runs if run.attempt == 1]
    assert not any(overlap_s(retried, other) > 0.1 for other in others)
    assert max(overlap_s(one, other) for one in others for other in others if one is not other) > 0.5
    assert any(other.finished_at > retried.finished_at for other in others)


def overlap_s(one, other):
    """Seconds in which both were trained."""
    begin = max(run.finished_at - run.duration_s for run in (one, other))
    return min(one.finished_at, other.finished_at) - begin
