"""What is sent again, by anybody, is written once; an id that is used again holds nothing."""

import threading
from collections.abc import Callable

import pytest
from store_cases import completed, queue_runs, row, take
from store_databases import query

from schedsearch.errors import LeaseLost
from schedsearch.store import RunState, Store
from schedsearch.workers.loop import new_worker_id

TIMES = 3


def together(*actions: Callable[[], object]) -> None:
    """Every action, three times, each in a thread of its own; raises what any of them raised."""
    faults: list[BaseException] = []
    barrier = threading.Barrier(len(actions))

    def run(action: Callable[[], object]) -> None:
        try:
            barrier.wait(30)
            for _ in range(TIMES):
                action()
        except BaseException as error:
            faults.append(error)

    threads = [threading.Thread(target=run, args=(one,)) for one in actions]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    if faults:
        raise faults[0]


def test_reports_and_results_sent_again_by_two_threads_are_one_each(store: Store, study_id: int, url: str) -> None:
    queue_runs(store, study_id, 1)
    claim = take(store)
    rows = [row(update) for update in range(50)]
    together(lambda: store.write_measurements(claim, rows), lambda: store.write_measurements(claim, rows[::-1]))
    together(lambda: store.finish(claim, completed(), [row(99)]), lambda: store.finish(claim, completed(), [row(99)]))
    assert store.measurements(claim.run_id) == [*rows, row(99)]
    with pytest.raises(LeaseLost):
        store.finish(claim, completed(0.5), [])
    (run,) = store.runs(study_id)
    assert (run.state, run.score, run.attempt) == (RunState.COMPLETED, completed().score, 1)
    assert query(url, "select count(*) as n from schedsearch_measurement") == [{"n": 51}]


def test_a_restarted_process_is_never_taken_for_the_one_before() -> None:
    ids = {new_worker_id() for _ in range(100)}  # one host, one process number
    assert len(ids) == 100
    assert len({one.rpartition("-")[0] for one in ids}) == 1


def test_a_worker_under_the_same_id_holds_nothing_of_the_one_before(store: Store, study_id: int, url: str) -> None:
    """As in containers, where host and process number come again: an attempt is a number, not a name."""
    queue_runs(store, study_id, 1)
    before = take(store, "pod-0-1")
    assert store.claim("pod-0-1", lease_s=60.0, device="cpu") is None
    query(url, "update schedsearch_run set lease_expires_at = 0")
    after = take(store, "pod-0-1")
    assert (after.run_id, after.attempt) == (before.run_id, before.attempt + 1)
    with pytest.raises(LeaseLost):
        store.renew(before, 60.0)
    with pytest.raises(LeaseLost):
        store.finish(before, completed(), [])
    store.finish(after, completed(), [])
    assert [(run.state, run.attempt) for run in store.runs(study_id)] == [(RunState.COMPLETED, 2)]
