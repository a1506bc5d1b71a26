"""What asking, claiming and finishing cost a run, and `status` a look, as a study grows: milliseconds.

    python benchmarks/queue_cost.py                            # 10, 1,000 and 10,000 candidates, on every database here

A study of n finished candidates goes on for `ROUNDS` batches. ask: a planner's whole step (telling Optuna, reading the
study, the curve model, writing candidates and runs) divided by the candidates that it asked for; claim and finish:
medians of single calls; status: the overview that `schedsearch status` reads. Nothing is trained. The first step of the
planner, which reads the whole history, is timed by itself. Writes benchmarks/results/queue_cost.md.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from machine import about_machine

for folder in ("tests", "tests/integration"):
    sys.path.insert(0, str(Path(__file__).parent.parent / folder))
from store_databases import KINDS, fresh_database, why_absent  # noqa: E402 - the tests' own databases
from test_planning import Field, write_study  # noqa: E402

from schedsearch.search.history import History  # noqa: E402
from schedsearch.search.plan import Budget  # noqa: E402
from schedsearch.space import load_space  # noqa: E402
from schedsearch.store import NewRun, Phase, RunState, Store, Study  # noqa: E402
from schedsearch.workers.planner import Planner  # noqa: E402
from schedsearch.workers.rows import NamedSchedule, new_candidate  # noqa: E402

SIZES = (10, 1000, 10_000)
ROUNDS, CLAIMS = 3, 60
SPACE = load_space("quick").with_base_lr(0.001, 3.0)
RESULT = Path(__file__).with_name("results") / "queue_cost.md"


@dataclass(frozen=True)
class Cost:
    """Milliseconds; first_s: seconds."""

    kind: str
    n: int
    first_s: float
    ask: float
    claim: float
    finish: float
    status: float

    @property
    def whole(self) -> float:
        return self.ask + self.claim + self.finish


def timed(action: Callable[[], Any]) -> tuple[Any, float]:
    """What it returns, and milliseconds."""
    started = time.perf_counter()
    found = action()
    return found, 1000 * (time.perf_counter() - started)


def train_next(store: Store, study: Study, field: Field) -> tuple[float, float]:
    """Claim and finish one run: milliseconds of each."""
    claim, claiming = timed(lambda: store.claim("worker", lease_s=60, device="cpu", study_id=study.id))
    assert claim is not None
    result = field.result(claim.candidate.schedule, claim.seed, claim.run_id)
    _, finishing = timed(lambda: store.finish(claim, result, []))
    return claiming, finishing


def waiting(store: Store, study: Study) -> int:
    return sum(states.get(RunState.WAITING, 0) for states in store.counts(study.id).values())


def begun(store: Store, n: int) -> Study:
    """A study in its search with n finished candidates of its own, drawn by chance."""
    study = write_study(store, f"grown-{n}", Budget(trials=4 * n + 2000), SPACE)
    field = Field()
    while waiting(store, study):
        train_next(store, study, field)
    token = store.take_planner(study.id, "filler", 3600.0)
    assert token is not None
    store.advance(study.id, token, Phase.SEARCH, study.plan)
    history = History(
        store.url, study.optuna_study, SPACE, strategy="curve", direction="minimize",
        total_updates=study.total_updates, updates_per_epoch=study.updates_per_epoch, seed=0,
    )  # fmt: skip
    rng = np.random.default_rng(n)
    for _ in range(n):
        asked = history.begin(SPACE.draw(rng))
        named = NamedSchedule("search", None, asked.schedule)
        candidate = store.add_candidate(study.id, new_candidate(named, asked.number))
        store.add_runs(study.id, [NewRun(candidate, Phase.SEARCH, 0, 0, study.total_updates)])
        train_next(store, study, field)
        (run,) = store.runs(study.id)[-1:]
        history.tell(asked.number, run.score, diverged=run.score is None, worst=9.0)
        store.mark_told([run.id])
    store.drop_planner(study.id, token)
    return store.study(study.name)


def cost(kind: str, url: str, n: int) -> Cost:
    """One line of the table."""
    field = Field()
    with Store.open(url) as store:
        study = begun(store, n)
        planner = Planner(store, study, "planner", stays=True)
        _, first = timed(planner.step)
        asks, claims, finishes = [], [], []
        for _ in range(ROUNDS):
            for _ in range(min(CLAIMS, waiting(store, study))):
                claiming, finishing = train_next(store, study, field)
                claims.append(claiming)
                finishes.append(finishing)
            while waiting(store, study):
                train_next(store, study, field)
            stepped = timed(planner.step)[1]
            asks.append(stepped / max(1, waiting(store, study)))
        looks = [timed(lambda: store.overview(study.id, study.direction))[1] for _ in range(5)]
        planner.leave()
    return Cost(kind, n, first / 1000, median(asks), median(claims), median(finishes), median(looks))


def report(costs: list[Cost]) -> str:
    head = (
        "# What a run costs the database as a study grows\n\n"
        f"Made by `python benchmarks/queue_cost.py`, {datetime.now(UTC):%Y-%m-%d}, {about_machine()}\n\n"
        "| database | candidates | ask | claim | finish | together, ms a run | status, ms | first step, s |\n"
        "|---|--:|--:|--:|--:|--:|--:|--:|\n"
    )
    return head + "".join(
        f"| {one.kind} | {one.n:,} | {one.ask:.1f} | {one.claim:.1f} | {one.finish:.1f} | **{one.whole:.1f}** "
        f"| {one.status:.1f} | {one.first_s:.1f} |\n"
        for one in costs
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--databases", nargs="+", default=KINDS, choices=KINDS)
    given = parser.parse_args()
    costs = []
    for kind in given.databases:
        if kind != "SQLite" and why_absent(kind) is not None:
            print(why_absent(kind))
            continue
        for n in given.sizes:
            with tempfile.TemporaryDirectory() as home, fresh_database(kind, Path(home)) as url:
                costs.append(cost(kind, url, n))
            print(costs[-1], flush=True)
    RESULT.write_text(report(costs))


if __name__ == "__main__":
    main()
