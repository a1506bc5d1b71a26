"""The mirror on an SQLite file of MLflow's, read back through MLflow's own client."""

import math
import multiprocessing
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run as MlflowRun
from tracking_study import (
    NAME,
    UPDATES,
    candidates,
    complete,
    conclude,
    diverge,
    fail,
    make_study,
    open_store,
    queue,
)

from schedsearch.errors import TrackingError
from schedsearch.store import NewRun, Phase, Store, StudyState
from schedsearch.tracking import Mirror, ping
from schedsearch.tracking.facts import BEST, COLOR, NOTE, PARENT, RUN_ID, WINNER_COLOR

pytestmark = [
    pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning"),  # of MLflow's own queries
]


@pytest.fixture(scope="module")
def empty_mlflow(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """An MLflow database without experiments (making one takes seconds), as the mirror makes it."""
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    ping(f"sqlite:///{path}")
    return path.read_bytes()


@pytest.fixture
def uri(tmp_path: Path, empty_mlflow: bytes) -> str:
    path = tmp_path / "tracking" / "mlflow.db"
    path.parent.mkdir()
    path.write_bytes(empty_mlflow)
    return f"sqlite:///{path}"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path) as opened:
        yield opened


@pytest.fixture
def study_id(store: Store) -> int:
    return make_study(store)


class Shown:
    """What MLflow has."""

    def __init__(self, uri: str) -> None:
        self.client = MlflowClient(uri)

    def runs(self) -> list[MlflowRun]:
        experiments = [one.experiment_id for one in self.client.search_experiments()]
        return list(self.client.search_runs(experiments, max_results=1000))

    def parent(self) -> MlflowRun:
        (parent,) = [run for run in self.runs() if PARENT not in run.data.tags]
        return parent

    def children(self) -> dict[int, MlflowRun]:
        """By the store's number of their run; every child once, all of them under the one parent."""
        parent = self.parent()
        children = [run for run in self.runs() if PARENT in run.data.tags]
        assert {run.data.tags[PARENT] for run in children} <= {parent.info.run_id}
        assert Counter(run.data.tags[RUN_ID] for run in children).most_common(1)[0][1] == 1
        return {int(run.data.tags[RUN_ID]): run for run in children}

    def curve(self, run: MlflowRun, key: str) -> list[tuple[int, float]]:
        history = self.client.get_metric_history(run.info.run_id, key)
        return sorted((point.step, point.value) for point in history)


def test_a_finished_run_becomes_a_child_with_its_curves(store: Store, study_id: int, uri: str) -> None:
    queue(store, study_id, 1)
    run_id = complete(store, 0.25)
    result = Mirror(uri, store).sync(NAME)
    assert (result.runs_mirrored, result.pending) == (1, 0)
    shown = Shown(uri)
    child = shown.children()[run_id]
    assert child.info.status == "FINISHED"
    assert child.data.params["warmup.kind"] == "linear"
    assert child.data.params["decay.kind"] == "cosine"
    assert child.data.params["restarts.cycles"] == "1"
    assert child.data.params["base_lr"] == "0.1"
    assert child.data.params["phase"] == "search"
    assert child.data.metrics["objective"] == 0.25
    assert set(child.data.metrics) == {
        "lr", "train/loss", "val/loss", "val/accuracy", "objective", "test/objective"
    }  # fmt: skip
    assert len(shown.curve(child, "train/loss")) == 20
    lrs = shown.curve(child, "lr")
    assert len(lrs) <= 200
    assert (lrs[0][0], lrs[-1][0]) == (0, UPDATES - 1)
    assert max(value for _, value in lrs) == pytest.approx(0.1)
    (run,) = store.runs(study_id)
    assert run.mirrored
    assert run.mlflow_run_id == child.info.run_id


