"""Lines that break and servers that hang up: what was asked is done once, and nothing is lost."""

import threading
from collections.abc import Iterator

import pytest
from proxy import Proxy, proxy_to
from sqlalchemy.engine import make_url
from store_cases import completed, make_study, queue_runs, row, take
from store_databases import SERVERS, administer, fresh_database, query

from schedsearch.errors import StoreError
from schedsearch.search.history import History
from schedsearch.space import load_space
from schedsearch.store import RunState, Store
from schedsearch.store.engine import make_engine
from schedsearch.store.retries import retrying

PORTS = {"PostgreSQL": 5432, "MariaDB": 3306}
SECRET = "s3cr3t-MARK"  # noqa: S105 - looked for in the error
SERVER_KINDS = [pytest.param(kind, marks=pytest.mark.xdist_group(f"store-{kind}")) for kind in PORTS]


@pytest.fixture(params=SERVER_KINDS)
def server_kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def server_url(server_kind: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with fresh_database(server_kind, tmp_path_factory.mktemp("outage")) as url:
        yield url


@pytest.fixture
def proxy(server_kind: str, server_url: str) -> Iterator[Proxy]:
    server = make_url(SERVERS[server_kind][1])
    with proxy_to(server.host or "127.0.0.1", server.port or PORTS[server_kind]) as opened:
        yield opened


@pytest.fixture
def store(server_url: str, proxy: Proxy) -> Iterator[Store]:
    """A store behind the proxy."""
    through = make_url(server_url).set(host="127.0.0.1", port=proxy.port).render_as_string(hide_password=False)
    with Store.open(through) as opened:
        yield opened


def test_a_worker_lives_through_an_outage(store: Store, proxy: Proxy) -> None:
    study_id = make_study(store).id
    queue_runs(store, study_id, 1)
    claim = take(store)
    proxy.cut()
    mending = threading.Timer(0.8, proxy.mend)
    mending.start()
    store.renew(claim, 60.0)
    assert proxy.refused > 0
    mending.join()
    proxy.cut()
    proxy.mend()
    store.write_measurements(claim, [row(1)])
    proxy.cut()
    proxy.mend()
    store.finish(claim, completed(), [row(2)])
    assert store.runs(study_id)[0].attempt == 1
    assert store.measurements(claim.run_id) == [row(1), row(2)]


def test_a_server_that_hangs_up_is_called_again(store: Store, server_url: str, server_kind: str) -> None:
    study_id = make_study(store).id
    name = make_url(server_url).database
    if server_kind == "PostgreSQL":
        ended = administer(
            server_kind, f"select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'"
        )
    else:
        ended = administer(server_kind, f"select id from information_schema.processlist where db = '{name}'")
        administer(server_kind, *[f"kill {number}" for (number,) in ended])
    assert ended
    assert store.study("a-study").id == study_id


def test_a_commit_whose_answer_is_lost_is_not_done_twice(store: Store, proxy: Proxy) -> None:
    study_id = make_study(store).id
    candidate_id = queue_runs(store, study_id, 3)
    claims = [take(store), take(store, "worker-2")]
    proxy.cut_once_after(b"COMMIT")
    store.finish(claims[0], completed(0.5), [row(99)])
    proxy.cut_once_after(b"COMMIT")
    store.release(claims[1])
    again = take(store, "worker-3")
    proxy.cut_once_after(b"COMMIT")
    store.write_measurements(again, [row(7)])
    assert proxy.broken == 3
    assert [run.state for run in store.runs(study_id)] == [RunState.COMPLETED, RunState.RUNNING, RunState.WAITING]
    assert [run.attempt for run in store.runs(study_id)] == [1, 2, 0]
    assert [store.measurements(run.id) for run in store.runs(study_id)] == [[row(99)], [row(7)], []]
    proxy.cut_once_after(b"COMMIT")
    assert make_study(store, "another").id != study_id
    assert proxy.broken == 4
    assert [one.name for one in store.studies()] == ["a-study", "another"]
    assert [one.id for one in store.candidates(study_id)] == [candidate_id]


def test_optunas_trials_live_through_an_outage(store: Store, proxy: Proxy, server_url: str) -> None:
    history = History(
        store.url, "outage", load_space("quick").with_base_lr(0.001, 1.0),
        strategy="curve", direction="minimize", total_updates=40, updates_per_epoch=10, seed=1,
    )  # fmt: skip
    (first,) = history.ask(1, [], "scipy")
    proxy.cut()
    mending = threading.Timer(0.8, proxy.mend)
    mending.start()
    history.tell(first.number, 0.5, diverged=False, worst=9.0)
    assert proxy.refused > 0
    mending.join()
    proxy.cut_once_after(b"COMMIT")
    (second,) = history.ask(1, [], "scipy")
    assert proxy.broken == 1
    history.fail_orphans({second.number})
    assert history.running() == {second.number}
    assert query(server_url, "select value from trial_values") == [{"value": 0.5}]
    history._study._storage.remove_session()
    history._study._storage._backend.engine.dispose()


def test_an_outage_without_end_is_an_error_of_one_sentence(server_url: str, proxy: Proxy) -> None:
    through = make_url(server_url).set(host="127.0.0.1", port=proxy.port, username="me", password=SECRET)
    engine = make_engine(through.render_as_string(hide_password=False))
    proxy.cut()
    with pytest.raises(StoreError, match=r"^The store .*me:\*\*\*@127.0.0.1.* failed: .*\.$") as told:
        retrying(lambda: engine.connect().close(), engine.url, for_s=2.0)
    assert proxy.refused > 1
    assert SECRET not in str(told.value)
    engine.dispose()
