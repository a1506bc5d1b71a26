"""Several processes at once: every run is claimed once, expired once, and one schema is made."""

import multiprocessing
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from store_cases import completed, make_study, queue_runs, take
from store_databases import query

from schedsearch.search.history import make_tables
from schedsearch.store import RunState, Store, check
from schedsearch.store.engine import make_engine
from schedsearch.store.queue import reap

PROCESSES = 4
RUNS = 150
EXPIRED = 60


def together(target: Callable[..., Any], url: str, processes: int = PROCESSES) -> list[Any]:
    """What `target(url, barrier, number)` returned in each of several fresh processes."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["schedsearch.store", "schedsearch.search.history", "alembic.command", "psycopg", "pymysql", "pytest"]
    )
    with context.Manager() as manager, context.Pool(processes) as pool:
        barrier = manager.Barrier(processes)
        started = [pool.apply_async(target, (url, barrier, number)) for number in range(processes)]
        return [one.get(200) for one in started]


def drain(url: str, barrier: Any, number: int) -> list[tuple[int, int]]:
    worker = f"worker-{number}"
    taken = []
    with Store.open(url) as store:
        barrier.wait(120)
        while (claim := store.claim(worker, lease_s=60.0, device="cpu")) is not None:
            taken.append((claim.run_id, claim.attempt))
            time.sleep(0.005)  # the training
            store.finish(claim, completed(), [])
    return taken


def test_four_processes_claim_every_run_exactly_once(url: str, store: Store, study_id: int, kind: str) -> None:
    queue_runs(store, study_id, RUNS)
    shares = together(drain, url)
    claimed = [one for share in shares for one in share]
    assert sorted(claimed) == [(run.id, 1) for run in store.runs(study_id)]
    assert {run.state for run in store.runs(study_id)} == {RunState.COMPLETED}
    workers = Counter(run.worker_id for run in store.runs(study_id))
    assert workers == {f"worker-{number}": len(share) for number, share in enumerate(shares) if share}
    if kind != "SQLite":  # SKIP LOCKED: nobody sees an empty queue because of somebody else's lock
        assert min(len(share) for share in shares) > 0


def reap_all(url: str, barrier: Any, number: int) -> int:
    engine = make_engine(url)
    engine.connect().close()
    barrier.wait(120)
    with engine.begin() as connection:
        found = reap(connection, None)
    engine.dispose()
    return found


def test_four_processes_put_every_expired_run_back_once(url: str, store: Store, study_id: int) -> None:
    queue_runs(store, study_id, EXPIRED)
    for _ in range(EXPIRED):
        take(store)
    query(url, "update schedsearch_run set lease_expires_at = 0")
    assert sum(together(reap_all, url)) == EXPIRED
    losses = query(url, "select leases_lost, state, count(*) as runs from schedsearch_run group by leases_lost, state")
    assert losses == [{"leases_lost": 1, "state": "waiting", "runs": EXPIRED}]


def test_a_claim_does_not_wait_for_who_puts_expired_runs_back(url: str, store: Store, study_id: int, kind: str) -> None:
    queue_runs(store, study_id, 3)
    lost = [take(store).run_id for _ in range(2)]
    query(url, f"update schedsearch_run set lease_expires_at = 0 where id in ({lost[0]}, {lost[1]})")
    engine = make_engine(url)
    with engine.begin() as another:
        assert reap(another, study_id) == 2
        if kind != "SQLite":  # which has one writer at a time
            assert take(store, study_id=study_id).run_id not in lost
    engine.dispose()
    assert take(store, study_id=study_id).run_id == lost[0]


def open_first(url: str, barrier: Any, number: int) -> int:
    barrier.wait(120)
    with Store.open(url) as store:
        return make_study(store).id


def test_ten_processes_make_one_schema_and_one_study(empty: str) -> None:
    assert len(set(together(open_first, empty, processes=10))) == 1
    assert check(empty).fits
    assert query(empty, "select count(*) as n from schedsearch_alembic_version") == [{"n": 1}]
    assert query(empty, "select name from schedsearch_study") == [{"name": "a-study"}]


def open_optuna_first(url: str, barrier: Any, number: int) -> bool:
    barrier.wait(120)
    make_tables(url)
    return True


def test_five_processes_make_optunas_tables_once(empty: str) -> None:
    assert together(open_optuna_first, empty, processes=5) == [True] * 5
    assert query(empty, "select count(*) as n from alembic_version") == [{"n": 1}]
    assert query(empty, "select count(*) as n from version_info") == [{"n": 1}]
