"""Which errors of a database are tried again, and what the others are told as; with real errors of real databases."""

import socket
import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from schedsearch.errors import StoreError
from schedsearch.store.retries import connected, is_transient, retrying, sentence


@pytest.fixture
def impatient(tmp_path: Path) -> Engine:
    """An SQLite database that does not wait for locks."""
    return create_engine(f"sqlite:///{tmp_path}/study.db", connect_args={"timeout": 0})


def error_of(engine: Engine, statement: str) -> SQLAlchemyError:
    with pytest.raises(SQLAlchemyError) as caught, engine.begin() as connection:
        connection.execute(text(statement))
    engine.dispose()
    return caught.value


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_a_lock_is_waited_for(impatient: Engine, tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "study.db", isolation_level=None)
    other.execute("create table t (id integer)")
    other.execute("begin immediate")
    tries = 0

    def insert() -> int:
        nonlocal tries
        tries += 1
        if tries == 3:
            other.execute("commit")
        with impatient.begin() as connection:
            return connection.execute(text("insert into t values (1)")).rowcount

    assert retrying(insert, impatient.url) == 1
    assert tries == 3
    other.close()
    impatient.dispose()


def test_waiting_ends(impatient: Engine, tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "study.db", isolation_level=None)
    other.execute("create table t (id integer)")
    other.execute("begin exclusive")
    with pytest.raises(StoreError, match=r"^The store sqlite:///.*study\.db failed: database is locked\.$"):
        retrying(lambda: error_of_begin(impatient), impatient.url, for_s=0.2)
    other.close()
    impatient.dispose()


def error_of_begin(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("select * from t"))


def test_a_mistake_is_not_tried_again(impatient: Engine) -> None:
    tries = []

    def wrong() -> None:
        tries.append(1)
        error_of_begin(impatient)

    with pytest.raises(StoreError, match="no such table: t"):
        retrying(wrong, impatient.url)
    assert len(tries) == 1
    impatient.dispose()


def test_errors_that_are_not_the_databases_pass_through(impatient: Engine) -> None:
    with pytest.raises(ZeroDivisionError):
        retrying(lambda: 1 // 0, impatient.url)


@pytest.mark.parametrize("driver", ["postgresql+psycopg", "mysql+pymysql"])
def test_a_server_out_of_reach_may_come_back(driver: str) -> None:
    engine = create_engine(f"{driver}://me:s3cr3t@127.0.0.1:{closed_port()}/db")
    error = error_of(engine, "select 1")
    assert is_transient(error)
    told = sentence(error, engine.url)
    assert told.startswith(f"The store {driver}://me:***@127.0.0.1:")
    assert "refused" in told
    assert "s3cr3t" not in told
    assert "\n" not in told


@pytest.mark.parametrize("url", ["postgresql://me:s3cr3t@127.0.0.1", "mysql://me:s3cr3t@127.0.0.1"])
def test_the_first_contact_is_not_tried_again(url: str) -> None:
    with pytest.raises(StoreError, match="refused"):
        connected(f"{url}:{closed_port()}/db")


def test_a_password_in_the_servers_answer_is_struck_out(impatient: Engine) -> None:
    error = error_of(impatient, "select * from s3cr3t")
    url = make_url("postgresql+psycopg://me@host/db?password=s3cr3t")
    assert sentence(error, url) == "The store postgresql+psycopg://me@host/db failed: no such table: ***."
