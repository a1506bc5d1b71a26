"""What faults do to Optuna used plainly (`study.optimize` and heartbeats on a shared database), and to a study here.

    python benchmarks/faults.py                      # every fault once, both side by side: minutes
    python benchmarks/faults.py whole --seed 1 2 3   # whole studies of 8 workers on PostgreSQL, calm and under fire

Both print the table that is kept in benchmarks/results/faults.md. A PostgreSQL server is made for it and thrown away.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import re
import resource
import signal
import sqlite3
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path

from machine import about_machine

for folder in ("tests", "tests/store"):
    sys.path.insert(0, str(Path(__file__).parent.parent / folder))
from chaos import TASK, whole_study  # noqa: E402 - the tests' own driver
from command_line import SCHEDSEARCH, environment  # noqa: E402
from servers import MlflowServer, free_port  # noqa: E402

QUEUED, PROCESSES = 150, 4
RESULTS = Path(__file__).parent / "results" / "faults.md"
spawn = multiprocessing.get_context("spawn")

# ---- many claim at once


def stock_claims(folder: Path) -> str:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    url = f"sqlite:///{folder}/stock.db"
    study = optuna.create_study(storage=url, study_name="s")
    for number in range(QUEUED):
        study.enqueue_trial({"x": number / QUEUED})
    return _doubled(_stock_drain, url)


def _stock_drain(url: str) -> list[int]:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study, taken = optuna.load_study(study_name="s", storage=url), []
    while True:
        trial = study.ask()
        if trial.number >= QUEUED:
            return taken
        taken.append(trial.number)
        with suppress(Exception):  # whoever else has it may have told it first
            study.tell(trial.number, trial.suggest_float("x", 0, 1))


def our_claims(folder: Path) -> str:
    url = _our_queue(folder, QUEUED)
    return _doubled(_our_drain, url)


def _our_drain(url: str) -> list[int]:
    from schedsearch.store import RunResult, RunState, Store

    taken = []
    with Store.open(url) as store:
        while (claim := store.claim(f"worker-{os.getpid()}", lease_s=60, device="cpu")) is not None:
            taken.append(claim.run_id)
            store.finish(claim, RunResult(RunState.COMPLETED, score=0.5), [])
    return taken


def _doubled(drain: Callable[[str], list[int]], url: str) -> str:
    with spawn.Pool(PROCESSES) as pool:
        taken = [number for one in pool.map(drain, PROCESSES * [url], chunksize=1) for number in one]
    return f"{len(taken) - len(set(taken))} of {len(set(taken))} taken twice"


def _our_queue(folder: Path, runs: int) -> str:
    from store_cases import make_study, queue_runs

    from schedsearch.store import Store

    url = f"sqlite:///{folder}/ours.db"
    with Store.open(url) as store:
        queue_runs(store, make_study(store).id, runs)
    return url


# ---- killed right after a claim


def stock_killed(folder: Path) -> str:
    url = f"sqlite:///{folder}/killed.db"
    storage = f"optuna.storages.RDBStorage({url!r}, heartbeat_interval=1, grace_period=2)"
    _python(
        f"import optuna, os\n"
        f"study = optuna.create_study(storage={storage}, study_name='s')\n"
        f"study.ask()\nos._exit(9)"
    )
    time.sleep(4)
    said = _python(
        f"import optuna\nstudy = optuna.load_study(study_name='s', storage={storage})\n"
        "optuna.storages.fail_stale_trials(study)\nprint(study.trials[0].state.name)"
    )
    return f"{said} after two leases" + (", for ever" if said == "RUNNING" else "")


def our_killed(folder: Path) -> str:
    url = _our_queue(folder, 1)
    claim = "store.claim('{}', lease_s=1, device='cpu')"
    opened = f"import os\nfrom schedsearch.store import Store\nstore = Store.open({url!r})\n"
    _python(opened + claim.format("a") + "\nos._exit(9)")
    time.sleep(2)
    said = _python(opened + f"print({claim.format('b')} is not None)\nstore.close()")
    return "taken by another worker" if said == "True" else "stuck"


# ---- the user's code ends the process, hangs, or is frozen with its worker


def stock_exit(folder: Path) -> str:
    url = f"sqlite:///{folder}/exit.db"
    program = f"""
        import optuna, sys
        study = optuna.create_study(storage={url!r}, study_name="s")
        study.optimize(lambda trial: sys.exit(0), n_trials=3)
    """
    code = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, check=False).returncode
    said = _python(
        f"import optuna\nstudy = optuna.load_study(study_name='s', storage={url!r})\n"
        "print(*[one.state.name for one in study.trials])"
    )
    return f"worker ends with code {code} after 1 of 3 trials, which stays {said}"


def our_exit(folder: Path) -> str:
    return _our_troubled(folder, "import sys; sys.exit(0)")


def stock_hang(folder: Path) -> str:
    url = f"sqlite:///{folder}/hang.db"
    storage = f"optuna.storages.RDBStorage({url!r}, heartbeat_interval=1, grace_period=2)"
    program = f"""
        import optuna, time
        study = optuna.create_study(storage={storage}, study_name="s")
        study.optimize(lambda trial: time.sleep(3600), n_trials=1)
    """
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)], stderr=subprocess.DEVNULL) as worker:
        time.sleep(15)
        said = _python(
            f"import optuna\nstudy = optuna.load_study(study_name='s', storage={storage})\n"
            "optuna.storages.fail_stale_trials(study)\nprint(study.trials[0].state.name)"
        )
        worker.kill()
    return f"{said} after 15 s: heartbeats say that the process lives"


def our_hang(folder: Path) -> str:
    return _our_troubled(folder, "time.sleep(3600)", "--stall-timeout", "20")


def _our_troubled(folder: Path, line: str, *options: str) -> str:
    """A study whose task does this once, in the first run's twentieth update: how that run ended, and the others."""
    trouble = f"""            self.n = getattr(self, 'n', 0) + 1
            mark = Path(__file__).with_name('tried')
            if self.n == 20 and not mark.exists():
                mark.touch()
                {line}
"""
    task = TASK.replace("            time.sleep(0.01)\n", trouble)
    path = folder / f"task_{len(line)}.py"
    path.write_text(task)
    given = ["--task", f"{path}:Patient", "--space", "quick", "--trials", "4", "--mlflow", "none", "--study", "s"]
    subprocess.run(
        [SCHEDSEARCH, "launch", *given, "--workers", "1", *options],
        cwd=folder, env=environment(), capture_output=True, check=False, timeout=120,
    )  # fmt: skip
    with closing(sqlite3.connect(folder / "schedsearch.db")) as database:
        rows = database.execute("select state, failure, attempt from schedsearch_run order by id").fetchall()
    state, failure, attempts = rows[0]
    why = f" ({failure})" if failure else ""
    rest = sum(one[0] == "completed" for one in rows[1:])
    tries = f"{attempts} attempt{'s' * (attempts != 1)}"
    return f"{state}{why} after {tries}; the other {rest} of {len(rows) - 1} runs completed by the same worker"


