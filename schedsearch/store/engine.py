"""Engines: how each database is spoken to so that claims are exact and nothing waits for ever."""

from __future__ import annotations

import os
import socket
import sqlite3
import time
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.expression import FunctionElement
from sqlalchemy.types import Double

from schedsearch.errors import InvalidInput, StoreError
from schedsearch.privacy import make_folder

BUSY_TIMEOUT_S = 60
CONNECT_TIMEOUT_S = 10
ANSWER_TIMEOUT_S = 90  # MySQL's client waits no longer for one answer
STATEMENT_TIMEOUT_MS = 60_000
LOCK_TIMEOUT_MS = 30_000
LONGEST_SESSION_NAME = 63  # bytes; PostgreSQL cuts what is longer, with a notice
DRIVERS = {"sqlite": "sqlite", "postgresql": "postgresql+psycopg", "mysql": "mysql+pymysql", "mariadb": "mysql+pymysql"}
OLDEST = {"postgresql": (9, 5), "mysql": (8, 0, 1), "mariadb": (10, 6)}
# UTC, because a local hour that comes twice a year would be two moments; strict, because nothing is cut silently.
MYSQL_SESSION = (
    f"set session time_zone = '+00:00', innodb_lock_wait_timeout = {LOCK_TIMEOUT_MS // 1000}, "
    "sql_mode = concat(@@sql_mode, ',STRICT_ALL_TABLES')"
)
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
        sentence = "`storage` must be a database URL such as sqlite:///study.db, but cannot be read."
        raise InvalidInput(sentence) from error
    if parsed.get_backend_name() not in DRIVERS:
        kinds = ", ".join(DRIVERS)
        raise InvalidInput(f"`storage` must be a URL of {kinds}, but is of {parsed.get_backend_name()!r} instead.")
    return _with_driver(parsed)


def _with_driver(url: URL) -> URL:
    backend, _, driver = url.drivername.partition("+")
    if driver and backend != "mariadb":
        return url
    return url.set(drivername=f"mysql+{driver}" if driver else DRIVERS[backend])


def redact(url: str) -> str:
    """The URL without its password, wherever in the URL that stands."""
    try:
        return without_password(make_url(url))
    except ArgumentError:
        return "(a URL that cannot be read)"


def without_password(url: URL) -> str:
    """The URL as it may be shown."""
    return url.difference_update_query(_secret_keys(url)).render_as_string(hide_password=True)


def passwords_of(url: URL) -> list[str]:
    """Whatever in the URL must never be shown."""
    found = [url.password, *(url.query[key] for key in _secret_keys(url))]
    return [str(one) for one in found if one]


def _secret_keys(url: URL) -> list[str]:
    return [key for key in url.query if "passw" in key.lower()]


def make_engine(url: str) -> Engine:
    """An engine for the store. Raises InvalidInput or StoreError with one sentence; a password is never shown."""
    parsed = parse_url(url)
    backend = parsed.get_backend_name()
    if backend == "sqlite":
        _prepare_file(parsed)
    try:
        engine = create_engine(parsed, pool_pre_ping=backend != "sqlite", **connection_arguments(parsed))
    except (NoSuchModuleError, ModuleNotFoundError) as error:
        extra = EXTRAS.get(backend, "")
        raise StoreError(f"The driver for {parsed.drivername} is not installed; pip install '{extra}'.") from error
    tune_engine(engine)
    return engine


def session_arguments(url: str) -> dict[str, Any]:
    """`connect_args` of `create_engine` for another library's connections to the store: with the limits of our own."""
    found: dict[str, Any] = connection_arguments(parse_url(url))["connect_args"]
    return found


def connection_arguments(url: URL) -> dict[str, Any]:
    """How each database is connected to: nothing waits for ever, and the server's list of sessions names us."""
    backend = url.get_backend_name()
    if backend == "sqlite":
        return {"connect_args": {"timeout": BUSY_TIMEOUT_S, "check_same_thread": False}}
    if backend == "postgresql":
        limits = (
            f"-c statement_timeout={STATEMENT_TIMEOUT_MS} -c lock_timeout={LOCK_TIMEOUT_MS} "
            f"-c idle_in_transaction_session_timeout={STATEMENT_TIMEOUT_MS} {url.query.get('options', '')}"
        )
        return {
            "connect_args": {
                "connect_timeout": CONNECT_TIMEOUT_S,
                "options": limits,
                "application_name": f"schedsearch/{socket.gethostname()}-{os.getpid()}"[:LONGEST_SESSION_NAME],
                "keepalives_idle": 10,
                "keepalives_interval": 5,
                "keepalives_count": 3,
                "tcp_user_timeout": 30_000,
                "prepare_threshold": None,  # what is prepared belongs to a session, which a pooler lends to the next
            },
            "isolation_level": "READ COMMITTED",
        }
    return {
        "connect_args": {
            "connect_timeout": CONNECT_TIMEOUT_S,
            "read_timeout": ANSWER_TIMEOUT_S,
            "write_timeout": ANSWER_TIMEOUT_S,
            "init_command": MYSQL_SESSION,
        },
        "isolation_level": "READ COMMITTED",
    }


def require_skip_locked(engine: Engine) -> None:
    """Connect once, and refuse a server too old for claims that do not wait for each other. Raises StoreError."""
    with engine.connect():
        found = engine.dialect.server_version_info or ()
    kind = "mariadb" if getattr(engine.dialect, "is_mariadb", False) else engine.dialect.name
    least = OLDEST.get(kind, ())
    if found[: len(least)] < least:
        wanted, has = (".".join(map(str, version)) for version in (least, found))
        raise StoreError(f"The store needs {kind} {wanted} or newer (for SKIP LOCKED), but the server is {has}.")


def _prepare_file(url: URL) -> None:
    if url.database in (None, "", ":memory:"):
        raise InvalidInput("`storage` must name an SQLite file: an in-memory database cannot be shared by workers.")
    path = Path(str(url.database))
    try:
        make_folder(path.parent)
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
        for pragma in (f"busy_timeout={BUSY_TIMEOUT_S}000", "synchronous=NORMAL", "foreign_keys=ON"):
            cursor.execute(f"PRAGMA {pragma}")
        _write_ahead(cursor)
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Any) -> None:
        mode = connection.get_execution_options().get("sqlite_begin", "IMMEDIATE")
        connection.exec_driver_sql(f"BEGIN {mode}")


def _write_ahead(cursor: Any) -> None:
    """Switch the file to its write-ahead log, once. SQLite does not wait by itself where several switch at a time."""
    deadline = time.monotonic() + BUSY_TIMEOUT_S
    while cursor.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
