"""The mirror against a real `mlflow server`: up, down, silent, broken, and back."""

import re
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from browser import CHROMIUM, Page, browser_page
from mlflow import MlflowClient
from mlflow_server import Server, free_port
from tracking_study import NAME, complete, conclude, make_study, open_store, queue

from schedsearch.errors import TrackingError
from schedsearch.store import Phase, Store
from schedsearch.tracking import Mirror, ping
from schedsearch.tracking.facts import NOTE, PARENT, RUN_ID

pytestmark = [
    pytest.mark.xdist_group("mlflow-server"),
    pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning"),  # of MLflow's own queries
]
PATIENCE_S = 20.0  # with one retry and 5 s a call; MLflow's own defaults would block for minutes


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    one = Server(tmp_path_factory.mktemp("server"))
    one.start()
    yield one
    one.stop()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path) as opened:
        make_study(opened)
        yield opened


@pytest.fixture
def study_id(store: Store) -> int:
    return store.study(NAME).id


def shown(server: Server, store: Store) -> tuple[MlflowClient, str, dict[str, str]]:
    """A client, the parent's id, and status by number of every child of this test's own study."""
    client = MlflowClient(server.uri)
    study = store.study(NAME)
    assert study.mlflow_experiment_id is not None
    assert study.mlflow_run_id is not None
    children = [
        run
        for run in client.search_runs([study.mlflow_experiment_id], max_results=1000)
        if run.data.tags.get(PARENT) == study.mlflow_run_id
    ]
    by_number = {run.data.tags[RUN_ID]: run.info.status for run in children}
    assert len(by_number) == len(children)
    return client, study.mlflow_run_id, by_number


def test_a_whole_study_arrives(
    server: Server, store: Store, study_id: int, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    queue(store, study_id, 5)
    for score in (0.5, 0.4, 0.3, 0.35, 0.6):
        complete(store, score)
    verdict = conclude(store, study_id)
    report = tmp_path / "report.html"
    report.write_text("<p>verdict</p>")
    mirror = Mirror(server.uri, store)
    assert mirror.sync(NAME, final=True, artifacts={"report.html": report}).runs_mirrored == 5
    assert mirror.sync(NAME, final=True, artifacts={"report.html": report}).runs_mirrored == 0
    client, parent_id, children = shown(server, store)
    assert children == {str(run.id): "FINISHED" for run in store.runs(study_id)}
    parent = client.get_run(parent_id)
    assert parent.info.status == "FINISHED"
    assert parent.data.tags[NOTE].splitlines()[0] == verdict.text
    assert parent.info.artifact_uri.startswith("mlflow-artifacts:")
    assert [one.path for one in client.list_artifacts(parent_id)] == ["report.html"]
    assert len(client.get_metric_history(parent_id, "best/objective")) == 5
    assert capfd.readouterr().out == ""
    page = f"{server.uri}/#/experiments/{parent.info.experiment_id}/runs/{parent_id}"
    assert mirror.url(NAME) == f"{page}?workflowType=machine_learning"


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")
def test_the_saved_views_of_a_finished_study_open_and_draw(
    server: Server, store: Store, study_id: int, tmp_path: Path
) -> None:
    queue(store, study_id, 4)
    queue(store, study_id, 4, Phase.CONFIRM, first_seed=50)
    for score in (0.5, 0.4, 0.3, 0.35, 0.61, 0.41, 0.6, 0.4):
        complete(store, score)
    conclude(store, study_id)
    Mirror(server.uri, store).sync(NAME, final=True)
    client, parent_id, _ = shown(server, store)
    note = client.get_run(parent_id).data.tags[NOTE]
    links = dict(re.findall(r"\[(Who won|By family)\]\((#/[^)]+)\)", note))
    with browser_page() as page:
        page.call("Emulation.setDeviceMetricsOverride", width=1900, height=1400, deviceScaleFactor=1, mobile=False)
        for title, groups in (("Who won", ["constant; base LR 0.02", "linear warm-up 10 %, cosine to 0; base LR 0.1"]),
                              ("By family", ["constant", "cosine"])):  # fmt: skip
            page.visit(f"{server.uri}/{links[title]}")
            text = drawn(page, "objective", *groups)
            assert f"{NAME}: {title.lower()}" in text
            assert "4 matching runs" in text
            page.picture(tmp_path / "view.png")


def drawn(page: Page, *words: str) -> str:
    """The text of the page once a chart is drawn and all of these stand there."""
    for _ in range(150):
        text = str(page.evaluate("document.body ? document.body.innerText : ''"))
        bars = page.evaluate("document.querySelectorAll('.barlayer .bars .point').length")
        if bars and all(one in text for one in words):
            return text
        time.sleep(0.2)
    raise AssertionError(text[-3000:])


def test_an_outage_loses_nothing_and_doubles_nothing(server: Server, store: Store, study_id: int) -> None:
    queue(store, study_id, 4)
    complete(store, 0.5)
    Mirror(server.uri, store).sync(NAME)
    server.stop()
    try:
        for score in (0.4, 0.3, 0.2):
            complete(store, score)
        started = time.monotonic()
        with pytest.raises(TrackingError, match="MLflow at http://127"):
            Mirror(server.uri, store).sync(NAME)
        assert time.monotonic() - started < PATIENCE_S
        assert len(store.unmirrored(study_id, 10)) == 3
    finally:
        server.start()
    assert Mirror(server.uri, store).sync(NAME, final=True).runs_mirrored == 3
    client, _, children = shown(server, store)
    assert children == {str(run.id): "FINISHED" for run in store.runs(study_id)}
    for run in store.runs(study_id):
        assert run.mlflow_run_id is not None
        steps = [point.step for point in client.get_metric_history(run.mlflow_run_id, "train/loss")]
        assert len(steps) == len(set(steps)) == 20


def test_the_server_is_asked_what_the_workers_will_ask(server: Server) -> None:
    assert ping(server.uri) == f"{server.uri}: the server answers"


def test_credentials_never_show() -> None:
    with pytest.raises(TrackingError) as caught:
        ping(f"http://me:s3cr3t-MARK@127.0.0.1:{free_port()}")
    assert "s3cr3t-MARK" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert "127.0.0.1" in str(caught.value)


def test_a_server_that_never_answers_is_given_up_soon(store: Store) -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(16)
        started = time.monotonic()
        with pytest.raises(TrackingError):
            Mirror(f"http://127.0.0.1:{deaf.getsockname()[1]}", store).sync(NAME)
        assert time.monotonic() - started < PATIENCE_S


class Broken(BaseHTTPRequestHandler):
    """Answers 500 to everything."""

    def do_GET(self) -> None:
        self.send_error(500, "out of order")

    do_POST = do_GET

    def log_message(self, *arguments: object) -> None:
        """Not a word."""


def test_a_broken_server_is_an_error_of_one_sentence(store: Store) -> None:
    broken = HTTPServer(("127.0.0.1", 0), Broken)
    thread = threading.Thread(target=broken.serve_forever, daemon=True)
    thread.start()
    try:
        started = time.monotonic()
        with pytest.raises(TrackingError) as caught:
            Mirror(f"http://127.0.0.1:{broken.server_port}", store).sync(NAME)
        assert time.monotonic() - started < PATIENCE_S
        assert "\n" not in str(caught.value)
    finally:
        broken.shutdown()
        thread.join()
        broken.server_close()
