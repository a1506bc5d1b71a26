"""What was trained once is never queued again: the same on every database."""

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import create_engine, event
from store_cases import CONSTANT, COSINE, STUDY, UPDATES, baseline, completed, row, searched, take
from store_databases import query

from schedsearch.store import Failure, NewRun, Phase, Run, RunResult, RunState, Store

SEED = 11
TOOK = replace(completed(), peak_memory_bytes=3_000_000_000, utilization=0.75, energy_j=40.0)
LOST = RunResult(
    RunState.DIVERGED, updates_done=8, initial_loss=2.3, diverged_at=7, reason="The loss is not finite.", duration_s=0.5
)


def queue(store: Store, study_id: int, phase: Phase = Phase.SEARCH, *, reuse: bool = True, **changed: Any) -> Run:
    """Queue one run; gives it as it stands then."""
    candidate_id = store.add_candidate(study_id, searched(changed.pop("schedule", COSINE)))
    new = NewRun(candidate_id, phase, 0, changed.pop("seed", SEED), changed.pop("total_updates", UPDATES))
    assert not changed
    assert store.add_runs(study_id, [new], reuse=reuse) == 1
    return store.runs(study_id)[-1]


def train(store: Store, study_id: int, result: RunResult = TOOK, phase: Phase = Phase.SEARCH, **changed: Any) -> Run:
    """One run, queued and trained to this result."""
    queue(store, study_id, phase, reuse=False, **changed)
    claim = take(store, study_id=study_id)
    store.write_measurements(claim, [row(9), row(19)])
    store.finish(claim, result, [row(UPDATES - 1, None)])
    return store.runs(study_id)[-1]


def again(store: Store, name: str = "again", **changed: Any) -> int:
    return store.create_study(replace(STUDY, name=name, **changed)).id


@pytest.mark.parametrize("result", [TOOK, LOST])
def test_what_was_trained_once_is_written_as_finished(store: Store, study_id: int, result: RunResult) -> None:
    first = train(store, study_id, result)
    other = again(store)
    copy = queue(store, other)
    assert {name: getattr(copy, name) for name in vars(result)} == {**vars(result), "test_score": None}
    assert (copy.copied_from, copy.device) == (first.id, "cpu")
    assert (copy.attempt, copy.worker_id, copy.claimed_at) == (0, None, None)
    assert (copy.told, copy.mirrored) == (False, False)
    assert copy.finished_at is not None
    assert first.finished_at is not None
    assert 0 <= copy.finished_at - first.finished_at < 60
    assert store.measurements(copy.id) == store.measurements(first.id) == [row(9), row(19), row(UPDATES - 1, None)]
    assert store.curves(other) == {copy.id: store.measurements(first.id)}
    assert store.claim("worker-2", lease_s=60.0, device="cpu", study_id=other) is None
    assert [run.id for run in store.unmirrored(other, 10)] == [copy.id]
    assert store.runs(study_id) == [first]


def test_runs_that_are_new_wait_in_their_order_beside_copies(store: Store, study_id: int) -> None:
    train(store, study_id)
    other = again(store)
    cosine, constant = store.add_candidate(other, searched()), store.add_candidate(other, baseline())
    new = [NewRun(one, Phase.RACE, 0, seed, UPDATES) for seed in (SEED + 1, SEED) for one in (constant, cosine)]
    assert store.add_runs(other, new, reuse=True) == 4
    assert [(run.candidate_id, run.seed, run.state) for run in store.runs(other)] == [
        (constant, SEED + 1, RunState.WAITING),
        (cosine, SEED + 1, RunState.WAITING),
        (constant, SEED, RunState.WAITING),
        (cosine, SEED, RunState.COMPLETED),
    ]
    before = store.runs(other)
    assert store.add_runs(other, new, reuse=True) == 0
    assert store.runs(other) == before
    assert len(store.curves(other)) == 1


