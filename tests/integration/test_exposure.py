"""A real MLflow server with the options of docker-compose.yml: who is let in by host name, and our login."""

import base64
import re
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
import yaml
from servers import MlflowServer

from schedsearch.errors import TrackingError
from schedsearch.tracking import ping

pytestmark = pytest.mark.xdist_group("mlflow-server")
COMPOSE = yaml.safe_load((Path(__file__).parents[2] / "docker-compose.yml").read_text())
HOSTS = next(one for one in COMPOSE["services"]["mlflow"]["command"] if one.startswith("--allowed-hosts="))
SECRET = "s3cr3t-MARK"  # noqa: S105 - looked for in the error


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    one = MlflowServer(tmp_path_factory.mktemp("exposed"), HOSTS)
    one.start()
    yield one
    one.stop()


def answer(server: MlflowServer, body: bytes | None = None, **headers: str) -> int:
    path = "search?max_results=1" if body is None else "create"
    url = f"{server.uri}/api/2.0/mlflow/experiments/{path}"
    given = {"Content-Type": "application/json", **headers}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data=body, headers=given), timeout=20) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_workers_are_let_in_by_the_service_name_and_strangers_are_not(server: MlflowServer) -> None:
    allowed = ("mlflow:5000", "mlflow", f"localhost:{server.port}", f"127.0.0.1:{server.port}")
    assert {host: answer(server, Host=host) for host in allowed} == dict.fromkeys(allowed, 200)
    strangers = ("evil.example", "evil.example:5000", "mlflow.evil.example", "127.0.0.1.evil.example:5000")
    assert {host: answer(server, Host=host) for host in strangers} == dict.fromkeys(strangers, 403)


def test_a_page_of_another_origin_changes_nothing(server: MlflowServer) -> None:
    assert answer(server, b'{"name": "planted"}', Origin="http://evil.example") == 403
    assert answer(server, b'{"name": "mine"}') == 200


class Guarded(BaseHTTPRequestHandler):
    """Answers 401 and keeps the login that it was shown."""

    seen: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.seen.append(self.headers.get("Authorization", ""))
        self.send_error(401, "who are you?")

    do_POST = do_GET

    def log_message(self, *arguments: object) -> None:
        """Not a word."""


def test_a_login_from_the_environment_is_sent_and_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "me")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", SECRET)
    guarded = HTTPServer(("127.0.0.1", 0), Guarded)
    thread = threading.Thread(target=guarded.serve_forever, daemon=True)
    thread.start()
    try:
        with pytest.raises(TrackingError) as told:
            ping(f"http://127.0.0.1:{guarded.server_port}")
    finally:
        guarded.shutdown()
        thread.join()
        guarded.server_close()
    assert set(Guarded.seen) == {"Basic " + base64.b64encode(f"me:{SECRET}".encode()).decode()}
    assert re.search("MLflow at http://127.0.0.1:.* failed: .*401", str(told.value))
    assert SECRET not in str(told.value)
