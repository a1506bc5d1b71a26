"""A disk without space, and one that may only be read: told in a sentence, nothing spoilt, and it goes on after it."""

import logging
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from full_disk import Disk, mounted
from sqlalchemy.engine import make_url
from store_cases import completed, make_study, queue_runs, row, take
from store_databases import administer, fresh_database

from schedsearch.errors import StoreError
from schedsearch.store import RunState, Store, StudyState
from schedsearch.training.checkpoints import Checkpoints
from schedsearch.training.places import Folder
from schedsearch.workers.heartbeat import Heartbeat

LEASE_S = 0.6


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with mounted(tmp_path / "disk") as made:
        yield made


def whole(path: Path) -> bool:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("pragma integrity_check").fetchall() == [("ok",)]


def test_a_full_disk_under_the_store_loses_nothing_and_the_run_ends(
    disk: Disk, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    path = disk.path / "store.db"
    with Store.open(f"sqlite:///{path}") as store:
        study_id = make_study(store).id
        queue_runs(store, study_id, 1)
        claim = take(store)
        store.write_measurements(claim, [row(0)])
        with Heartbeat(store, claim, LEASE_S) as heartbeat:
            disk.fill()
            heartbeat.record(0, [row(update) for update in range(1, 400)])
            deadline = time.monotonic() + 30
            while "disk is full" not in caplog.text:
                assert time.monotonic() < deadline
                time.sleep(0.05)
            assert not heartbeat.lost.is_set()
            with pytest.raises(StoreError, match=r"^The store .* failed: database or disk is full\.$"):
                store.finish(claim, completed(), [row(update) for update in range(400, 800)])
            assert store.measurements(claim.run_id) == [row(0)]  # reading goes on
            disk.free()
            while len(store.measurements(claim.run_id)) < 400:
                assert time.monotonic() < deadline
                time.sleep(0.05)
        store.finish(claim, completed(), heartbeat.take(0))
        (run,) = store.runs(study_id)
        assert (run.state, run.attempt) == (RunState.COMPLETED, 1)
        assert store.measurements(claim.run_id) == [row(update) for update in range(400)]
    assert whole(path)


def test_a_command_on_a_full_disk_is_one_sentence_and_works_once_there_is_space(disk: Disk) -> None:
    path = disk.path / "store.db"
    with Store.open(f"sqlite:///{path}") as store:
        make_study(store)
    disk.fill()
    stop = [sys.executable, "-m", "schedsearch", "stop", "a-study", "--storage", f"sqlite:///{path}"]
    said = subprocess.run(stop, capture_output=True, text=True, check=False)
    assert (said.returncode, said.stdout) == (1, "")
    assert "disk" in said.stderr
    assert len(said.stderr.splitlines()) == 1
    disk.free()
    assert subprocess.run(stop, capture_output=True, text=True, check=False).returncode == 0
    with Store.open(f"sqlite:///{path}") as store:
        assert store.study("a-study").state is StudyState.STOPPED
    assert whole(path)


def test_an_sqlite_file_that_may_only_be_read_is_named(disk: Disk) -> None:
    path = disk.path / "store.db"
    Store.open(f"sqlite:///{path}").close()
    disk.forbid_writing()
    with pytest.raises(StoreError, match=r"^The store .*store\.db cannot be written: Read-only file system\.$"):
        Store.open(f"sqlite:///{path}")


@pytest.mark.xdist_group("store-PostgreSQL")
def test_a_database_that_may_only_be_read_is_named_and_read(tmp_path: Path) -> None:
    """As a standby is, or a server that was told so because its disk runs full."""
    with fresh_database("PostgreSQL", tmp_path) as url:
        with Store.open(url) as store:
            queue_runs(store, make_study(store).id, 1)
        administer("PostgreSQL", f"alter database {make_url(url).database} set default_transaction_read_only = on")
        with Store.open(url) as store:
            assert store.study("a-study").name == "a-study"
            started = time.monotonic()
            with pytest.raises(StoreError, match=r" failed: cannot execute .* in a read-only transaction\.$"):
                take(store)
            assert time.monotonic() - started < 10
        administer("PostgreSQL", f"alter database {make_url(url).database} reset default_transaction_read_only")
        with Store.open(url) as store:
            assert take(store).attempt == 1


def test_a_full_disk_under_checkpoints_keeps_the_old_ones(disk: Disk, caplog: pytest.LogCaptureFixture) -> None:
    folder = disk.path / "checkpoints"
    kept = Checkpoints(Folder(folder), "k" * 32, 1, 60.0)
    large = os.urandom(600_000).hex()[:600_000]
    assert kept.save({"value": large, "updates": 10}, 10)
    before = sorted(folder.iterdir())
    disk.fill()
    assert not kept.save({"value": large, "updates": 20}, 20)
    assert "no checkpoint after 20 updates, training goes on: [Errno 28] No space left on device" in caplog.text
    assert sorted(folder.iterdir()) == before
    assert (kept.newest() or {})["updates"] == 10
    disk.free()
    assert kept.save({"value": large, "updates": 30}, 30)
    assert (kept.newest() or {})["updates"] == 30
