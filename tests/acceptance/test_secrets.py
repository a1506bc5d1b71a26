"""A planted password: nothing that a study prints, logs, stores, sends or leaves behind holds it, whatever fails."""

import json
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import psutil
import pytest
from command_line import environment, schedsearch
from servers import MlflowServer, free_port
from sqlalchemy import NullPool, create_engine, inspect, text
from sqlalchemy.engine import make_url
from store_databases import fresh_database

pytestmark = [
    pytest.mark.xdist_group("mlflow-server"),
    pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning"),
]
SECRET = "s3cr3t-MARK@/#%"  # noqa: S105 - looked for everywhere
MARK = "s3cr3t"
NAME = "planted"
TASK = """
import os
import torch
from schedsearch.task import Splits, Task

class Talkative(Task):
    total_updates = 40
    batch_size = 8

    def data(self):
        part = torch.ones(16, 3), torch.ones(16, 1)
        return Splits(part, part, part)

    def model(self):
        self.updates = 0
        print(dict(os.environ), flush=True)
        return torch.nn.Linear(3, 1)

    def loss(self, output, batch):
        self.updates += torch.is_grad_enabled()
        if self.updates > 10 and not os.path.exists("failed"):
            open("failed", "w").close()
            raise RuntimeError(f"broken by {dict(os.environ)}")
        return torch.nn.functional.mse_loss(output, batch[1])
"""
# One process for several verbs: what they import is imported once.
VERBS = """
import json, os, sys, traceback
from schedsearch.cli import main
usual = dict(os.environ)
for number, (arguments, more) in enumerate(json.load(sys.stdin)):
    os.environ.clear()
    os.environ.update({**usual, **more})
    sys.argv = ["schedsearch", *arguments]
    try:
        code = main() or 0
    except SystemExit as error:
        code = error.code
    except BaseException:
        code = traceback.format_exc()
    print("ended", json.dumps([number, code]), flush=True)
"""
FEW = ("--task", "talkative.py:Talkative", "--space", "quick", "--trials", "4", "--noise-seeds", "2",
       "--confirm-seeds", "2", "--workers", "1", "--no-arrays")  # fmt: skip


class Spy:
    """Collects the arguments of every process of this machine while it is entered."""

    def __init__(self) -> None:
        self.seen: set[str] = set()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> "Spy":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(0.1):
            for one in psutil.process_iter(["cmdline"]):
                self.seen.add(" ".join(one.info["cmdline"] or []))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    one = MlflowServer(tmp_path_factory.mktemp("server"))
    one.start()
    yield one
    one.stop()


class Planted:
    """A study's folder and addresses, each with the password in it; what the commands said so far."""

    def __init__(self, folder: Path, storage: str, server: MlflowServer) -> None:
        self.folder = folder
        self.storage = make_url(storage).set(password=SECRET).render_as_string(hide_password=False)
        self.mlflow = server.uri.replace("://", f"://me:{quote(SECRET, safe='')}@")
        self.checkpoints = f"memory://me:{quote(SECRET, safe='')}@nowhere/checkpoints"

    @property
    def addresses(self) -> dict[str, str]:
        return {
            "SCHEDSEARCH_STORAGE": self.storage,
            "SCHEDSEARCH_MLFLOW": self.mlflow,
            "SCHEDSEARCH_LAUNCH_CHECKPOINTS": self.checkpoints,
        }

    def run(self, *verbs: tuple[tuple[str, ...], dict[str, str]]) -> dict[str, object]:
        """The exit codes of these verbs (and what is different in their environment); asserts that they never show
        the password."""
        done = subprocess.run(
            [sys.executable, "-c", VERBS], input=json.dumps(verbs), cwd=self.folder, capture_output=True, text=True,
            env=environment(**self.addresses), check=True, timeout=200,
        )  # fmt: skip
        lines = done.stdout.splitlines() + done.stderr.splitlines()
        codes = [json.loads(one.removeprefix("ended ")) for one in lines if one.startswith("ended ")]
        assert [one for one in lines if MARK in one] == []
        assert len(codes) == len(verbs), done.stderr
        return {" ".join(verbs[number][0]): code for number, code in codes}


@pytest.fixture(scope="module")
def planted(server: MlflowServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Planted]:
    """A finished study, one of whose runs failed, on a real PostgreSQL and a real MLflow server."""
    folder = tmp_path_factory.mktemp("planted")
    (folder / "talkative.py").write_text(TASK)
    with fresh_database("PostgreSQL", folder) as url:
        made = Planted(folder, url, server)
        with Spy() as spy:
            done = schedsearch("launch", *FEW, "--study", NAME, cwd=folder, **made.addresses)
        assert done.code == 0, done.err
        assert MARK not in done.out + done.err
        assert any("schedsearch.workers" in one for one in spy.seen)
        assert [one for one in spy.seen if MARK in one] == []
        yield made