def test_a_copy_is_shown_with_its_curves_as_a_run_without_a_duration(store: Store, study_id: int, uri: str) -> None:
    queue(store, study_id, 1)
    trained = complete(store, 0.25)
    other = make_study(store, "again")
    both = candidates(store, other)
    store.add_runs(other, [NewRun(both[0], Phase.SEARCH, 0, 0, UPDATES)], reuse=True)
    (copy,) = store.runs(other)
    assert Mirror(uri, store).sync("again").runs_mirrored == 1
    shown = Shown(uri)
    parent = store.study("again").mlflow_run_id
    (child,) = [run for run in shown.runs() if run.data.tags.get(PARENT) == parent]
    assert child.data.tags["schedsearch.copied_from"] == str(trained)
    assert child.data.metrics["objective"] == 0.25
    assert len(shown.curve(child, "train/loss")) == 20
    assert copy.finished_at is not None
    assert child.info.start_time == child.info.end_time == round(1000 * copy.finished_at)


def test_the_parent_tells_what_was_asked(store: Store, study_id: int, uri: str) -> None:
    Mirror(uri, store).sync(NAME)
    shown = Shown(uri)
    parent = shown.parent()
    assert parent.info.run_name == NAME
    assert parent.info.status == "RUNNING"
    assert parent.data.params["space.version"] == "0123456789ab"
    assert parent.data.params["budget.trials"] == "24"
    assert parent.data.tags["schedsearch.version.torch"]
    experiment = shown.client.get_experiment(parent.info.experiment_id)
    assert experiment.name == "schedsearch/digits"
    assert experiment.tags["mlflow.experiment.primaryMetric.name"] == "objective"


def test_every_way_to_end_has_its_status_and_outcome(store: Store, study_id: int, uri: str) -> None:
    queue(store, study_id, 3)
    ended = {
        complete(store, 0.25): ("FINISHED", "completed"),
        diverge(store): ("FINISHED", "diverged"),
        fail(store, "ValueError: no (task.py:7)"): ("FAILED", "failed"),
    }
    Mirror(uri, store).sync(NAME)
    children = Shown(uri).children()
    assert {
        number: (run.info.status, run.data.tags["schedsearch.outcome"]) for number, run in children.items()
    } == ended


def test_nothing_that_is_not_finite_reaches_a_chart(store: Store, study_id: int, uri: str) -> None:
    queue(store, study_id, 1)
    run_id = diverge(store)
    Mirror(uri, store).sync(NAME)
    shown = Shown(uri)
    child = shown.children()[run_id]
    values = [value for key in child.data.metrics for _, value in shown.curve(child, key)]
    assert values
    assert all(math.isfinite(value) and abs(value) < 1e300 for value in values)
    assert "objective" not in child.data.metrics
    assert max(step for step, _ in shown.curve(child, "lr")) == 19


def test_runs_that_are_not_finished_are_not_shown(store: Store, study_id: int, uri: str) -> None:
    queue(store, study_id, 3)
    complete(store, 0.3)
    mirror = Mirror(uri, store)
    assert mirror.sync(NAME).runs_mirrored == 1
    complete(store, 0.2)
    assert mirror.sync(NAME).runs_mirrored == 1
    assert mirror.sync(NAME).runs_mirrored == 0
    assert len(Shown(uri).children()) == 2


def test_best_so_far_grows_on_the_parent_without_double_points(store: Store, study_id: int, uri: str) -> None:
    queue(store, study_id, 4)
    mirror = Mirror(uri, store)
    for score in (0.5, 0.6, 0.3, 0.4):
        complete(store, score)
        mirror.sync(NAME)
    conclude(store, study_id)
    mirror.sync(NAME, final=True)
    mirror.sync(NAME, final=True)
    shown = Shown(uri)
    assert shown.curve(shown.parent(), BEST) == [(1, 0.5), (2, 0.5), (3, 0.3), (4, 0.3)]
    assert "objective" not in shown.parent().data.metrics


def test_the_verdict_is_line_one_and_the_winner_has_its_colour(store: Store, study_id: int, uri: str) -> None:
    queue(store, study_id, 4, Phase.CONFIRM, first_seed=1000)
    for score in (0.2, 0.3, 0.2, 0.3):
        complete(store, score)
    verdict = conclude(store, study_id)
    Mirror(uri, store).sync(NAME, final=True)
    shown = Shown(uri)
    parent = shown.parent()
    assert parent.info.status == "FINISHED"
    assert parent.info.end_time == round((store.study(NAME).finished_at or 0) * 1000)
    note = parent.data.tags[NOTE]
    assert note.splitlines()[0] == verdict.text
    assert "Warm-up: yes" in note
    assert parent.data.metrics["confirmed/mean"] == 0.2
    cosine, _ = candidates(store, study_id)
    coloured = {
        number for number, run in shown.children().items() if run.data.tags.get(COLOR) == WINNER_COLOR
    }
    assert coloured == {run.id for run in store.runs(study_id) if run.candidate_id == cosine}


