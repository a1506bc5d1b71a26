"""The schema's version: checked by one query on every open; Alembic is imported only to change something."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection, Engine, MetaData, inspect, select, table, text
from sqlalchemy import column as sql_column
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError

from schedsearch.errors import SchemaMismatch, StoreError
from schedsearch.store.engine import epoch_now, parse_url
from schedsearch.store.records import SchemaStatus
from schedsearch.store.retries import connected, is_transient, retrying, sentence

VERSION_TABLE = "schedsearch_alembic_version"
HEAD = "0007"
LOCK_NUMBER, LOCK_NAME, LOCK_FOR_S = 7_243_392_001, "schedsearch_schema", 60
WAIT_FOR_TABLES_S = 10.0
TABLE_LOCK_MS = 1_000  # what waits for a table makes everybody behind it wait, too
TRY_FOR_S = 3.5
PACKAGE = Path(__file__).resolve().parent.parent

T = TypeVar("T")


@cache
def migrations_folder() -> Path:
    """Inside an installed package, or beside it in a checkout."""
    installed = PACKAGE / "_db"
    return installed if installed.is_dir() else PACKAGE.parent / "db"


def status(engine: Engine) -> SchemaStatus:
    """What is there and what this code expects."""
    with engine.execution_options(sqlite_begin="DEFERRED").connect() as connection:
        found = _version(connection)
    return SchemaStatus(found, HEAD, found == HEAD)


def _version(connection: Connection) -> str | None:
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    return connection.scalar(select(sql_column("version_num")).select_from(table(VERSION_TABLE)))


def ensure(engine: Engine) -> None:
    """Make the schema in an empty database; refuse any other version. Raises SchemaMismatch naming the command."""
    found = status(engine).found
    if found is None:
        migrate(engine)
        return
    _refuse_newer(found)
    if found < HEAD:  # unless somebody is making it at this moment: MySQL shows every step of that
        with engine.begin() as connection, _alone(connection):
            found = _version(connection)
    if found is not None and found < HEAD:
        raise SchemaMismatch(
            f"The store has schema {found}, this schedsearch needs {HEAD}: run `schedsearch db upgrade`."
        )


def _refuse_newer(found: str | None) -> None:
    if found is not None and found > HEAD:
        raise SchemaMismatch(
            f"The store has schema {found}, newer than this schedsearch's {HEAD}: install the newer schedsearch."
        )


def migrate(engine: Engine) -> None:
    """Bring the schema to HEAD; safe to run from several processes at once (the others wait and find it done).

    Raises StoreError, or SchemaMismatch when the schema is newer than this code.
    """
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(migrations_folder()).replace("%", "%%"))
    config.attributes["configure_logger"] = False
    try:
        with engine.begin() as connection, _alone(connection):
            found = _version(connection)
            _refuse_newer(found)
            if found != HEAD:
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
    except SQLAlchemyError as error:
        if is_transient(error):
            raise
        raise StoreError(f"The schema could not be made. {sentence(error, engine.url)}") from error


@contextmanager
def _alone(connection: Connection) -> Iterator[None]:
    """One migration at a time, which waits for a table that is in use only TABLE_LOCK_MS: so long whoever asks for the
    table next must wait. SQLite: the transaction holds the write lock already."""
    kind = connection.dialect.name
    if kind == "postgresql":
        connection.execute(text("select pg_advisory_xact_lock(:number)"), {"number": LOCK_NUMBER})
        connection.execute(text(f"set local lock_timeout = {TABLE_LOCK_MS}"))
    if kind != "mysql":
        yield
        return
    name = {"name": LOCK_NAME, "wait": LOCK_FOR_S}
    if not connection.scalar(text("select get_lock(md5(concat(database(), :name)), :wait)"), name):
        raise StoreError(f"Another process has been changing the store's schema for {LOCK_FOR_S} s; try again later.")
    waiting = connection.scalar(text("select @@lock_wait_timeout"))
    connection.execute(text(f"set session lock_wait_timeout = {TABLE_LOCK_MS // 1000}"))
    try:
        yield
    finally:
        connection.execute(text(f"set session lock_wait_timeout = {waiting}"))
        connection.execute(text("select release_lock(md5(concat(database(), :name)))"), {"name": LOCK_NAME})


def upgrade(url: str) -> None:
    """`schedsearch db upgrade`: done within seconds, or refused where the tables stay in use, naming the workers that
    hold a lease. Raises StoreError, SchemaMismatch."""
    engine = connected(url)
    try:
        retrying(lambda: migrate(engine), engine.url, for_s=TRY_FOR_S)
    except SchemaMismatch:
        raise
    except StoreError as error:
        raise StoreError(f"{error}{_whom_to_stop(engine)}") from error
    finally:
        engine.dispose()


def _whom_to_stop(engine: Engine) -> str:
    """Who trains on this store, at any version of its schema; empty where nobody does."""
    run = table("schedsearch_run", sql_column("worker_id"), sql_column("state"), sql_column("lease_expires_at"))
    held = select(run.c.worker_id).where(run.c.state == "running", run.c.lease_expires_at > epoch_now())
    try:
        with engine.execution_options(sqlite_begin="DEFERRED").connect() as connection:
            found = sorted({str(one) for one in connection.scalars(held)})
    except SQLAlchemyError:  # the first sentence says what is wrong
        return ""
    return f" Stop those who train on it and run `schedsearch db upgrade` again: {', '.join(found)}." if found else ""


def made_beside_others(make: Callable[[], T], url: str) -> T:
    """What `make()` returns. It is another library's way to make its tables where they are missing, tried again where
    several processes do that at the same moment and one finds them half made. Raises StoreError."""
    deadline = time.monotonic() + WAIT_FOR_TABLES_S
    while True:
        try:
            return make()
        except DBAPIError as error:
            met = isinstance(error, IntegrityError) or "exist" in str(error.orig) or is_transient(error)
            if not met or time.monotonic() > deadline:
                raise StoreError(sentence(error, parse_url(url))) from error
        time.sleep(random.uniform(0.05, 0.3))  # noqa: S311 - spreads the processes, guards nothing


def check(url: str) -> SchemaStatus:
    """`schedsearch db check`."""
    engine = connected(url)
    try:
        return retrying(lambda: status(engine), engine.url, for_s=WAIT_FOR_TABLES_S)
    finally:
        engine.dispose()


def model_metadata() -> MetaData:
    """The tables that the migrations must produce."""
    from schedsearch.store.tables import metadata

    return metadata