def stock_zombie(folder: Path) -> str:
    url = f"sqlite:///{folder}/zombie.db"
    storage = f"optuna.storages.RDBStorage({url!r}, heartbeat_interval=1, grace_period=2)"
    program = f"""
        import optuna, time
        study = optuna.create_study(storage={storage}, study_name="s")
        study.optimize(lambda trial: print("begun", flush=True) or time.sleep(3) or 1.0, n_trials=1)
    """
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)], **pipes) as worker:
        assert worker.stdout is not None
        worker.stdout.readline()
        time.sleep(1.5)
        worker.send_signal(signal.SIGSTOP)
        time.sleep(5)
        _python(
            f"import optuna\nstudy = optuna.load_study(study_name='s', storage={storage})\n"
            "optuna.storages.fail_stale_trials(study)"
        )
        worker.send_signal(signal.SIGCONT)
        _, err = worker.communicate(timeout=60)
    last = err.strip().splitlines()[-1] if err.strip() else ""
    return f"its late result is refused, the worker ends with code {worker.returncode} ({last})"


def our_zombie(folder: Path) -> str:
    url = _our_queue(folder, 2)
    said = _python(f"""
import time
from schedsearch.errors import LeaseLost
from schedsearch.store import RunResult, RunState, Store
store = Store.open({url!r})
zombie = store.claim("zombie", lease_s=0.5, device="cpu")
time.sleep(1)
other = store.claim("other", lease_s=60, device="cpu")
try:
    store.finish(zombie, RunResult(RunState.COMPLETED, score=0.1), [])
    print("accepted")
except LeaseLost:
    print("refused", store.claim("zombie", lease_s=60, device="cpu") is not None)
store.close()
""")
    return "its late result is refused, the worker takes the next run" if said == "refused True" else said


