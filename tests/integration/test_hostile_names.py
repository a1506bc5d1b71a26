"""Names made to escape: from SQL, from MLflow's filters, from folders, from a table of text."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient
from store_databases import query
from tracking_study import NAME, complete, conclude, make_study, open_store, queue

from schedsearch.commands import control, inspect, mirroring, results
from schedsearch.commands.progress import read_progress
from schedsearch.errors import UnknownStudy
from schedsearch.report.exports.plain import export_csv
from schedsearch.schedule import Schedule
from schedsearch.store import Store
from schedsearch.tracking import Mirror
from schedsearch.tracking.facts import PARENT

pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")  # of MLflow's own queries
WICKED = (
    "'; drop table schedsearch_study;--", '" or 1=1 --', "o'brien", "%", "_", "../../x", "/etc/passwd", "a/../../b",
    "%2e%2e/x", "</script><script>alert(1)</script>", "javascript:alert(1)", "\x1b[2J", "=cmd|' /C calc'!A0", "n" * 600,
    "\u202ename", "🔥", "a\nb",
)  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    (tmp_path / "inside").mkdir()
    with open_store(tmp_path / "inside") as opened:
        make_study(opened)
        yield opened


@pytest.fixture
def study_id(store: Store) -> int:
    study_id = store.study(NAME).id
    queue(store, study_id, 2)
    complete(store, 0.5)
    complete(store, 0.4)
    conclude(store, study_id)
    return study_id


def renamed(store: Store, column: str, value: str) -> None:
    quoted = value.replace("'", "''")
    query(store.url, f"update schedsearch_study set {column} = '{quoted}'")


@pytest.mark.parametrize("name", WICKED)
def test_a_name_edited_in_the_database_leads_nowhere(
    store: Store, study_id: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path / "inside")
    before = sorted(tmp_path.rglob("*"))
    renamed(store, "name", name)
    assert [one["name"] for one in inspect.studies(store.url)] == [name]
    for verb in (
        lambda: results.report(store.url, name, None),
        lambda: results.export(store.url, name, "json", None),
        lambda: control.stop(store.url, name),
        lambda: read_progress(store, name),
        lambda: mirroring.sync_command(store.url, name, "sqlite:///mlflow.db", None, follow=False),
    ):
        with pytest.raises(UnknownStudy, match="There is no study named"):
            verb()
    new = [one for one in tmp_path.rglob("*") if one not in before and "mlflow" not in one.name]
    assert [one for one in new if one.name != "mlartifacts" and "schedsearch.db" not in one.name] == []


def test_names_of_tasks_escape_from_no_filter_of_mlflow(store: Store, study_id: int, tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    client = MlflowClient(uri)
    for name in WICKED[:9]:
        renamed(store, "task", f"{name}.py:Task")
        query(store.url, "update schedsearch_study set mlflow_run_id = null, mlflow_experiment_id = null")
        Mirror(uri, store).sync(NAME, final=True)
        assert Mirror(uri, store).sync(NAME, final=True).runs_mirrored == 0
        experiment = store.study(NAME).mlflow_experiment_id
        runs = client.search_runs([experiment], max_results=100)
        assert len([run for run in runs if PARENT not in run.data.tags]) == 1, name
        assert len(runs) == 3, name
    places = {one.artifact_location for one in client.search_experiments()}
    assert all(one.startswith((f"file://{tmp_path}/mlartifacts", "mlflow-artifacts:", "./mlruns", str(Path.cwd())))
               for one in places), places  # fmt: skip


def test_a_link_among_the_results_is_not_sent_to_mlflow(store: Store, study_id: int, tmp_path: Path) -> None:
    folder, uri = tmp_path / "results", f"sqlite:///{tmp_path}/mlflow.db"
    folder.mkdir()
    (tmp_path / "private").write_text("private")
    (folder / "report.html").symlink_to(tmp_path / "private")
    (folder / "winner.json").write_text("{}")
    mirroring.sync_command(store.url, NAME, uri, folder, follow=False)
    sent = MlflowClient(uri).list_artifacts(str(store.study(NAME).mlflow_run_id))
    assert [one.path for one in sent] == ["winner.json"]


def test_no_cell_of_an_exported_table_is_a_formula() -> None:
    schedule = Schedule.from_dict({"base_lr": 0.1, "decay": {"kind": "cosine"}})
    provenance = {"study": "=1+1", "task": "@SUM(A1)\n=cmd|' /C calc'!A0", "metric": "+1", "space": "-1"}
    table = list(csv.reader(io.StringIO(export_csv(schedule, 10, None, provenance))))
    rows = [row for row in table if not row[0].startswith("#")]
    assert rows[0] == ["update", "lr"]
    assert [len(row) for row in rows] == [2] * 11
    for row in rows[1:]:
        assert [float(cell) >= 0 for cell in row] == [True, True]
