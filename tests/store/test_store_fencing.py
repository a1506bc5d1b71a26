"""Only the holder of a run's newest attempt may write it; only the newest planner may plan."""

import threading
import time
from dataclasses import replace

import pytest
from store_cases import UPDATES, baseline, completed, make_study, queue_runs, row, searched, take, verdict_of
from store_databases import query

from schedsearch.errors import LeaseLost, StoreError
from schedsearch.store import Claim, Failure, NewRun, Phase, RunResult, RunState, Store, StudyState

EXPIRED_S = -1.0


def assert_fenced(store: Store, stale: Claim) -> None:
    """Whatever the holder of `stale` tries is refused and changes nothing."""
    before = store.runs(stale.study_id), store.measurements(stale.run_id)
    for attempt in (
        lambda: store.renew(stale, 60.0),
        lambda: store.write_measurements(stale, [row(50)]),
        lambda: store.finish(stale, completed(0.001), [row(99)]),
        lambda: store.finish(stale, RunResult(RunState.FAILED, reason="stale"), []),
        lambda: store.release(stale),
    ):
        with pytest.raises(LeaseLost, match=f"Run {stale.run_id} is not held by attempt {stale.attempt} any more"):
            attempt()
    assert (store.runs(stale.study_id), store.measurements(stale.run_id)) == before


def test_a_worker_that_comes_back_from_the_dead_changes_nothing(store: Store, study_id: int) -> None:
    queue_runs(store, study_id, 1)
    stale = take(store, "worker-1", lease_s=EXPIRED_S)
    store.write_measurements(stale, [row(5)])
    fresh = take(store, "worker-2")
    assert (fresh.run_id, fresh.attempt) == (stale.run_id, 2)
    assert store.measurements(fresh.run_id) == []
    assert_fenced(store, stale)
    store.write_measurements(fresh, [row(7)])
    store.finish(fresh, completed(0.5), [])
    assert_fenced(store, stale)
    assert store.runs(study_id)[0].score == 0.5
    assert store.measurements(fresh.run_id) == [row(7)]


def test_an_expired_lease_that_nobody_took_is_still_the_holders(store: Store, study_id: int) -> None:
    queue_runs(store, study_id, 1)
    claim = take(store, lease_s=EXPIRED_S)
    store.renew(claim, 60.0)
    assert store.claim("worker-2", lease_s=60.0, device="cpu") is None
    store.finish(claim, completed(), [])


def test_a_lease_expires_by_the_databases_clock(store: Store, study_id: int) -> None:
    queue_runs(store, study_id, 1)
    take(store, "worker-1", lease_s=0.3)
    assert store.claim("worker-2", lease_s=60.0, device="cpu") is None
    time.sleep(0.4)
    assert take(store, "worker-2").attempt == 2


def test_a_run_taken_away_is_lost_even_before_anybody_else_trains_it(store: Store, study_id: int) -> None:
    queue_runs(store, study_id, 2)
    stale = take(store, lease_s=EXPIRED_S)
    other = make_study(store, "other").id
    assert store.claim("w", lease_s=60.0, device="cpu", study_id=other) is None
    store.renew(stale, EXPIRED_S)
    take(store, "w", study_id=study_id)
    assert_fenced(store, stale)


def test_a_run_that_kills_its_workers_is_given_up_after_three(store: Store, study_id: int) -> None:
    queue_runs(store, study_id, 1)
    for attempt in (1, 2, 3):
        run = store.runs(study_id)[0]
        assert run.state is (RunState.WAITING if attempt == 1 else RunState.RUNNING)
        assert run.finished_at is None
        assert run.failure is (Failure.LOST if attempt == 3 else None)
        assert take(store, lease_s=EXPIRED_S).attempt == attempt
    assert store.claim("worker-4", lease_s=60.0, device="cpu") is None
    run = store.runs(study_id)[0]
    assert run.state is RunState.FAILED
    assert run.reason == "The worker died or went silent 3 times while it trained this run."
    assert run.failure is Failure.LOST
    assert run.finished_at is not None


def crashed(failure: Failure = Failure.CRASH) -> RunResult:
    return RunResult(RunState.FAILED, reason="It ended by SIGSEGV.", failure=failure, log_tail="a line\nanother")