def test_artifacts_hang_on_the_parent_beside_the_database(
    store: Store, study_id: int, uri: str, tmp_path: Path
) -> None:
    report = tmp_path / "any-name.html"
    report.write_text("<p>verdict</p>")
    mirror = Mirror(uri, store)
    mirror.sync(NAME, final=True, artifacts={"report.html": report})
    report.write_text("<p>a newer verdict</p>")
    mirror.sync(NAME, final=True, artifacts={"report.html": report})
    shown = Shown(uri)
    run_id = shown.parent().info.run_id
    assert [one.path for one in shown.client.list_artifacts(run_id)] == ["report.html"]
    folder = tmp_path / "tracking" / "mlartifacts" / run_id / "artifacts"
    assert (folder / "report.html").read_text() == "<p>a newer verdict</p>"


def test_a_stopped_study_can_go_on(store: Store, study_id: int, uri: str) -> None:
    mirror = Mirror(uri, store)
    store.set_study_state(study_id, StudyState.STOPPED, "interrupted")
    mirror.sync(NAME)
    assert Shown(uri).parent().info.status == "KILLED"
    store.set_study_state(study_id, StudyState.RUNNING)
    mirror.sync(NAME)
    assert Shown(uri).parent().info.status == "RUNNING"


def test_a_failed_study_says_why_without_credentials(store: Store, study_id: int, uri: str) -> None:
    store.set_study_state(study_id, StudyState.FAILED, "no answer from http://me:s3cr3t-MARK@host:1/x")
    Mirror(uri, store).sync(NAME, final=True)
    parent = Shown(uri).parent()
    assert parent.info.status == "FAILED"
    assert "no answer from http://host:1/x" in parent.data.tags[NOTE]
    assert "s3cr3t-MARK" not in str(parent.data.tags)


class PulledPlugError(Exception):
    """Stands for the end of the process."""


