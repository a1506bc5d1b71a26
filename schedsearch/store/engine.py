"""Engines: how each database is spoken to so that claims are exact and nothing waits for ever."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.expression import FunctionElement
from sqlalchemy.types import Double

from schedsearch.errors import InvalidInput, StoreError

BUSY_TIMEOUT_S = 60
STATEMENT_TIMEOUT_MS = 60_000
LOCK_TIMEOUT_MS = 30_000
DRIVERS = {"sqlite": "sqlite", "postgresql": "postgresql+psycopg", "mysql": "mysql+pymysql", "mariadb": "mysql+pymysql"}
EXTRAS = {"postgresql": "schedsearch[postgresql]", "mysql": "schedsearch[mysql]", "mariadb": "schedsearch[mysql]"}


class epoch_now(FunctionElement[float]):  # noqa: N801 - written like the SQL function that it is
    """Seconds since 1970 by the database's own clock, whatever the session's time zone."""

    type = Double()
    inherit_cache = True


@compiles(epoch_now, "sqlite")
def _epoch_sqlite(element: Any, compiler: Any, **options: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(epoch_now, "postgresql")
def _epoch_postgresql(element: Any, compiler: Any, **options: Any) -> str:
    return "cast(extract(epoch from clock_timestamp()) as double precision)"


@compiles(epoch_now, "mysql")
@compiles(epoch_now, "mariadb")
def _epoch_mysql(element: Any, compiler: Any, **options: Any) -> str:
    return "cast(unix_timestamp(sysdate(6)) as double)"


def parse_url(url: str) -> URL:
    """Raises InvalidInput when it is no database URL of a kind we speak."""
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise InvalidInput("`storage` must be a database URL such as sqlite:///study.db, but cannot be read.") from error
    if parsed.get_backend_name() not in DRIVERS:
        kinds = ", ".join(DRIVERS)
        raise InvalidInput(f"`storage` must be a URL of {kinds}, but is of {parsed.get_backend_name()!r} instead.")
    return parsed


def redact(url: str) -> str:
    """The URL without its password."""
    return make_url(url).render_as_string(hide_password=True)


def make_engine(url: str) -> Engine:
    """An engine for the store. Raises InvalidInput or StoreError with one sentence; a password is never shown."""
    parsed = parse_url(url)
    backend = parsed.get_backend_name()
    if backend == "sqlite":
        _prepare_file(parsed)
    try:
        engine = create_engine(parsed, pool_pre_ping=backend != "sqlite", **_arguments(backend))
    except (NoSuchModuleError, ModuleNotFoundError) as error:
        extra = EXTRAS.get(backend, "")
        raise StoreError(f"The driver for {parsed.drivername} is not installed; pip install '{extra}'.") from error
    tune_engine(engine)
    return engine


def _arguments(backend: str) -> dict[str, Any]:
    if backend == "sqlite":
        return {"connect_args": {"timeout": BUSY_TIMEOUT_S, "check_same_thread": False}}
    if backend == "postgresql":
        limits = (
            f"-c statement_timeout={STATEMENT_TIMEOUT_MS} -c lock_timeout={LOCK_TIMEOUT_MS} "
            "-c idle_in_transaction_session_timeout=60000"
        )
        return {"connect_args": {"connect_timeout": 10, "options": limits, "application_name": "schedsearch"}}
    return {"connect_args": {"connect_timeout": 10}, "isolation_level": "READ COMMITTED"}


def _prepare_file(url: URL) -> None:
    if url.database in (None, "", ":memory:"):
        raise InvalidInput("`storage` must name an SQLite file: an in-memory database cannot be shared by workers.")
    path = Path(str(url.database))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        raise StoreError(f"The store {path} cannot be written: {error.strerror}.") from error


def tune_engine(engine: Engine) -> None:
    """For SQLite: write-ahead log, and every transaction takes the write lock at its start, so that a read that leads
    to a write is never overtaken. Other databases need nothing here. Also for engines made by other libraries."""
    if engine.dialect.name != "sqlite":
        return

    @event.listens_for(engine, "connect")
    def connect(connection: Any, record: Any) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON", f"busy_timeout={BUSY_TIMEOUT_S}000"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Any) -> None:
        mode = connection.get_execution_options().get("sqlite_begin", "IMMEDIATE")
        connection.exec_driver_sql(f"BEGIN {mode}")
