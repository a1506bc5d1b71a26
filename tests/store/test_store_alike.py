"""Runs that one worker takes together: only what is alike, every run once, each with a lease of its own."""

import time
from collections import Counter
from typing import Any

from store_cases import UPDATES, completed, make_study, queue_runs, row, searched, take
from test_store_races import RUNS, together

from schedsearch.store import Alike, Claim, Failure, NewRun, Phase, RunResult, RunState, Store


def more(store: Store, first: Claim, most: int, *, mixed: bool = True) -> list[Claim]:
    return store.claim_more(first, most, lease_s=60.0, device="cpu", mixed=mixed)


def test_the_oldest_runs_come_along_and_each_is_finished_by_itself(store: Store, study_id: int) -> None:
    queue_runs(store, study_id, 5)
    first = take(store)
    assert store.alike(first) == Alike(of_its_seed=0, of_all_seeds=4, running=1, workers=1)
    others = more(store, first, 3)
    runs = store.runs(study_id)
    assert [first.run_id, *(one.run_id for one in others)] == [run.id for run in runs[:4]]
    assert [run.state for run in runs] == [RunState.RUNNING] * 4 + [RunState.WAITING]
    assert {(run.worker_id, run.device, run.attempt) for run in runs[:4]} == {("worker-1", "cpu", 1)}
    assert store.alike(first) == Alike(of_its_seed=0, of_all_seeds=1, running=4, workers=1)
    for number, claim in enumerate([first, *others]):
        assert store.renew(claim, 60.0)
        store.write_measurements(claim, [row(0)])
        store.finish(claim, completed(number), [row(1)])
    assert [run.score for run in store.runs(study_id)[:4]] == [0, 1, 2, 3]
    assert {one.seed for one in [first, *others]} == {0, 1, 2, 3}


def test_only_runs_of_its_study_and_horizon_and_if_asked_of_its_seed_come_along(store: Store, study_id: int) -> None:
    candidate_id = store.add_candidate(study_id, searched())
    kinds = [(Phase.NOISE, 1, UPDATES), (Phase.SEARCH, 1, UPDATES), (Phase.SCREEN, 1, UPDATES // 2),
             (Phase.RACE, 2, UPDATES), (Phase.CONFIRM, 1, UPDATES)]  # fmt: skip
    store.add_runs(study_id, [NewRun(candidate_id, phase, 0, seed, total) for phase, seed, total in kinds])
    queue_runs(store, make_study(store, "another").id, 3)
    first = take(store)
    assert store.alike(first) == Alike(of_its_seed=2, of_all_seeds=3, running=1, workers=1)
    assert [one.phase for one in more(store, first, 9, mixed=False)] == [Phase.SEARCH, Phase.CONFIRM]
    assert [one.phase for one in more(store, first, 9)] == [Phase.RACE]
    assert more(store, first, 9) == []


def test_a_run_that_was_tried_before_is_left_for_itself(store: Store, study_id: int) -> None:
    queue_runs(store, study_id, 4)
    claims = [take(store) for _ in range(2)]
    store.release(claims[0])
    failed = RunResult(RunState.FAILED, reason="It fell.", failure=Failure.CRASH)
    store.fail(claims[1], failed, [], tries=3)
    tried = take(store)
    assert tried.attempt == 2
    assert store.alike(tried).of_all_seeds == 2
    assert [one.attempt for one in more(store, tried, 9)] == [1, 1]
    again = take(store)
    assert (again.run_id, again.attempt, again.last_failure) == (claims[1].run_id, 2, Failure.CRASH)


def test_the_share_of_a_worker() -> None:
    assert Alike(7, 15, running=1, workers=1).share(7, workers=1) == 8
    assert Alike(7, 15, running=1, workers=1).share(15, workers=2) == 8
    assert Alike(0, 6, running=2, workers=2).share(6, workers=1) == 4  # the other one has claimed its first, too
    assert Alike(0, 3, running=5, workers=2).share(3, workers=1) == 4
    assert Alike(0, 0, running=30, workers=3).share(0, workers=1) == 1


def test_a_lease_that_is_lost_is_one_runs_alone(store: Store, study_id: int) -> None:
    queue_runs(store, study_id, 3)
    first = take(store)
    short, long = store.claim_more(first, 1, lease_s=0.01, device="cpu", mixed=True), more(store, first, 1)
    time.sleep(0.1)
    stolen = take(store, "worker-2")
    assert stolen.run_id == short[0].run_id
    ends = [(claim, completed(number), [row(number)]) for number, claim in enumerate([*long, *short, first])]
    for _ in range(2):  # as after a lost connection
        assert store.finish_together(ends) == short
    runs = {run.id: run for run in store.runs(study_id)}
    assert (runs[long[0].run_id].score, runs[first.run_id].score) == (0, 2)
    assert (runs[stolen.run_id].state, runs[stolen.run_id].score) == (RunState.RUNNING, None)
    assert [len(store.measurements(one.run_id)) for one in (*long, first, stolen)] == [1, 1, 0]
    store.finish(stolen, completed(), [])


def drain_by_many(url: str, barrier: Any, number: int) -> list[int]:
    taken = []
    with Store.open(url) as store:
        barrier.wait(120)
        while (first := store.claim(f"worker-{number}", lease_s=60.0, device="cpu")) is not None:
            claims = [first, *more(store, first, 7)]
            taken += [one.run_id for one in claims]
            time.sleep(0.01)  # the training
            assert store.finish_together([(one, completed(), []) for one in claims]) == []
    return taken


def test_four_processes_that_take_many_at_once_take_every_run_once(url: str, store: Store, study_id: int) -> None:
    queue_runs(store, study_id, RUNS)
    shares = together(drain_by_many, url)
    assert sorted(one for share in shares for one in share) == [run.id for run in store.runs(study_id)]
    assert {run.state for run in store.runs(study_id)} == {RunState.COMPLETED}
    assert {run.attempt for run in store.runs(study_id)} == {1}
    workers = Counter(run.worker_id for run in store.runs(study_id))
    assert workers == {f"worker-{number}": len(share) for number, share in enumerate(shares) if share}
