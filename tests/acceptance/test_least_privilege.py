"""A study on PostgreSQL by those who may only do their part: who owns the schema, who trains, who reads."""

import json
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import Done, schedsearch
from sqlalchemy.engine import make_url
from store_databases import administer, fresh_database, query

from schedsearch.store.migrations import HEAD, VERSION_TABLE, migrations_folder

pytestmark = pytest.mark.xdist_group("store-PostgreSQL")
TASK = """
import torch
from schedsearch.task import Splits, Task

class Tiny(Task):
    total_updates = 20
    batch_size = 4

    def data(self):
        part = torch.ones(8, 2), torch.ones(8, 1)
        return Splits(part, part, part)

    def model(self):
        return torch.nn.Linear(2, 1)

    def loss(self, output, batch):
        return torch.nn.functional.mse_loss(output, batch[1])
"""
EVIL = "from pathlib import Path\nPath('imported').touch()\n" + TASK
FEW = ("--space", "quick", "--trials", "4", "--noise-seeds", "2", "--confirm-seeds", "2", "--mlflow", "none")


class People:
    """The owner of a database, and logins with the rights of db/roles_postgresql.sql."""

    names = ("worker", "reader")

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.url, self.mark = folder, make_url(url), secrets.token_hex(3)
        (folder / "tasks.py").write_text(TASK)
        (folder / "evil.py").write_text(EVIL)

    def make(self) -> None:
        script = (migrations_folder() / "roles_postgresql.sql").read_text(encoding="utf-8")
        for role in ("worker", "reader"):
            script = script.replace(f"schedsearch_{role}", self.role(role))
        self._run(script, *[f"create role {one}_{self.mark} login in role {self.role(one)}" for one in self.names])

    def remove(self) -> None:
        for one in self.names:
            self._run(f"drop owned by {self.role(one)}", f"drop role {one}_{self.mark}", f"drop role {self.role(one)}")

    def role(self, role: str) -> str:
        return f"schedsearch_{role}_{self.mark}"

    def _run(self, *statements: str) -> None:
        administer("PostgreSQL", *statements, database=self.url.database)

    def let(self, who: str, *arguments: str) -> Done:
        url = self.url if who == "owner" else self.url.set(username=f"{who}_{self.mark}")
        storage = url.render_as_string(hide_password=False)
        return schedsearch(*arguments, cwd=self.folder, SCHEDSEARCH_STORAGE=storage)

    def sql(self, statement: str) -> list[dict[str, object]]:
        return query(self.url.render_as_string(hide_password=False), statement)


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Iterator[People]:
    folder = tmp_path_factory.mktemp("people")
    with fresh_database("PostgreSQL", folder) as url:
        made = People(folder, url)
        assert made.let("owner", "db", "upgrade").code == 0
        made.make()
        yield made
        made.remove()


def written(people: People, name: str) -> None:
    done = people.let("worker", "launch", "--task", "tasks.py:Tiny", *FEW, "--study", name, "--detach")
    assert done.code == 0, done.err


def test_a_study_is_written_trained_and_read_by_those_who_may_change_no_table(people: People) -> None:
    """Its workers are of another version with the same schema, which is no obstacle."""
    written(people, "whole")
    people.sql("update schedsearch_study set code_version = '0.0.1'")
    trained = people.let("worker", "worker", "whole", "--allow-task", f"{people.folder}/")
    assert trained.code == 0, trained.err
    status = json.loads(people.let("reader", "status", "whole", "--json").out)
    assert status["state"] == "finished"
    report = people.let("reader", "report", "whole")
    assert report.code == 0, report.err
    written(people, "other")
    stopped = people.let("reader", "stop", "other")
    assert stopped.code == 1
    assert "permission denied" in stopped.err
    assert len(stopped.err.splitlines()) == 1
    assert people.let("owner", "stop", "other").code == 0


def test_tasks_planted_in_the_database_are_refused_unimported(people: People) -> None:
    written(people, "planted")
    folder = people.folder
    script = json.dumps({"command": ["touch", "imported"], "folder": str(folder)})
    for task in ("evil:Tiny", f"script:{script}"):
        people.sql(f"update schedsearch_study set task = '{task}' where name = 'planted'")
        said = people.let("worker", "worker", "planted", "--allow-task", f"{folder}/tasks.py:")
        assert said.code == 2
        assert "is not allowed here" in said.err.splitlines()[-1]
    assert not (folder / "imported").exists()
    of = "study_id = (select id from schedsearch_study where name = 'planted')"
    assert people.sql(f"select distinct state from schedsearch_run where {of}") == [{"state": "waiting"}]
    assert people.let("worker", "stop", "planted").code == 0


@pytest.mark.parametrize(
    ("version", "sentence"),
    [("0003", f"needs {HEAD}: run `schedsearch db upgrade`."), ("9999", "install the newer schedsearch.")],
)
def test_another_schema_is_refused_before_anything_is_claimed(people: People, version: str, sentence: str) -> None:
    before = people.sql("select * from schedsearch_run order by id")
    people.sql(f"update {VERSION_TABLE} set version_num = '{version}'")
    try:
        said = people.let("worker", "worker")
    finally:
        people.sql(f"update {VERSION_TABLE} set version_num = '{HEAD}'")
    assert (said.code, said.out) == (1, "")
    assert said.err.strip().endswith(sentence)
    assert len(said.err.splitlines()) == 1
    assert people.sql("select * from schedsearch_run order by id") == before
