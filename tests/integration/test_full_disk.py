"""Workers and planners whose store lies on a full disk: they say so, wait for space, and go on with what they had."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from full_disk import Disk, mounted
from test_planning import write_study
from test_standing_planner import SPACE, planning, train
from test_training_process import begun, only_run, reference, study_of, wait_for  # noqa: F401 - a fixture

from schedsearch.errors import StoreFull
from schedsearch.search.plan import Budget
from schedsearch.store import RunState, Store, StudyState
from schedsearch.workers.full_disk import once_there_is_space
from schedsearch.workers.loop import Worker, WorkerOptions
from schedsearch.workers.safety import Safety


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with mounted(tmp_path / "disk") as made:
        yield made


@pytest.fixture
def store(disk: Disk) -> Iterator[Store]:
    with Store.open(f"sqlite:///{disk.path / 'store.db'}") as opened:
        yield opened


@contextmanager
def working(store: Store) -> Iterator[threading.Thread]:
    worker = Worker(store, WorkerOptions(None, threads=1, plans_after_s=600.0, safety=Safety(lease_s=3.0)))
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        yield thread
    finally:
        worker._stopping.set()
        thread.join(30)


@pytest.mark.parametrize("is_training", [False, True], ids=["before it claims", "while it trains"])
def test_a_worker_waits_for_space_and_then_completes_the_run(
    disk: Disk,
    store: Store,
    reference: str,  # noqa: F811
    caplog: pytest.LogCaptureFixture,
    is_training: bool,
) -> None:
    study = study_of(store, reference, "slow updates")
    if not is_training:
        disk.fill()
    with caplog.at_level(logging.WARNING), working(store) as thread:
        if is_training:
            wait_for(begun(reference).exists)
            disk.fill()
        wait_for(lambda: "waiting up to 600 s for space on its disk" in caplog.text)
        assert "failed: database or disk is full." in caplog.text
        assert not only_run(store, study).state.is_finished
        disk.free()
        wait_for(lambda: only_run(store, study).state.is_finished)
        assert thread.is_alive()
    run = only_run(store, study)
    assert (run.state, run.attempt) == (RunState.COMPLETED, 1)
    assert [one.update for one in store.measurements(run.id)] == list(range(1, 40, 2))
    assert "the store has space again after " in caplog.text


def test_a_planner_waits_for_space_and_then_plans_to_the_end(
    disk: Disk,
    store: Store,
    caplog: pytest.LogCaptureFixture,
) -> None:
    study = write_study(store, "planned", Budget(trials=4), SPACE)
    disk.fill()
    with caplog.at_level(logging.WARNING), planning(store, study) as thread:
        wait_for(lambda: "for space on its disk" in caplog.text)
        disk.free()
        train(store, study, until=float("inf"))
        thread.join(30)
    assert store.study(study.name).state is StudyState.FINISHED


def test_waiting_for_space_has_an_end_and_ends_with_the_worker() -> None:
    stopping = threading.Event()
    tries = []

    def refused() -> None:
        tries.append(None)
        raise StoreFull("The store failed: database or disk is full.")

    with pytest.raises(StoreFull):
        once_there_is_space(refused, stopping, for_s=0.8)
    assert len(tries) == 2
    threading.Timer(0.2, stopping.set).start()
    with pytest.raises(StoreFull):
        once_there_is_space(refused, stopping)
    assert len(tries) == 4