@pytest.mark.parametrize(
    "changed",
    [
        {"task": "mnist1d"},
        {"task_fingerprint": "e" * 64},
        {"code_version": "0.1.1"},
        {"metric": "accuracy"},
        {"direction": "maximize"},
        {"updates_per_epoch": 11},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_another_study_s_run_is_another_training(store: Store, study_id: int, changed: dict[str, Any]) -> None:
    train(store, study_id)
    assert queue(store, again(store, **changed)).state is RunState.WAITING


@pytest.mark.parametrize(
    "changed",
    [{"seed": SEED + 1}, {"total_updates": UPDATES // 2}, {"schedule": CONSTANT}],
    ids=lambda one: next(iter(one)),
)
def test_another_seed_horizon_or_schedule_is_another_training(
    store: Store, study_id: int, changed: dict[str, Any]
) -> None:
    train(store, study_id)
    assert queue(store, again(store), **changed).state is RunState.WAITING


def test_what_is_only_the_study_s_own_does_not_matter(store: Store, study_id: int) -> None:
    first = train(store, study_id)
    other: dict[str, Any] = {"seed": 8, "space_version": "f" * 12, "strategy": "joint", "budget": {"trials": 4}}
    assert queue(store, again(store, **other)).copied_from == first.id


@pytest.mark.parametrize("phase", [Phase.NOISE, Phase.SEARCH, Phase.SCREEN, Phase.RACE])
def test_a_confirmation_is_copied_from_a_confirmation_alone(store: Store, study_id: int, phase: Phase) -> None:
    first = train(store, study_id, phase=phase)
    assert queue(store, again(store, "before"), Phase.CONFIRM).state is RunState.WAITING
    confirmed = train(store, study_id, completed(0.5), Phase.CONFIRM)
    assert confirmed.id > first.id
    other = again(store)
    assert queue(store, other, Phase.CONFIRM).copied_from == confirmed.id
    assert queue(store, other, phase).copied_from == confirmed.id


def test_a_test_score_is_the_confirmation_s_alone(store: Store, study_id: int) -> None:
    train(store, study_id, completed(0.5), Phase.CONFIRM)
    other = again(store)
    copies = [queue(store, other, phase) for phase in (Phase.RACE, Phase.CONFIRM)]
    assert [(run.score, run.test_score) for run in copies] == [(0.5, None), (0.5, 0.5625)]


def test_phases_of_one_study_share_what_they_trained(store: Store, study_id: int) -> None:
    first = train(store, study_id, phase=Phase.SEARCH)
    assert queue(store, study_id, Phase.RACE).copied_from == first.id


def test_a_copy_is_never_copied_and_the_newest_training_goes_first(store: Store, study_id: int) -> None:
    first = train(store, study_id)
    assert queue(store, again(store, "second")).copied_from == first.id
    assert queue(store, again(store, "third")).copied_from == first.id
    anew = train(store, again(store, "anew"), completed(0.5))
    assert anew.copied_from is None
    assert queue(store, again(store, "fourth")).copied_from == anew.id


def test_without_reuse_everything_waits(store: Store, study_id: int) -> None:
    train(store, study_id)
    assert queue(store, again(store), reuse=False).state is RunState.WAITING


def test_a_study_that_trains_each_run_alone_takes_none_that_had_company(store: Store, study_id: int) -> None:
    train(store, study_id, replace(TOOK, trained_together=8))
    train(store, study_id, replace(TOOK, trained_together=1), seed=SEED + 1)
    alone = again(store, budget={**STUDY.budget, "arrays": False})
    assert queue(store, alone).state is RunState.WAITING
    assert queue(store, alone, seed=SEED + 1).state is RunState.COMPLETED
    assert queue(store, again(store, "another")).state is RunState.COMPLETED


def test_what_has_no_result_is_trained(store: Store, study_id: int) -> None:
    queue(store, study_id)
    assert queue(store, again(store, "while-it-waits")).state is RunState.WAITING
    store.finish(take(store, study_id=study_id), RunResult(RunState.FAILED, failure=Failure.ERROR), [])
    assert queue(store, again(store, "failed")).state is RunState.WAITING


def test_copies_cost_nothing_and_still_tell_what_a_run_takes(store: Store, study_id: int) -> None:
    train(store, study_id)
    other = again(store)
    copy = queue(store, other)
    found = store.overview(other, "minimize")
    assert (found.copied, found.trained_s, found.energy_j, found.recent, found.retried) == (1, 0.0, None, 0, 0)
    assert (found.run_s, found.peak_memory_bytes, found.best) == (1.5, 3_000_000_000, (copy.candidate_id, 0.25))
    assert (copy.duration_s, copy.spent_s) == (1.5, 0.0)
    train(store, other, replace(TOOK, duration_s=2.5), seed=SEED + 1)
    found = store.overview(other, "minimize")
    assert (found.copied, found.trained_s, found.energy_j, found.recent) == (1, 2.5, 40.0, 1)
    assert found.run_s == 2.0
    assert store.overview(study_id, "minimize").copied == 0


def test_many_runs_are_looked_up_by_few_statements(store: Store, study_id: int) -> None:
    """However many runs are queued and however many were trained."""
    ids = [store.add_candidate(study_id, searched(COSINE.with_base_lr(0.001 * one), one)) for one in range(1, 101)]
    store.add_runs(study_id, [NewRun(one, Phase.SEARCH, 0, SEED, UPDATES) for one in ids])
    for number in range(90):
        store.finish(take(store), completed(number + 1.0), [row(UPDATES - 1)])
    other = again(store)
    ids = [store.add_candidate(other, searched(COSINE.with_base_lr(0.001 * one), one)) for one in range(1, 101)]
    new = [NewRun(one, Phase.SEARCH, 0, SEED, UPDATES) for one in ids]
    few, many = (
        statements(store, lambda some=some: store.add_runs(other, some, reuse=True)) for some in (new[:2], new)
    )
    assert few == many
    runs = store.runs(other)
    assert [run.score for run in runs] == [float(one) for one in range(1, 91)] + [None] * 10
    assert [run.id for run in runs] == sorted(run.id for run in runs)
    assert len(store.curves(other)) == 90


def statements(store: Store, call: Callable[[], object]) -> int:
    """How many statements this call sends to the database."""
    sent: list[str] = []

    def note(connection: Any, cursor: Any, statement: str, *more: Any) -> None:
        sent.append(statement)

    event.listen(store._engine, "before_cursor_execute", note)
    try:
        call()
    finally:
        event.remove(store._engine, "before_cursor_execute", note)
    return len(sent)


def test_the_lookup_goes_through_indexes(url: str, store: Store, study_id: int) -> None:
    """By a schedule's own index to its candidates, from those to their runs: the runs are never read as a whole."""
    train(store, study_id)
    other = again(store)
    sent: list[tuple[str, Any]] = []
    event.listen(
        store._engine, "before_cursor_execute", lambda c, u, statement, values, *more: sent.append((statement, values))
    )
    queue(store, other)
    ((statement, values),) = [one for one in sent if "copied_from IS NULL" in one[0]]
    plan = explained(url, statement, values)
    assert "ix_schedsearch_candidate_schedule_key" in plan


def explained(url: str, statement: str, values: Any) -> str:
    """How the database runs this statement, with full scans made as dear as on a large table."""
    engine = create_engine(url)
    with engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            connection.exec_driver_sql("set enable_seqscan = off")
        explain = "explain query plan" if engine.dialect.name == "sqlite" else "explain"
        plan = connection.exec_driver_sql(f"{explain} {statement}", values).all()
    engine.dispose()
    return str(plan)


def test_two_planners_that_queue_the_same_at_once_write_it_once(store: Store, study_id: int) -> None:
    train(store, study_id)
    other = again(store)
    new = [NewRun(store.add_candidate(other, searched()), Phase.SEARCH, 0, seed, UPDATES) for seed in (SEED, SEED + 1)]
    counts: list[int] = []
    threads = [threading.Thread(target=lambda: counts.append(store.add_runs(other, new, reuse=True))) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert sorted(counts) == [0, 0, 0, 2]
    assert [run.state for run in store.runs(other)] == [RunState.COMPLETED, RunState.WAITING]
    assert len(store.curves(other)) == 1


def test_the_views_show_what_was_copied(url: str, store: Store, study_id: int) -> None:
    first = train(store, study_id)
    queue(store, again(store))
    curves = query(url, "select distinct study, copied_from from schedsearch_curves order by study")
    assert curves == [{"study": "a-study", "copied_from": None}, {"study": "again", "copied_from": first.id}]
    ranks = query(url, "select study, copied, score from schedsearch_leaderboard order by study")
    assert ranks == [
        {"study": "a-study", "copied": 0, "score": 0.25},
        {"study": "again", "copied": 1, "score": 0.25},
    ]