def test_an_attempt_that_failed_is_tried_again_and_counted(store: Store, study_id: int) -> None:
    queue_runs(store, study_id, 1)
    for attempt in (1, 2):
        claim = take(store)
        store.fail(claim, crashed(), [row(9)], 3)
        store.fail(claim, crashed(), [row(9)], 3)
        waiting = store.runs(study_id)[0]
        assert (waiting.state, waiting.attempt, waiting.worker_id) == (RunState.WAITING, attempt, None)
        assert (waiting.failure, waiting.reason) == (Failure.CRASH, "It ended by SIGSEGV.")
        assert waiting.log_tail == "a line\nanother"
        assert store.measurements(waiting.id) == []
        with pytest.raises(LeaseLost):
            store.finish(claim, completed(0.125), [row(99)])
    store.fail(take(store), crashed(), [row(9)], 3)
    failed = store.runs(study_id)[0]
    assert (failed.state, failed.attempt, failed.failure) == (RunState.FAILED, 3, Failure.CRASH)
    assert len(store.measurements(failed.id)) == 1


def test_a_result_after_failed_attempts_is_like_any_other(store: Store, study_id: int) -> None:
    queue_runs(store, study_id, 1)
    store.fail(take(store), crashed(Failure.MEMORY), [], 2)
    claim = take(store)
    store.finish(claim, replace(completed(0.25), peak_memory_bytes=5_000_000_000), [row(9)])
    done = store.runs(study_id)[0]
    assert (done.state, done.score, done.failure, done.reason, done.log_tail) == (
        RunState.COMPLETED, 0.25, None, None, None
    )  # fmt: skip
    assert done.peak_memory_bytes == 5_000_000_000


def test_lost_leases_and_failed_attempts_count_together(store: Store, study_id: int) -> None:
    queue_runs(store, study_id, 1)
    take(store, lease_s=EXPIRED_S)
    store.fail(take(store), crashed(), [], 2)
    assert store.runs(study_id)[0].state is RunState.FAILED
    assert store.retry_failed(study_id) == 1
    again = store.runs(study_id)[0]
    assert (again.state, again.failure, again.log_tail) == (RunState.WAITING, None, None)


def test_a_run_given_back_after_losses_keeps_its_losses(store: Store, study_id: int) -> None:
    queue_runs(store, study_id, 1)
    take(store, lease_s=EXPIRED_S)
    take(store, lease_s=EXPIRED_S)
    store.release(take(store))
    take(store, lease_s=EXPIRED_S)
    assert store.claim("w", lease_s=60.0, device="cpu") is None
    assert store.runs(study_id)[0].state is RunState.FAILED


def test_the_same_result_again_is_accepted_another_is_not(store: Store, study_id: int) -> None:
    queue_runs(store, study_id, 1)
    claim = take(store)
    store.finish(claim, completed(0.25), [row(99)])
    finished = store.runs(study_id)
    store.finish(claim, completed(0.25), [row(99)])
    with pytest.raises(LeaseLost):
        store.finish(claim, completed(0.125), [row(99)])
    assert store.runs(study_id) == finished


