"""Addresses of databases, and how SQLite is set up."""

from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

from schedsearch.store.engine import make_engine, parse_url, tune_engine


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("sqlite:///a.db", "sqlite"),
        ("postgresql://host/db", "postgresql+psycopg"),
        ("postgresql+psycopg2://host/db", "postgresql+psycopg2"),
        ("mysql://host/db", "mysql+pymysql"),
        ("mysql+mysqldb://host/db", "mysql+mysqldb"),
        ("mariadb://host/db", "mysql+pymysql"),
        ("mariadb+pymysql://host/db", "mysql+pymysql"),
    ],
)
def test_every_address_names_a_driver(given: str, used: str) -> None:
    assert parse_url(given).drivername == used


def pragmas(url: str, tuned: bool) -> list[object]:
    engine = make_engine(url) if tuned else create_engine(url)
    with engine.connect() as connection:
        names = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        found = [connection.scalar(text(f"pragma {name}")) for name in names]
    engine.dispose()
    return found


def test_sqlite_logs_ahead_checks_references_and_waits(tmp_path: Path) -> None:
    assert pragmas(f"sqlite:///{tmp_path}/study.db", tuned=True) == ["wal", 1, 1, 60_000]


def test_engines_of_other_libraries_are_tuned_too(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path}/study.db")
    tune_engine(engine)
    with engine.connect() as connection:
        assert connection.scalar(text("pragma journal_mode")) == "wal"
    engine.dispose()


@pytest.mark.parametrize(("mode", "blocks"), [(None, True), ("DEFERRED", False)])
def test_a_transaction_takes_the_write_lock_unless_it_only_reads(
    tmp_path: Path, mode: str | None, blocks: bool
) -> None:
    engine = make_engine(f"sqlite:///{tmp_path}/study.db")
    impatient = create_engine(
        f"sqlite:///{tmp_path}/study.db", connect_args={"timeout": 0}, isolation_level="AUTOCOMMIT"
    )
    options = {} if mode is None else {"sqlite_begin": mode}
    with engine.execution_options(**options).begin() as first, impatient.connect() as second:
        first.execute(text("select 1"))
        refused = False
        try:
            second.execute(text("create table t (id integer)"))
        except OperationalError as error:
            refused = "locked" in str(error)
    assert refused is blocks
    engine.dispose()
    impatient.dispose()
