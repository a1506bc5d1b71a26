"""A whole study while everything that can go wrong does: nothing is lost, nothing doubled, nothing left behind."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from chaos import whole_study
from servers import MlflowServer, postgresql_programs

pytestmark = [
    pytest.mark.skipif(postgresql_programs() is None, reason="no PostgreSQL programs (initdb, pg_ctl) on this machine"),
    pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning"),  # of MLflow's own queries
]


@pytest.fixture
def mlflow(tmp_path: Path) -> Iterator[MlflowServer]:
    (tmp_path / "mlflow").mkdir()
    server = MlflowServer(tmp_path / "mlflow")
    server.start()
    yield server
    server.stop()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_study_under_fire_loses_and_doubles_nothing(tmp_path: Path, mlflow: MlflowServer) -> None:
    seconds, runs, done, faults = whole_study(
        tmp_path,
        workers=3,
        trials=8,
        seed=20,
        every_s=8.0,
        deadline_s=500,
        mlflow_uri=mlflow.uri,
        lease_s=12.0,
        restart_every=2,
    )
    print(f"{runs} runs in {seconds:.0f} s: {done}")  # noqa: T201 - for `pytest -rP`
    assert faults == []
    assert done.freezes == 1
    assert done.database_restarts >= 1
    assert done.kills + done.terminations >= 1
    assert done.mlflow_outage_s > 0
