"""`db upgrade` beside workers that are at work: nobody waits long, and one that cannot be done says whom to stop."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import NullPool, create_engine, text
from store_cases import completed, make_study, queue_runs, row, take
from store_databases import fresh_database, query

from schedsearch.errors import StoreError
from schedsearch.store import Store, check, upgrade
from schedsearch.store.migrations import VERSION_TABLE

BEFORE = "0003"
LONGEST_WAIT_S = 2.0
WORKERS = 2
SERVERS = [pytest.param(kind, marks=pytest.mark.xdist_group(f"store-{kind}")) for kind in ("PostgreSQL", "MariaDB")]


def go_back(url: str) -> None:
    """To the schema before the newest, which workers do not notice: they read no column that came with it."""
    for view in ("leaderboard", "curves", "answers", "comparisons"):
        query(url, f"drop view schedsearch_{view}")
    for table in ("comparison", "answer"):
        query(url, f"alter table schedsearch_{table} drop column p_permutation")
    query(url, f"update {VERSION_TABLE} set version_num = '{BEFORE}'")


class BusyWorkers:
    """Threads that claim, write and finish runs without a pause, each over connections of its own. longest_s: what any
    of their calls took. answers: also read the table that the upgrade changes."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._ended = threading.Event()
        self._opened = threading.Barrier(WORKERS + 1)
        self.longest_s = 0.0
        self.faults: list[Exception] = []
        self.finished = 0
        self._threads = [threading.Thread(target=self._work, args=(number,)) for number in range(WORKERS)]

    def __enter__(self) -> "BusyWorkers":
        for one in self._threads:
            one.start()
        self._opened.wait(30)
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        for one in self._threads:
            one.join()

    def _work(self, number: int) -> None:
        with Store.open(self._url) as store:
            self._opened.wait(30)
            while not self._ended.is_set():
                started = time.monotonic()
                try:
                    claim = take(store, f"worker-{number}")
                    store.renew(claim, 60.0)
                    store.write_measurements(claim, [row(1)])
                    store.finish(claim, completed(), [row(2)])
                    store.overview(claim.study_id, "minimize")
                    query(self._url, "select count(*) from schedsearch_answer")
                except Exception as error:
                    self.faults.append(error)
                    return
                self.finished += 1
                self.longest_s = max(self.longest_s, time.monotonic() - started)


@contextmanager
def reader(url: str, table: str) -> Iterator[None]:
    """Somebody who has read a table and forgot to end the transaction."""
    engine = create_engine(url, poolclass=NullPool)
    with engine.connect() as connection:
        connection.execute(text(f"select * from {table}"))
        yield
    engine.dispose()


def test_an_upgrade_beside_busy_workers_is_done_at_once(empty: str) -> None:
    with Store.open(empty) as store:
        queue_runs(store, make_study(store).id, 3000)
    with BusyWorkers(empty) as workers:
        go_back(empty)
        started = time.monotonic()
        upgrade(empty)
        took_s = time.monotonic() - started
        done = workers.finished
        upgrade(empty)
        while workers.finished < done + WORKERS and not workers.faults:
            time.sleep(0.01)
    assert check(empty).fits
    assert workers.faults == []
    assert took_s < 5.0
    assert workers.longest_s < LONGEST_WAIT_S


@pytest.mark.parametrize("kind", SERVERS)
def test_an_upgrade_that_cannot_be_done_names_whom_to_stop_and_holds_nobody_up(kind: str, tmp_path: Path) -> None:
    with fresh_database(kind, tmp_path) as url:
        with Store.open(url) as store:
            queue_runs(store, make_study(store).id, 3000)
            held = take(store, "host-17-abcd")
        with BusyWorkers(url) as workers:
            go_back(url)
            with reader(url, "schedsearch_answer"):
                started = time.monotonic()
                with pytest.raises(StoreError) as told:
                    upgrade(url)
                assert time.monotonic() - started < 10.0
        assert workers.faults == []
        assert workers.longest_s < LONGEST_WAIT_S
        assert not check(url).fits
        said = str(told.value)
        assert " failed: " in said
        assert held.worker_id in said
        assert "run `schedsearch db upgrade` again" in said
        assert said.count("\n") == 0
        upgrade(url)
        assert check(url).fits


@pytest.mark.parametrize("kind", SERVERS)
def test_an_upgrade_that_was_killed_can_be_done_again(kind: str, tmp_path: Path) -> None:
    """Killed while it waits for the second of the tables that it changes."""
    with fresh_database(kind, tmp_path) as url:
        Store.open(url).close()
        go_back(url)
        with reader(url, "schedsearch_answer"):
            code = "import sys; from schedsearch.store import upgrade; upgrade(sys.argv[1])"
            with subprocess.Popen([sys.executable, "-c", code, url], stderr=subprocess.DEVNULL) as killed:
                wait_for_the_lock(kind, url)
                os.kill(killed.pid, signal.SIGKILL)
        assert not check(url).fits
        upgrade(url)
        assert check(url).fits
        with Store.open(url) as store:
            assert store.verdict(make_study(store).id) is None
        assert query(url, "select count(p_permutation) as n from schedsearch_answers") == [{"n": 0}]


def wait_for_the_lock(kind: str, url: str) -> None:
    """Until somebody waits for a table of this database."""
    waiting = {
        "PostgreSQL": "select count(*) as n from pg_stat_activity where datname = current_database() "
        "and wait_event_type = 'Lock' and query like 'ALTER TABLE%'",
        "MariaDB": "select count(*) as n from information_schema.processlist where db = database() "
        "and state like 'Waiting for table metadata lock%'",
    }[kind]
    deadline = time.monotonic() + 60
    while query(url, waiting) == [{"n": 0}]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
