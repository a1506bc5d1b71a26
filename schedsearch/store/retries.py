"""Which database errors pass by themselves and are retried, and the one sentence that the others become."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import Engine
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, SQLAlchemyError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from schedsearch.errors import StoreError, StoreFull
from schedsearch.store.engine import make_engine, parse_url, passwords_of, require_skip_locked, without_password

RETRY_FOR_S = 180.0
FIRST_WAIT_S = 0.05
LONGEST_WAIT_S = 5.0
# Lost connections, deadlocks, lock and idle time-outs, servers that start, stop or are full: PostgreSQL's SQLSTATEs ...
SQLSTATE_CLASSES = ("08", "40")
SQLSTATES = ("53300", "55P03", "57P01", "57P02", "57P03", "25P03")
# ... and the numbers of MySQL and MariaDB.
NUMBERS = (1040, 1053, 1205, 1213, 1927, 2002, 2003, 2006, 2013)
SQLITE_WORDS = ("database is locked", "database table is locked", "database schema is locked")
FULL_SQLSTATE, FULL_NUMBERS, FULL_SQLITE_WORDS = "53100", (1021, 1114), "database or disk is full"

T = TypeVar("T")


def retrying(action: Callable[[], T], url: URL, for_s: float = RETRY_FOR_S) -> T:
    """What `action` returns; it is one whole transaction that may be repeated. A transient error is retried with
    growing waits for `for_s` seconds in all. Raises StoreError with one sentence instead of SQLAlchemy's errors:
    StoreFull at once where the disk is full, which takes a person to mend."""
    deadline = time.monotonic() + for_s
    wait_s = FIRST_WAIT_S
    while True:
        try:
            return action()
        except SQLAlchemyError as error:
            if not is_transient(error) or time.monotonic() + wait_s > deadline:
                raise (StoreFull if is_full(error) else StoreError)(sentence(error, url)) from error
        time.sleep(wait_s * random.uniform(0.5, 1.0))  # noqa: S311 - spreads the workers, guards nothing
        wait_s = min(2 * wait_s, LONGEST_WAIT_S)


def patiently(action: Callable[[], T], url: str) -> T:
    """`retrying` for another library's transactions in the database at `url`."""
    return retrying(action, parse_url(url))


def connected(url: str) -> Engine:
    """An engine whose database has answered once. Nothing is retried: a wrong address or password is told at once.

    Raises InvalidInput (no URL of a known kind) or StoreError.
    """
    engine = make_engine(url)
    try:
        retrying(lambda: require_skip_locked(engine), engine.url, for_s=0.0)
    except BaseException:
        engine.dispose()
        raise
    return engine


def is_transient(error: SQLAlchemyError) -> bool:
    """Whether the same transaction may work a moment later."""
    if isinstance(error, PoolTimeout):
        return True
    if not isinstance(error, DBAPIError) or error.orig is None:
        return False
    return error.connection_invalidated or _passes(error.orig)


def is_full(error: SQLAlchemyError) -> bool:
    """Whether the disk under the database has no space left."""
    cause = error.orig if isinstance(error, DBAPIError) else None
    if cause is None:
        return False
    number = cause.args[0] if cause.args else None
    by_code = getattr(cause, "sqlstate", None) == FULL_SQLSTATE or number in FULL_NUMBERS
    return by_code or str(cause).startswith(FULL_SQLITE_WORDS)


def _passes(error: BaseException) -> bool:
    state = getattr(error, "sqlstate", None)
    if state is not None:
        return str(state).startswith(SQLSTATE_CLASSES) or state in SQLSTATES
    if type(error).__module__.startswith("psycopg"):
        return type(error).__name__ == "OperationalError"  # libpq gives no SQLSTATE where it could not connect
    number = error.args[0] if error.args else None
    return number in NUMBERS or str(error).startswith(SQLITE_WORDS)


def sentence(error: SQLAlchemyError, url: URL) -> str:
    """One sentence without SQL, without values, without the password."""
    reason = _reason(error)
    for password in passwords_of(url):
        reason = reason.replace(password, "***")
    return f"The store {without_password(url)} failed: {reason}."


def _reason(error: SQLAlchemyError) -> str:
    cause: Any = error.orig if isinstance(error, StatementError) and error.orig is not None else error
    arguments: tuple[Any, ...] = getattr(cause, "args", ())
    text = str(arguments[1]) if len(arguments) > 1 and isinstance(arguments[0], int) else str(cause)
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    return (lines[0] if lines else type(cause).__name__).rstrip(".")