# ---- values, checkpoints, MLflow


def stock_infinite(folder: Path) -> str:
    said = _python(
        "import optuna\nstudy = optuna.create_study(direction='maximize')\n"
        "study.optimize(lambda trial: float('inf') if trial.number == 1 else 0.5, n_trials=3)\nprint(study.best_value)"
    )
    return f"best value {said}"


def our_infinite(folder: Path) -> str:
    url = _our_queue(folder, 1)
    return _python(f"""
from schedsearch.errors import InvalidInput
from schedsearch.store import RunResult, RunState, Store
store = Store.open({url!r})
claim = store.claim("a", lease_s=60, device="cpu")
try:
    store.finish(claim, RunResult(RunState.COMPLETED, score=float("inf")), [])
except InvalidInput:
    print("refused as a score; a run that is not finite has diverged")
store.close()
""")


def stock_flipped(folder: Path) -> str:
    import torch

    path = folder / "stock.pt"
    torch.save({"weights": torch.zeros(1000)}, path)
    _flip(path)
    wrong = int((torch.load(path)["weights"] != 0).sum())
    return f"loads with {wrong} wrong number{'s' * (wrong != 1)}, silently"


def our_flipped(folder: Path) -> str:
    import torch

    from schedsearch.training.checkpoints import Checkpoints
    from schedsearch.training.places import open_place

    saved = Checkpoints(open_place(str(folder / "checkpoints")), "k" * 32, 1, 60.0)
    saved.save({"weights": torch.zeros(1000)}, 1)
    saved.save({"weights": torch.zeros(1000)}, 2)
    _flip(max((folder / "checkpoints").iterdir()))
    found = saved.newest()
    return "passed over, the one before is used" if found is not None and not found["weights"].any() else "loaded"


def _flip(path: Path) -> None:
    """One bit in the middle of the tensor."""
    content = bytearray(path.read_bytes())
    content[content.index(bytes(2000)) + 1001] ^= 0x40
    path.write_bytes(content)


def stock_full(folder: Path) -> str:
    return _with_little_disk(f"""
path = {str(folder / "only.pt")!r}
torch.save({{"weights": torch.zeros(10)}}, path)
limit()
try:
    torch.save({{"weights": torch.zeros(100_000)}}, path)
except Exception:
    pass
try:
    torch.load(path); print("the old one is kept")
except Exception as error:
    print("the old one is lost:", type(error).__name__)
""")


def our_full(folder: Path) -> str:
    said = _with_little_disk(f"""
from schedsearch.training.checkpoints import Checkpoints
from schedsearch.training.places import open_place
saved = Checkpoints(open_place({str(folder / "full")!r}), "k" * 32, 1, 60.0)
saved.save({{"weights": torch.zeros(10)}}, 1)
limit()
saved.save({{"weights": torch.zeros(100_000)}}, 2)
print("the old one is kept" if saved.newest()["weights"].shape == (10,) else "lost")
""")
    return said + ", training goes on with a warning"


def _with_little_disk(program: str) -> str:
    """A limit on the size of files does what a full disk does."""
    head = f"""
import resource, signal, torch
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
limit = lambda: resource.setrlimit({resource.RLIMIT_FSIZE}, (50_000, 50_000))
"""
    return _python(head + program)


def stock_mlflow(folder: Path) -> str:
    program = f"""
        import time
        from mlflow import MlflowClient
        client = MlflowClient("http://127.0.0.1:{free_port()}")
        started = time.monotonic()
        client.log_metric("0" * 32, "loss", 1.0)
    """
    started = time.monotonic()
    try:
        subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, timeout=60, check=False)
    except subprocess.TimeoutExpired:
        return "one log_metric blocks training for more than 60 s"
    return f"one log_metric blocks training for {time.monotonic() - started:.0f} s"


def our_mlflow(folder: Path) -> str:
    seconds = []
    for name, uri in (("none", "none"), ("down", f"http://127.0.0.1:{free_port()}")):
        started = time.monotonic()
        given = ["--task", "digits", "--space", "quick", "--trials", "8", "--total-updates", "200", "--study", name]
        subprocess.run(
            [SCHEDSEARCH, "launch", *given, "--mlflow", uri], cwd=folder, env=environment(), capture_output=True,
            check=False,
        )  # fmt: skip
        seconds.append(time.monotonic() - started)
    return f"a whole study takes {seconds[1] / seconds[0]:.2f} times as long as without MLflow"