def test_two_threads_finish_one_run_once(store: Store, study_id: int) -> None:
    queue_runs(store, study_id, 1)
    claim = take(store)
    refused: list[float] = []
    barrier = threading.Barrier(4)

    def finish(score: float) -> None:
        barrier.wait(30)
        try:
            store.finish(claim, completed(score), [row(99, score)])
        except LeaseLost:
            refused.append(score)

    threads = [threading.Thread(target=finish, args=(score,)) for score in (0.1, 0.2, 0.3, 0.4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 3
    run = store.runs(study_id)[0]
    assert run.score not in refused
    assert store.measurements(run.id) == [row(99, run.score)]


def test_giving_back_twice_is_giving_back_once(store: Store, study_id: int) -> None:
    queue_runs(store, study_id, 1)
    claim = take(store)
    store.release(claim)
    store.release(claim)
    take(store, "worker-2")
    assert_fenced(store, claim)


def test_a_finished_run_cannot_be_claimed(store: Store, study_id: int) -> None:
    queue_runs(store, study_id, 3)
    store.finish(take(store), completed(), [])
    store.finish(take(store), RunResult(RunState.DIVERGED, updates_done=3, diverged_at=2), [])
    store.finish(take(store), RunResult(RunState.FAILED, reason="ValueError"), [])
    assert store.claim("w", lease_s=60.0, device="cpu") is None


# ---- planning


def token_of(store: Store, study_id: int, worker: str, lease_s: float = 60.0) -> int:
    token = store.take_planner(study_id, worker, lease_s)
    assert token is not None
    return token


def test_one_worker_plans_at_a_time(store: Store, study_id: int) -> None:
    first = token_of(store, study_id, "a")
    assert store.take_planner(study_id, "b", 60.0) is None
    store.advance(study_id, first, Phase.SEARCH, {"trials": 3, "nested": {"seeds": (1, 2)}})
    store.drop_planner(study_id, first)
    assert token_of(store, study_id, "b") > first
    study = store.study("a-study")
    assert (study.phase, study.plan) == (Phase.SEARCH, {"trials": 3, "nested": {"seeds": [1, 2]}})


def test_planners_of_two_studies_do_not_meet(store: Store, study_id: int) -> None:
    token_of(store, study_id, "a")
    token_of(store, make_study(store, "other").id, "b")


def test_a_planner_of_nothing(store: Store) -> None:
    assert store.take_planner(4711, "a", 60.0) is None


def test_a_planner_whose_lease_was_taken_over_is_refused(store: Store, study_id: int) -> None:
    winner, other = store.add_candidate(study_id, searched()), store.add_candidate(study_id, baseline())
    stale = token_of(store, study_id, "a", EXPIRED_S)
    fresh = token_of(store, study_id, "b")
    before = store.study("a-study")
    with pytest.raises(LeaseLost, match=f"Study {study_id} is not planned with token {stale} any more"):
        store.advance(study_id, stale, Phase.CONFIRM, {})
    with pytest.raises(LeaseLost):
        store.save_verdict(study_id, stale, verdict_of(winner, other))
    store.drop_planner(study_id, stale)
    assert store.study("a-study") == before
    assert store.verdict(study_id) is None
    assert store.take_planner(study_id, "c", 60.0) is None
    store.advance(study_id, fresh, Phase.RACE, {})


def test_a_planner_that_was_dropped_is_refused(store: Store, study_id: int) -> None:
    token = token_of(store, study_id, "a")
    store.drop_planner(study_id, token)
    store.drop_planner(study_id, token)
    with pytest.raises(LeaseLost):
        store.advance(study_id, token, Phase.SEARCH, {})


def test_a_planner_may_take_its_own_lease_again(store: Store, study_id: int) -> None:
    first = token_of(store, study_id, "a")
    second = token_of(store, study_id, "a")
    with pytest.raises(LeaseLost):
        store.advance(study_id, first, Phase.SEARCH, {})
    store.advance(study_id, second, Phase.SEARCH, {})


def test_a_planner_that_died_is_followed_by_another(store: Store, study_id: int, url: str) -> None:
    token_of(store, study_id, "a")
    query(url, f"update schedsearch_study set planner_expires_at = planner_expires_at - 61 where id = {study_id}")
    token_of(store, study_id, "b")


def test_a_planners_lease_is_prolonged_by_its_token_alone(store: Store, study_id: int, url: str) -> None:
    stale = token_of(store, study_id, "a", EXPIRED_S)
    store.renew_planner(study_id, stale, 60.0)
    assert store.take_planner(study_id, "b", 60.0) is None
    store.advance(study_id, stale, Phase.SEARCH, {})
    query(url, f"update schedsearch_study set planner_expires_at = planner_expires_at - 61 where id = {study_id}")
    fresh = token_of(store, study_id, "b")
    with pytest.raises(LeaseLost, match=f"Study {study_id} is not planned with token {stale} any more"):
        store.renew_planner(study_id, stale, 60.0)
    store.drop_planner(study_id, fresh)
    with pytest.raises(LeaseLost):
        store.renew_planner(study_id, fresh, 60.0)


def test_a_verdict_that_cannot_be_written_leaves_the_study_unfinished(store: Store, study_id: int) -> None:
    winner = store.add_candidate(study_id, searched())
    token = token_of(store, study_id, "a")
    with pytest.raises(StoreError, match=r"(?i)foreign key"):
        store.save_verdict(study_id, token, verdict_of(winner, 4711))
    assert store.study("a-study").state is StudyState.RUNNING
    assert store.verdict(study_id) is None


def test_threads_take_the_planner_in_turns(store: Store, study_id: int) -> None:
    tokens: list[int] = []
    barrier = threading.Barrier(6)

    def take_it(worker: str) -> None:
        barrier.wait(30)
        token = store.take_planner(study_id, worker, 60.0)
        if token is not None:
            tokens.append(token)

    threads = [threading.Thread(target=take_it, args=(f"worker-{one}",)) for one in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(tokens) == 1


def test_two_planners_queue_the_same_runs_once(store: Store, study_id: int) -> None:
    candidate_id = store.add_candidate(study_id, searched())
    runs = [NewRun(candidate_id, Phase.RACE, 0, seed, UPDATES) for seed in range(40)]
    new: list[int] = []
    barrier = threading.Barrier(4)

    def add() -> None:
        barrier.wait(30)
        new.append(store.add_runs(study_id, runs))

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(new) == [0, 0, 0, 40]
    assert [run.seed for run in store.runs(study_id)] == list(range(40))
