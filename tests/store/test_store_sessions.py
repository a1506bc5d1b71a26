"""Every session on a server is named, and the server ends what holds others up: ours, and Optuna's beside them."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text
from store_databases import administer, fresh_database

from schedsearch.search.history import _storage
from schedsearch.store.engine import make_engine

ON = {kind: pytest.mark.xdist_group(f"store-{kind}") for kind in ("PostgreSQL", "MariaDB")}


def engine_of(owner: str, url: str) -> Engine:
    return make_engine(url) if owner == "ours" else _storage(url).engine


@pytest.fixture(params=["ours", "Optuna's"])
def owner(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def postgresql(tmp_path: Path) -> Iterator[str]:
    with fresh_database("PostgreSQL", tmp_path) as url:
        yield url


def settings(engine: Engine, names: tuple[str, ...], show: str) -> dict[str, Any]:
    with engine.connect() as connection:
        found = {name: connection.scalar(text(show.format(name))) for name in names}
    engine.dispose()
    return found


@pytest.mark.xdist_group("store-PostgreSQL")
def test_postgresql_bounds_statements_locks_and_idle_transactions(postgresql: str, owner: str) -> None:
    names = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "application_name")
    found = settings(engine_of(owner, postgresql), names, "show {}")
    assert found.pop("application_name").endswith(f"-{os.getpid()}")
    assert found == {
        "statement_timeout": "1min",
        "lock_timeout": "30s",
        "idle_in_transaction_session_timeout": "1min",
    }


@pytest.mark.xdist_group("store-PostgreSQL")
def test_the_servers_list_of_sessions_names_the_process(postgresql: str, owner: str) -> None:
    engine = engine_of(owner, postgresql)
    with engine.connect() as connection:
        (name,) = connection.execute(text("select current_database()")).one()
        there = f"pg_stat_activity where datname = '{name}' and pid <> pg_backend_pid()"
        sessions = administer("PostgreSQL", f"select application_name from {there}")
    engine.dispose()
    assert sessions
    assert all(one.startswith("schedsearch/") and one.endswith(f"-{os.getpid()}") for (one,) in sessions)


@pytest.mark.xdist_group("store-PostgreSQL")
def test_nothing_is_prepared_so_that_a_pooler_may_lend_the_session_on(postgresql: str, owner: str) -> None:
    engine = engine_of(owner, postgresql)
    with engine.connect() as connection:
        for number in range(10):
            connection.execute(text("select :number + 1"), {"number": number})
        prepared = connection.scalar(text("select count(*) from pg_prepared_statements"))
    engine.dispose()
    assert prepared == 0


@pytest.mark.xdist_group("store-PostgreSQL")
def test_a_user_may_add_options_of_their_own(postgresql: str) -> None:
    engine = make_engine(f"{postgresql}?options=-c%20work_mem%3D8MB")
    assert settings(engine, ("work_mem", "lock_timeout"), "show {}") == {"work_mem": "8MB", "lock_timeout": "30s"}


@pytest.mark.xdist_group("store-MariaDB")
def test_mariadb_bounds_locks_and_keeps_utc(tmp_path: Path, owner: str) -> None:
    with fresh_database("MariaDB", tmp_path) as url:
        names = ("innodb_lock_wait_timeout", "time_zone", "sql_mode")
        found = settings(engine_of(owner, url), names, "select @@{}")
    assert "STRICT_ALL_TABLES" in found.pop("sql_mode")
    assert found == {"innodb_lock_wait_timeout": 30, "time_zone": "+00:00"}
