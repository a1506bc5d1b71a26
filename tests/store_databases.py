"""Fresh databases of every kind for the tests of the store: an SQLite file, and databases on real servers."""

import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import NullPool, create_engine, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import OperationalError

from schedsearch.store import tune_engine

KINDS = ("SQLite", "PostgreSQL", "MariaDB")
SERVERS = {
    "PostgreSQL": (
        "SCHEDSEARCH_TEST_POSTGRESQL_URL",
        os.environ.get("SCHEDSEARCH_TEST_POSTGRESQL_URL", "postgresql+psycopg://postgres@127.0.0.1:5432/postgres"),
    ),
    "MariaDB": (
        "SCHEDSEARCH_TEST_MYSQL_URL",
        os.environ.get("SCHEDSEARCH_TEST_MYSQL_URL", "mysql+pymysql://root@127.0.0.1:3306/"),
    ),
}


def administer(kind: str, *statements: str, database: str | None = None) -> list[Sequence[Any]]:
    """Run statements on the server as its administrator; the rows of the last one, if it has any."""
    url = make_url(SERVERS[kind][1])
    engine = create_engine(
        url if database is None else url.set(database=database), poolclass=NullPool, isolation_level="AUTOCOMMIT"
    )
    rows: list[Sequence[Any]] = []
    with engine.connect() as connection:
        for statement in statements:
            result = connection.exec_driver_sql(statement.replace("%", "%%"))
            rows = [tuple(row) for row in result] if result.returns_rows else []
    engine.dispose()
    return rows


@cache
def why_absent(kind: str) -> str | None:
    """Why the server of this kind cannot be used; None when it answers."""
    variable, url = SERVERS[kind]
    try:
        administer(kind, "select 1")
    except OperationalError as error:
        shown = make_url(url).render_as_string(hide_password=True)
        return f"no {kind} answers at {shown} (set {variable}): {str(error.orig).splitlines()[0]}"
    return None


def require(kind: str) -> None:
    """Skip the test, and say why, where no server of this kind answers."""
    reason = None if kind == "SQLite" else why_absent(kind)
    if reason is not None:
        pytest.skip(reason)


@contextmanager
def fresh_database(kind: str, folder: Path) -> Iterator[str]:
    """The URL of an empty database of this kind; afterwards it is gone."""
    require(kind)
    if kind == "SQLite":
        yield f"sqlite:///{folder / f'{secrets.token_hex(4)}.db'}"
        return
    name = f"schedsearch_test_{secrets.token_hex(6)}"
    administer(kind, f"create database {name}")
    try:
        yield with_database(kind, name).render_as_string(hide_password=False)
    finally:
        administer(kind, f"drop database {name}" + (" with (force)" if kind == "PostgreSQL" else ""))


def with_database(kind: str, name: str) -> URL:
    return make_url(SERVERS[kind][1]).set(database=name)


def query(url: str, statement: str) -> list[dict[str, Any]]:
    """The rows of one statement, by column name, over a connection of the driver's own kind."""
    engine = create_engine(url, poolclass=NullPool)
    tune_engine(engine)
    with engine.begin() as connection:
        result = connection.execute(text(statement))
        rows = [dict(row._mapping) for row in result] if result.returns_rows else []
    engine.dispose()
    return rows