FAULTS: dict[str, tuple[Callable[[Path], str], Callable[[Path], str]]] = {
    f"{PROCESSES} processes take {QUEUED} from one SQLite file": (stock_claims, our_claims),
    "killed right after taking one": (stock_killed, our_killed),
    "the task calls sys.exit(0)": (stock_exit, our_exit),
    "the task hangs": (stock_hang, our_hang),
    "a worker is frozen past its lease, then wakes": (stock_zombie, our_zombie),
    "an infinite score where more is better": (stock_infinite, our_infinite),
    "one bit of a checkpoint flips": (stock_flipped, our_flipped),
    "the disk is full while a checkpoint is written": (stock_full, our_full),
    "MLflow does not answer": (stock_mlflow, our_mlflow),
}


def _python(program: str) -> str:
    """The last line that a program prints."""
    paths = os.pathsep.join(str(Path(one).resolve()) for one in sys.path if one)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, env=environment(PYTHONPATH=paths)
    )
    return done.stdout.strip().splitlines()[-1] if done.stdout.strip() else done.stderr.strip()[-200:]


def one_by_one() -> list[str]:
    """The table of single faults."""
    lines = ["| fault | Optuna used plainly | a study here |", "|---|---|---|"]
    for fault, sides in FAULTS.items():
        said = []
        for side in sides:
            with tempfile.TemporaryDirectory() as folder:
                said.append(side(Path(folder)))
        lines.append(f"| {fault} | {said[0]} | {said[1]} |")
        print(lines[-1], flush=True)
    return lines


def whole_studies(seeds: list[int], workers: int, trials: int, every_s: float) -> list[str]:
    """The table of whole studies: one calm, one for each seed under fire."""
    lines = [
        "| study | runs | seconds | killed | ended | frozen | database restarted | checkpoints damaged "
        "| MLflow away | wrong afterwards |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|---|",
    ]
    with tempfile.TemporaryDirectory() as home:
        mlflow = MlflowServer(Path(home))
        mlflow.start()
        for seed in (None, *seeds):
            with tempfile.TemporaryDirectory() as folder:
                seconds, runs, done, faults = whole_study(
                    Path(folder), workers=workers, trials=trials, seed=seed, every_s=every_s, deadline_s=3600,
                    mlflow_uri=mlflow.uri,
                )  # fmt: skip
            name = "calm" if seed is None else f"seed {seed}"
            lines.append(
                f"| {name} | {runs} | {seconds:.0f} | {done.kills} | {done.terminations} | {done.freezes} "
                f"| {done.database_restarts} | {done.damaged_checkpoints} | {done.mlflow_outage_s:.0f} s "
                f"| {'; '.join(faults) or 'nothing'} |"
            )
            print(lines[-1], flush=True)
        mlflow.stop()
    return lines


def write(part: str, title: str, lines: list[str]) -> None:
    """Put a table into the results, in the place of the one of this part."""
    head = "# Faults\n\nMade by `python benchmarks/faults.py` and `python benchmarks/faults.py whole`.\n"
    text = RESULTS.read_text() if RESULTS.exists() else head
    about = f"{datetime.now(UTC):%Y-%m-%d}, {about_machine()}"
    section = f"\n## {title}\n\n{about}\n\n" + "\n".join(lines) + "\n"
    pattern = re.compile(rf"\n## {re.escape(title)}\n.*?(?=\n## |\Z)", re.DOTALL)
    RESULTS.write_text(pattern.sub(lambda _: section, text) if pattern.search(text) else text + section)
    print(f"{part}: written to {RESULTS}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="?", choices=("single", "whole"), default="single")
    parser.add_argument("--seed", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--trials", type=int, default=160)
    parser.add_argument("--every", type=float, default=4.0, help="seconds between two troubles, in the mean")
    given = parser.parse_args()
    if given.part == "single":
        write("single", "Single faults", one_by_one())
    else:
        title = f"Whole studies, {given.workers} workers on PostgreSQL"
        write("whole", title, whole_studies(given.seed, given.workers, given.trials, given.every))


if __name__ == "__main__":
    main()