def test_no_verb_shows_it(planted: Planted) -> None:
    verbs = (
        ("studies",), ("status", NAME), ("status", NAME, "--json"), ("answers", NAME), ("report", NAME),
        ("export", NAME, "--to", "torch"), ("sync", NAME), ("db", "check"), ("db", "upgrade"), ("metrics",),
        ("launch", "--resume", NAME), ("doctor", "--checkpoints", "none"), ("worker", NAME),
    )  # fmt: skip
    codes = planted.run(*[(verb, {}) for verb in verbs])
    assert codes == {" ".join(verb): 0 for verb in verbs}


def test_no_failure_shows_it(planted: Planted) -> None:
    url, mlflow = make_url(planted.storage), f"127.0.0.1:{free_port()}"
    bad = {
        "port": url.set(port=1).render_as_string(hide_password=False),
        "database": url.set(database="nothing-here").render_as_string(hide_password=False),
        "driver": url.set(drivername="postgresql+pg8000").render_as_string(hide_password=False),
        "unreadable": f"postgresql://me:{SECRET}@host:x/y",
    }
    verbs: list[tuple[tuple[str, ...], str | None]] = [
        (("status", NAME), "port"), (("db", "upgrade"), "database"), (("db", "check"), "driver"),
        (("launch", *FEW), "database"), (("worker", "--per-device", "2"), "port"), (("worker", NAME), "database"),
        (("doctor", "--checkpoints", planted.checkpoints.replace("memory", "nosuch")), "port"),
        (("studies",), "unreadable"), (("studies", "--storag", planted.storage), None),
        ((f"--storage={planted.storage}", "studies"), None), (("status", "nobody"), None),
        (("sync", NAME, "--mlflow", f"http://me:{quote(SECRET, safe='')}@{mlflow}"), None),
        (("launch", *FEW, "--mlflow", f"ftp://me:{quote(SECRET, safe='')}@{mlflow}"), None),
    ]  # fmt: skip
    codes = planted.run(*[(verb, {} if what is None else {"SCHEDSEARCH_STORAGE": bad[what]}) for verb, what in verbs])
    assert {verb: code for verb, code in codes.items() if code not in (1, 2)} == {}


def test_no_fault_of_a_study_file_shows_it(planted: Planted) -> None:
    contents = (
        "storage: {url}: x", "storage: {url}\nstorage: {url}", "storage: {url}\ntask: [", "storag: {url}",
        "storage: [{url}]\ntask: digits", "storage: {url}\ntask: digits\nseed: -1",
    )  # fmt: skip
    nothing = dict.fromkeys(planted.addresses, "")
    for number, content in enumerate(contents):
        (planted.folder / f"{number}.yaml").write_text(content.format(url=planted.storage))
    verbs = [(("launch", f"{number}.yaml"), nothing) for number in range(len(contents))]
    assert set(planted.run(*verbs).values()) == {2}
    for number in range(len(contents)):
        (planted.folder / f"{number}.yaml").unlink()


def test_nothing_that_is_left_behind_holds_it(planted: Planted, server: MlflowServer) -> None:
    """Files of the study, the results store, Optuna's tables, and everything that MLflow keeps."""
    files = [one for place in (planted.folder, server.folder) for one in place.rglob("*") if one.is_file()]
    logs = [one.read_text() for one in files if one.name == "worker-0.log"]
    assert any(one.name == "report.html" for one in files)
    assert any("'PATH': " in one for one in logs)  # what the task printed is there
    assert [one for one in files if MARK.encode() in one.read_bytes()] == []
    rows = dump(planted.storage)
    assert "talkative.py:Talkative" in rows
    assert "broken by {'" in rows
    assert MARK not in rows
    with closing(sqlite3.connect(server.folder / "mlflow.db")) as kept:
        (runs,) = kept.execute("select count(*) from runs").fetchone()
        assert runs > 4
        assert not any(MARK in line for line in kept.iterdump())


def dump(url: str) -> str:
    """Every row of every table and view of a database."""
    engine = create_engine(url, poolclass=NullPool)
    with engine.connect() as connection:
        found = inspect(connection)
        names = [*found.get_table_names(), *found.get_view_names()]
        assert {"schedsearch_run", "trials", "schedsearch_leaderboard"} <= set(names)
        rows = [str(tuple(row)) for name in names for row in connection.execute(text(f'select * from "{name}"'))]
    engine.dispose()
    return "\n".join(rows)
