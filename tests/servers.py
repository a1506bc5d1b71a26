"""Servers of the tests' own: a PostgreSQL cluster and a `mlflow server` that may be stopped and started at will."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

SMALL = {
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
CLUSTER_USER = "postgres"  # PostgreSQL refuses to run as root


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class MlflowServer:
    """A real `mlflow server` of one worker that can be stopped and started again at its port, with its data."""

    def __init__(self, folder: Path, *options: str) -> None:
        self._options = options
        self.folder = folder
        self.port = free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [
            sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port),
            "--workers", "1", "--backend-store-uri", f"sqlite:///{self.folder / 'mlflow.db'}",
            "--artifacts-destination", str(self.folder / "artifacts"), *self._options,
        ]  # fmt: skip
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                command, cwd=self.folder, env={**os.environ, **SMALL}, stdout=log, stderr=log, start_new_session=True
            )
        self._wait()

    def _wait(self) -> None:
        for _ in range(600):
            try:
                with urllib.request.urlopen(f"{self.uri}/health", timeout=2):
                    return
            except OSError:
                time.sleep(0.2)
        raise AssertionError((self.folder / "server.log").read_text()[-2000:])

    def stop(self) -> None:
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None


def postgresql_programs() -> Path | None:
    """The folder of initdb and pg_ctl; None where there is no PostgreSQL server to start."""
    known = [Path(found).parent for found in [shutil.which("pg_ctl")] if found]
    known += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((one for one in known if (one / "initdb").exists()), None)


class PostgresServer:
    """A PostgreSQL cluster of its own that can be stopped without warning and started again; a context manager.

    connections: the most that it takes.
    """

    def __init__(self, connections: int = 200) -> None:
        programs = postgresql_programs()
        assert programs is not None
        self._programs = programs
        self._connections = connections
        self._folder = Path(tempfile.mkdtemp(prefix="schedsearch-postgresql-"))
        if os.geteuid() == 0:
            shutil.chown(self._folder, CLUSTER_USER)
        self.port = free_port()
        self.url = f"postgresql+psycopg://{CLUSTER_USER}@127.0.0.1:{self.port}/postgres"

    def __enter__(self) -> "PostgresServer":
        self._run("initdb", "--auth", "trust", "--username", CLUSTER_USER, "--no-sync", "--encoding", "UTF8")
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()
        shutil.rmtree(self._folder)

    def start(self) -> None:
        options = (
            f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' "
            f"-c max_connections={self._connections}"
        )
        self._run("pg_ctl", "--wait", "--log", str(self._folder / "server.log"), "--options", options, "start")

    @property
    def process_id(self) -> int:
        """Of the server's first process, whose children serve one connection each."""
        return int((self._folder / "data" / "postmaster.pid").read_text().split()[0])

    def stop(self) -> None:
        """As a power cut would: nothing is finished, nobody is told."""
        self._run("pg_ctl", "--wait", "--mode", "immediate", "stop")

    def _run(self, program: str, *arguments: str) -> None:
        as_user = ["runuser", "-u", CLUSTER_USER, "--"] if os.geteuid() == 0 else []
        command = [*as_user, str(self._programs / program), "--pgdata", str(self._folder / "data"), *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=self._folder)
