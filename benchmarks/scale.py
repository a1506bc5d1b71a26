"""How far one database carries: simulated workers, that sleep instead of training, on a real PostgreSQL.

    python benchmarks/scale.py [--workers 10 100 1000] [--seconds 90] [--run-s 60] [--queue 1000 10000 100000]

A simulated worker is a thread with a store, and so with connections, of its own. It does what a real one does to the
database: claims a run, writes its measurements and renews its lease every third of the lease, finishes it; while
nothing waits it looks again as seldom as a real one. It sleeps for half to one and a half times `--run-s` where a real
one trains. All begin in the same moment. Latencies are what a worker waits, in milliseconds: half, 95 % and 99 % of the
calls took no longer. The server is one of its own with PostgreSQL's usual settings but for `max_connections`; it shares
this machine with the workers, so that the limits found are lower than those of a server that has one to itself.

Four tables: workers that train; the same with nothing to do, and with nothing to train (which shows the most that can
be claimed and finished); claims in a long queue; what a run leaves in the database, whatever its horizon. Where
PgBouncer is installed, also the most workers behind it. Writes benchmarks/results/scale.md.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import quantiles
from typing import Any, TypeVar

import psutil
import psycopg
from machine import about_code, about_machine
from sqlalchemy.engine import make_url

for folder in ("tests", "tests/store"):
    sys.path.insert(0, str(Path(__file__).parent.parent / folder))
from servers import CLUSTER_USER, PostgresServer, free_port  # noqa: E402 - the tests' own server
from store_cases import STUDY, completed, make_study, row, searched  # noqa: E402
from store_databases import query  # noqa: E402

from schedsearch.errors import SchedsearchError  # noqa: E402
from schedsearch.store import Claim, NewRun, Phase, Store  # noqa: E402
from schedsearch.training.course import EVALUATIONS  # noqa: E402
from schedsearch.workers.loop import LEASE_S, LONGEST_WAIT_S, SHORTEST_WAIT_S, WAIT_GROWTH  # noqa: E402

RESULT = Path(__file__).with_name("results") / "scale.md"
SPARE_CONNECTIONS = 30
STACK_BYTES = 512 * 1024
CLAIMS = 40
CONNECTS_A_SECOND = 20  # of one process
WORKERS_A_PROCESS = 100
POOLED = 20  # connections of PgBouncer to the server
FLAT_OUT_S, QUEUED = 20.0, 20_000
SETTLE_S = 10.0  # until a worker that finds nothing looks as seldom as it ever does
spawn = multiprocessing.get_context("spawn")

CONNECTED = "select count(*) as connections from pg_stat_activity where backend_type = 'client backend'"
COUNTED = (
    "select xact_commit + xact_rollback as transactions, deadlocks from pg_stat_database where datname = 'postgres'"
)
REPORTS_S = 1.1  # sessions report what they did once a second

Latencies = dict[str, list[float]]
T = TypeVar("T")


@dataclass(frozen=True)
class Part:
    """What the workers of a scenario do. run_s: mean length of a run, 0 for none at all; seconds: that they serve, of
    which the first settle_s are not looked at."""

    workers: int
    seconds: float
    run_s: float
    processes: int
    settle_s: float = 0.0

    def share(self, number: int) -> int:
        """How many of the workers process `number` simulates."""
        return self.workers // self.processes + (number < self.workers % self.processes)


class Simulated:
    """One worker. Times every call to the store, and counts those that failed."""

    def __init__(self, url: str, name: str) -> None:
        self.times: Latencies = defaultdict(list)
        self.failures: list[str] = []
        self._since = 0.0
        self._name = name
        self._store = self._open(url)

    def serve(self, part: Part) -> None:
        """Claim and finish as long as the scenario lasts."""
        until = time.monotonic() + part.seconds
        self._since = time.monotonic() + part.settle_s
        wait_s, kind = SHORTEST_WAIT_S, "first claim"
        while time.monotonic() < until:
            try:
                claim = self.timed(kind, self._claim)
                kind = "claim"
                if claim is None:
                    self.timed("look", lambda: self._store.study(STUDY.name))
                    time.sleep(wait_s)
                    wait_s = min(WAIT_GROWTH * wait_s, LONGEST_WAIT_S)
                    continue
                wait_s = SHORTEST_WAIT_S
                self._train(claim, part.run_s * random.uniform(0.5, 1.5), until)  # noqa: S311 - spreads them
            except SchedsearchError as error:
                self.failures.append(str(error))

    def _open(self, url: str) -> Store:
        """As whoever starts workers would: one that does not reach the server is started again."""
        while True:
            try:
                return Store.open(url)
            except SchedsearchError as error:
                self.failures.append(str(error))
                time.sleep(random.uniform(0.5, 1.5))  # noqa: S311 - spreads them

    def leave(self) -> None:
        self._store.close()

    def _claim(self) -> Claim | None:
        study = self._store.study(STUDY.name)
        return self._store.claim(self._name, lease_s=LEASE_S, device="cpu", study_id=study.id)

    def _train(self, claim: Claim, length_s: float, until: float) -> None:
        """A run as the store sees it; one that would outlast the measurement is left."""
        began, written = time.monotonic(), 0
        while (left_s := began + length_s - time.monotonic()) > LEASE_S / 3:
            time.sleep(LEASE_S / 3)
            if time.monotonic() > until:
                return
            made = int(EVALUATIONS * (time.monotonic() - began) / length_s)
            self.timed("renew", lambda: self._store.renew(claim, LEASE_S))
            if made > written:
                self._write(claim, range(written, made))
            written = made
        time.sleep(max(0.0, left_s))
        if time.monotonic() < until:
            rows = [row(update) for update in range(written, EVALUATIONS)]
            self.timed("finish", lambda: self._store.finish(claim, completed(), rows))

    def _write(self, claim: Claim, updates: range) -> None:
        rows = [row(update) for update in updates]
        self.timed("write", lambda: self._store.write_measurements(claim, rows))

    def timed(self, kind: str, action: Callable[[], T]) -> T:
        started = time.perf_counter()
        done = action()
        if time.monotonic() >= self._since:
            self.times[kind].append(1000 * (time.perf_counter() - started))
        return done


def simulate(url: str, part: Part, number: int, gate: Any, answers: Any) -> None:
    """One process full of workers: they connect, wait for all the others, and serve."""
    threading.stack_size(STACK_BYTES)
    workers: list[Simulated] = []
    ready, go = threading.Semaphore(0), threading.Event()

    def live(index: int) -> None:
        time.sleep(index / CONNECTS_A_SECOND)
        worker = Simulated(url, f"simulated-{number}-{index}")
        workers.append(worker)
        ready.release()
        go.wait()
        worker.serve(part)
        worker.leave()

    threads = [threading.Thread(target=live, args=(index,)) for index in range(part.share(number))]
    for thread in threads:
        thread.start()
    for _ in threads:
        ready.acquire()
    gate.wait()
    cpu = time.process_time()
    go.set()
    for thread in threads:
        thread.join()
    times: Latencies = defaultdict(list)
    for worker in workers:
        for kind, some in worker.times.items():
            times[kind] += some
    answers.put((dict(times), [one for worker in workers for one in worker.failures], time.process_time() - cpu))


@dataclass(frozen=True)
class Seen:
    """A scenario. transactions, deadlocks: by the server's count; server_cores, client_cores: processor time a second;
    connections: the most at once; twice: runs that were claimed more than once."""

    part: Part
    times: Latencies
    failures: list[str]
    finished: int
    twice: int
    transactions: float
    deadlocks: int
    server_cores: float
    client_cores: float
    connections: int
    via: str = "directly"


@dataclass
class Watch:
    """Looks at the server once a second, by a connection of its own that is not counted."""

    url: str
    connections: int = 0
    _ended: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        plain = make_url(self.url).set(drivername="postgresql").render_as_string(hide_password=False)
        with psycopg.connect(plain, autocommit=True) as looking:
            while not self._ended.wait(1.0):
                row = looking.execute(CONNECTED).fetchone()
                self.connections = max(self.connections, 0 if row is None else row[0] - 1)

    def end(self) -> None:
        self._ended.set()


def scenario(server: PostgresServer, part: Part, *, runs: int, through: str | None = None) -> Seen:
    """Let the workers serve a new study with so many waiting runs. through: another URL of the same database."""
    fill(server.url, runs)
    gate, answers = spawn.Barrier(part.processes + 1), spawn.Queue()
    given = [(through or server.url, part, number, gate, answers) for number in range(part.processes)]
    children = [spawn.Process(target=simulate, args=one, daemon=True) for one in given]
    for child in children:
        child.start()
    watch = Watch(server.url)
    looking = threading.Thread(target=watch.run)
    gate.wait()
    looking.start()
    began = time.monotonic()
    time.sleep(part.settle_s)
    before, server_cpu, started = counters(server.url), cpu_s(server.process_id), time.monotonic()
    time.sleep(max(0.0, part.seconds - REPORTS_S - (time.monotonic() - began)))
    after, server_cpu = counters(server.url), cpu_s(server.process_id) - server_cpu
    wall = time.monotonic() - started
    watch.end()
    told = [answers.get(timeout=300) for _ in children]
    for child in children:
        child.join()
    times: Latencies = defaultdict(list)
    for one, _, _ in told:
        for kind, some in one.items():
            times[kind] += some
    (ended,) = query(
        server.url,
        "select coalesce(sum((state = 'completed')::int), 0) as finished, "
        "coalesce(sum((attempt > 1)::int), 0) as twice from schedsearch_run",
    )
    return Seen(
        part, times, [one for _, some, _ in told for one in some], int(ended["finished"]), int(ended["twice"]),
        (after["transactions"] - before["transactions"]) / wall, after["deadlocks"] - before["deadlocks"],
        server_cpu / wall, sum(cpu for _, _, cpu in told) / part.seconds, watch.connections,
        "directly" if through is None else f"PgBouncer, {POOLED} connections",
    )  # fmt: skip


def counters(url: str) -> dict[str, int]:
    """What the server has counted so far."""
    time.sleep(REPORTS_S)
    return query(url, COUNTED)[0]


def cpu_s(process_id: int) -> float:
    """Processor seconds of a process and of all its children, those that have ended included."""
    first = psutil.Process(process_id)
    own = first.cpu_times()
    living = 0.0
    for child in first.children():
        with suppress(psutil.NoSuchProcess):  # it has ended just now, and is among `own.children_*` the next time
            times = child.cpu_times()
            living += times.user + times.system
    return own.user + own.system + own.children_user + own.children_system + living


def fill(url: str, runs: int) -> int:
    """An empty store with one study and so many waiting runs; the number of the study."""
    with Store.open(url) as store:
        query(url, "truncate schedsearch_study cascade")
        study = make_study(store)
        candidate = store.add_candidate(study.id, searched())
        waiting = [NewRun(candidate, Phase.SEARCH, 0, seed, STUDY.total_updates) for seed in range(runs)]
        store.add_runs(study.id, waiting)
    query(url, "analyze")
    return study.id


@dataclass(frozen=True)
class Queue:
    """Claims and finishes of one worker beside so many other runs, in milliseconds."""

    waiting: int
    finished: int
    times: Latencies


def queued(url: str, waiting: int, finished: int) -> Queue:
    """One worker in a long queue, or in a study with a long past."""
    study_id = fill(url, waiting + finished)
    first = query(url, "select min(id) as id from schedsearch_run")[0]["id"]
    past = f"state = 'completed', attempt = 1, score = 1 where id < {first + finished}"
    query(url, f"update schedsearch_run set {past}")  # noqa: S608 - of a number of our own
    query(url, "analyze schedsearch_run")
    worker = Simulated(url, "one")
    for _ in range(CLAIMS):
        claim = worker.timed("claim", worker._claim)
        assert claim is not None and claim.study_id == study_id
        worker.timed("finish", lambda claim=claim: worker._store.finish(claim, completed(), []))
    worker.leave()
    return Queue(waiting, finished, worker.times)


def bytes_a_run(url: str) -> float:
    """What a finished run with all its measurements takes, indices included."""
    size = "select pg_total_relation_size('{0}')::float / count(*) as bytes from {0}"
    own, each = (query(url, size.format(f"schedsearch_{name}"))[0]["bytes"] for name in ("run", "measurement"))
    return float(own + EVALUATIONS * each)


@contextmanager
def pooler(server: PostgresServer) -> Iterator[str]:
    """A PgBouncer in front of the server, which lends each connection for one transaction; its URL."""
    with tempfile.TemporaryDirectory() as name:
        folder, port = Path(name), free_port()
        folder.chmod(0o755)
        (folder / "users.txt").write_text(f'"{CLUSTER_USER}" ""\n')
        settings = (
            f"[databases]\npostgres = host=127.0.0.1 port={server.port}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
            f"listen_port = {port}\nunix_socket_dir =\nauth_type = trust\nauth_file = {folder / 'users.txt'}\n"
            f"pool_mode = transaction\nlisten_backlog = 4000\ndefault_pool_size = {POOLED}\nmax_client_conn = 3000\n"
            "ignore_startup_parameters = options\n"
        )
        (folder / "pgbouncer.ini").write_text(settings)
        as_user = ["runuser", "-u", CLUSTER_USER, "--"] if os.geteuid() == 0 else []
        raised = ["sh", "-c", 'ulimit -n "$(ulimit -H -n)"; exec "$0" "$@"']  # a file a connection
        command = [*as_user, *raised, str(shutil.which("pgbouncer")), "--quiet", str(folder / "pgbouncer.ini")]
        process = subprocess.Popen(command, start_new_session=True)
        try:
            time.sleep(2)
            yield make_url(server.url).set(port=port).render_as_string(hide_password=False)
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait()


def at(latencies: Sequence[float]) -> str:
    """Median / 95 % / 99 %."""
    if len(latencies) < 2:
        return "-"
    cuts = quantiles(latencies, n=100, method="inclusive")
    return " / ".join(f"{cuts[cut - 1]:.0f}" if cuts[cut - 1] >= 10 else f"{cuts[cut - 1]:.1f}" for cut in (50, 95, 99))


def training_row(seen: Seen) -> str:
    calls = seen.times["renew"] + seen.times["write"]
    return (
        f"| {seen.part.workers:,} | {seen.via} | {seen.finished:,} | {seen.transactions:.0f} "
        f"| {at(seen.times['claim'])} | {at(calls)} | {at(seen.times['finish'])} | {at(seen.times['first claim'])} "
        f"| {len(seen.failures)} | {seen.deadlocks} | {seen.twice} | {seen.connections:,} "
        f"| {seen.server_cores:.2f} | {seen.client_cores:.2f} |\n"
    )


def flat_out_row(seen: Seen) -> str:
    idle = seen.finished == 0
    return (
        f"| {'nothing waits' if idle else 'nothing to train'} | {seen.part.workers:,} "
        f"| {'-' if idle else f'{seen.finished / seen.part.seconds:.0f}'} | {seen.transactions:.0f} "
        f"| {at(seen.times['claim'])} | {at(seen.times['finish'])} | {len(seen.failures)} | {seen.deadlocks} "
        f"| {seen.server_cores:.2f} | {seen.client_cores:.2f} |\n"
    )


def queue_row(one: Queue) -> str:
    return f"| {one.waiting:,} | {one.finished:,} | {at(one.times['claim'])} | {at(one.times['finish'])} |\n"


TRAINING_HEAD = (
    "| workers | connected | runs finished | transactions a second | claim | renew and write | finish "
    "| first claim, all at once | failed calls | deadlocks | claimed twice | connections | server | workers |\n"
    "|--:|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n"
)
FLAT_OUT_HEAD = (
    "| | workers | runs a second | transactions a second | claim | finish "
    "| failed calls | deadlocks | server | workers |\n"
    "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n"
)
QUEUE_HEAD = "| waiting | finished | claim | finish |\n|--:|--:|--:|--:|\n"


@dataclass
class Tables:
    """Everything that was measured. kept_bytes: in the database, of a finished run."""

    trained: list[Seen] = field(default_factory=list)
    flat_out: list[Seen] = field(default_factory=list)
    queues: list[Queue] = field(default_factory=list)
    kept_bytes: float = 0.0


def report(tables: Tables, given: argparse.Namespace, postgresql: str) -> str:
    trains = f"runs of {given.run_s:.0f} s (half to one and a half times that), for {given.seconds:.0f} s"
    return (
        "# How far one database carries\n\n"
        f"Made by `python benchmarks/scale.py`, {datetime.now(UTC):%Y-%m-%d}, {about_code()}, {about_machine()} "
        f"PostgreSQL {postgresql} and the simulated workers share the machine{given.note}. Latencies in milliseconds: "
        "half, 95 % and 99 % of the calls took no longer. Server, workers: their load in cores.\n\n"
        f"## Workers that train {trains}\n\n"
        f"{TRAINING_HEAD}{''.join(map(training_row, tables.trained))}\n"
        f"## Workers without training\n\n{FLAT_OUT_HEAD}{''.join(map(flat_out_row, tables.flat_out))}\n"
        f"## One worker in a long queue\n\n{QUEUE_HEAD}{''.join(map(queue_row, tables.queues))}\n"
        "## Horizon\n\n"
        f"A run is measured about {EVALUATIONS} times whatever its horizon, and leaves "
        f"{tables.kept_bytes / 1000:.1f} kB in the database, indices included. While it is trained "
        f"its lease is renewed every {LEASE_S / 3:.0f} s.\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--seconds", type=float, default=90.0)
    parser.add_argument("--run-s", type=float, default=60.0)
    parser.add_argument("--queue", type=int, nargs="*", default=[1000, 10_000, 100_000])
    parser.add_argument("--note", default="", help="what else was going on, for the result's head")
    given = parser.parse_args()
    with PostgresServer(max(given.workers) + SPARE_CONNECTIONS) as server:
        postgresql = query(server.url, "show server_version")[0]["server_version"].split()[0]
        tables = Tables()
        training(server, given, tables)
        without_training(server, given, tables)
        for size in given.queue:
            for waiting, finished in ((size, 0), (CLAIMS, size)):
                tables.queues.append(queued(server.url, waiting, finished))
                print(queue_row(tables.queues[-1]), flush=True)
    RESULT.write_text(report(tables, given, postgresql))


def training(server: PostgresServer, given: argparse.Namespace, tables: Tables) -> None:
    """Every number of workers, and the most of them behind PgBouncer."""
    for workers in given.workers:
        part = Part(workers, given.seconds, given.run_s, processes(workers))
        waiting = int(4 * workers * (1 + given.seconds / given.run_s))
        tables.trained.append(scenario(server, part, runs=waiting))
        print(training_row(tables.trained[-1]), tables.trained[-1].failures[:3], flush=True)
    tables.kept_bytes = bytes_a_run(server.url)
    if shutil.which("pgbouncer"):
        with pooler(server) as url:
            tables.trained.append(scenario(server, part, runs=waiting, through=url))
        print(training_row(tables.trained[-1]), tables.trained[-1].failures[:3], flush=True)


def without_training(server: PostgresServer, given: argparse.Namespace, tables: Tables) -> None:
    for workers in given.workers:
        for runs, settle_s in ((0, SETTLE_S), (QUEUED, 0.0)):
            part = Part(workers, FLAT_OUT_S + settle_s, 0.0, processes(workers), settle_s)
            tables.flat_out.append(scenario(server, part, runs=runs))
            print(flat_out_row(tables.flat_out[-1]), tables.flat_out[-1].failures[:3], flush=True)


def processes(workers: int) -> int:
    """So many simulate these workers: few enough to a process that its threads do not wait for each other."""
    return min(workers, max(os.cpu_count() or 1, workers // WORKERS_A_PROCESS))


if __name__ == "__main__":
    main()