@pytest.mark.parametrize("where", ["log_batch", "mark_mirrored", "set_terminated"])
def test_a_crash_at_any_point_leaves_every_run_once(
    store: Store, study_id: int, uri: str, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    queue(store, study_id, 3)
    for score in (0.5, 0.4, 0.3):
        complete(store, score)
    owner: Any = Store if where == "mark_mirrored" else MlflowClient
    calls: list[Any] = []

    def pull(*arguments: Any, **options: Any) -> None:
        calls.append(arguments)
        raise PulledPlugError

    with monkeypatch.context() as patch:
        patch.setattr(owner, where, pull)
        with pytest.raises(PulledPlugError):
            Mirror(uri, store).sync(NAME)
    assert calls
    Mirror(uri, store).sync(NAME)
    shown = Shown(uri)
    children = shown.children()
    assert set(children) == {run.id for run in store.runs(study_id)}
    assert {run.info.status for run in children.values()} == {"FINISHED"}
    for run in children.values():
        for key in run.data.metrics:
            steps = [step for step, _ in shown.curve(run, key)]
            assert len(steps) == len(set(steps)), key
        assert len(shown.curve(run, "train/loss")) == 20


def test_a_lost_mlflow_is_written_anew(store: Store, study_id: int, uri: str, empty_mlflow: bytes) -> None:
    queue(store, study_id, 3)
    for score in (0.5, 0.4, 0.3):
        complete(store, score)
    Mirror(uri, store).sync(NAME)
    other = uri.replace("mlflow.db", "another.db")
    Path(other.removeprefix("sqlite:///")).write_bytes(empty_mlflow)
    assert Mirror(other, store).sync(NAME).runs_mirrored == 3
    complete_after = Shown(other)
    assert set(complete_after.children()) == {run.id for run in store.runs(study_id)}
    assert len(complete_after.curve(complete_after.parent(), BEST)) <= 3


def test_going_back_to_the_first_mlflow_doubles_nothing(
    store: Store, study_id: int, uri: str, empty_mlflow: bytes
) -> None:
    queue(store, study_id, 3)
    complete(store, 0.5)
    Mirror(uri, store).sync(NAME)
    other = uri.replace("mlflow.db", "another.db")
    Path(other.removeprefix("sqlite:///")).write_bytes(empty_mlflow)
    complete(store, 0.4)
    assert Mirror(other, store).sync(NAME).runs_mirrored == 2
    complete(store, 0.3)
    assert Mirror(uri, store).sync(NAME).runs_mirrored == 2
    named = {run.id: run.mlflow_run_id for run in store.runs(study_id)}
    assert {number: run.info.run_id for number, run in Shown(uri).children().items()} == named


def test_a_deleted_parent_is_made_again(store: Store, study_id: int, uri: str) -> None:
    queue(store, study_id, 1)
    complete(store, 0.5)
    mirror = Mirror(uri, store)
    mirror.sync(NAME)
    shown = Shown(uri)
    for run in shown.runs():
        shown.client.delete_run(run.info.run_id)
    assert mirror.sync(NAME).runs_mirrored == 1
    assert len(shown.children()) == 1


def test_a_deleted_experiment_is_named(store: Store, study_id: int, uri: str) -> None:
    Mirror(uri, store).sync(NAME)
    shown = Shown(uri)
    shown.client.delete_experiment(shown.parent().info.experiment_id)
    with pytest.raises(TrackingError, match="experiment 'schedsearch/digits' was deleted"):
        Mirror(uri, store).sync(NAME)


def _sync(folder: str, uri: str, barrier: Any) -> None:
    with open_store(Path(folder)) as store:
        mirror = Mirror(uri, store)
        barrier.wait(60)
        mirror.sync(NAME)


def test_two_syncs_at_once_end_with_one_of_everything(
    store: Store, study_id: int, uri: str, tmp_path: Path
) -> None:
    queue(store, study_id, 12)
    for score in range(12):
        complete(store, float(score))
    spawn = multiprocessing.get_context("spawn")
    barrier = spawn.Barrier(2)
    both = [spawn.Process(target=_sync, args=(str(tmp_path), uri, barrier)) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join(120)
    Mirror(uri, store).sync(NAME, final=True)
    named = {run.id: run.mlflow_run_id for run in store.runs(study_id)}
    children = Shown(uri).children()
    assert {number: run.info.run_id for number, run in children.items()} == named
    assert {run.info.status for run in children.values()} == {"FINISHED"}


def test_two_processes_may_make_the_database_at_once(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    uri = f"sqlite:///{tmp_path / 'new' / 'mlflow.db'}"
    both = [spawn.Process(target=ping, args=(uri,)) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join(120)
    assert [one.exitcode for one in both] == [0, 0]
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["mlflow.db"]
    assert (tmp_path / "new" / "mlflow.db").stat().st_mode & 0o077 == 0
    assert "answers" in ping(uri)


@pytest.mark.parametrize("kind", ["a folder", "a text", "below a file"])
def test_a_database_that_cannot_be_is_refused_at_once(store: Store, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "odd.db"
    if kind == "a folder":
        path.mkdir()
    else:
        path.write_text("certainly not a database, but long enough to be one")
    started = time.monotonic()
    with pytest.raises(TrackingError, match=r"MLflow's database .*odd\.db"):
        Mirror(f"sqlite:///{path / 'mlflow.db' if kind == 'below a file' else path}", store)
    assert time.monotonic() - started < 5


def test_nothing_is_printed(
    store: Store, study_id: int, uri: str, capfd: pytest.CaptureFixture[str]
) -> None:
    queue(store, study_id, 1)
    complete(store, 0.5)
    Mirror(uri, store).sync(NAME, final=True)
    assert capfd.readouterr().out == ""


def test_the_page_is_known_after_the_first_sync(store: Store, study_id: int, uri: str) -> None:
    mirror = Mirror(uri, store)
    assert mirror.url(NAME) is None
    mirror.sync(NAME)
    run_id = Shown(uri).parent().info.run_id
    assert str(mirror.url(NAME)).endswith(f"/runs/{run_id}?workflowType=machine_learning")
