"""The planner beside the workers: it plans a whole study, keeps its lease, and leaves when it is told to."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from test_planning import Field, write_study

from schedsearch.search.plan import Budget
from schedsearch.space import load_space
from schedsearch.store import Phase, RunState, Store, Study, StudyState
from schedsearch.workers import planner
from schedsearch.workers.desk import Desk
from schedsearch.workers.loop import Worker, WorkerOptions
from schedsearch.workers.standing import StandingPlanner

SPACE = load_space("quick").with_base_lr(0.001, 3.0)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(f"sqlite:///{tmp_path / 'study.db'}") as opened:
        yield opened


@contextmanager
def planning(store: Store, study: Study) -> Iterator[threading.Thread]:
    stopping = threading.Event()
    thread = threading.Thread(target=StandingPlanner(store, study.name, "standing").run, args=(stopping,))
    thread.start()
    try:
        yield thread
    finally:
        stopping.set()
        thread.join(20)


def train(store: Store, study: Study, *, until: float) -> None:
    """Train whatever waits, planning nothing, until the study ends."""
    field = Field()
    while store.study(study.name).state is StudyState.RUNNING and time.monotonic() < until:
        claim = store.claim("worker", lease_s=60, device="cpu", study_id=study.id)
        if claim is None:
            time.sleep(0.01)
        else:
            store.finish(claim, field.result(claim.candidate.schedule, claim.seed, claim.run_id), [])


def test_it_plans_a_study_to_its_verdict_and_then_leaves(store: Store) -> None:
    study = write_study(store, "whole", Budget(trials=12), SPACE)
    with planning(store, study) as thread:
        train(store, study, until=time.monotonic() + 60)
        thread.join(10)
        assert not thread.is_alive()
    assert store.study(study.name).state is StudyState.FINISHED
    kinds = {one.id: one.kind for one in store.candidates(study.id)}
    named = [run for run in store.runs(study.id, phase=Phase.SEARCH) if kinds[run.candidate_id] != "freeform"]
    verdict = store.verdict(study.id)
    assert verdict is not None
    assert verdict.details["importances"]["runs"] == len(named)


def may_plan(store: Store, study: Study) -> bool:
    token = store.take_planner(study.id, "other", 60.0)
    if token is not None:
        store.drop_planner(study.id, token)
    return token is not None


def test_nobody_else_plans_while_it_waits_and_anybody_may_when_it_has_left(store: Store) -> None:
    study = write_study(store, "held", Budget(trials=4), SPACE)
    with planning(store, study):
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and may_plan(store, study):
            time.sleep(0.01)
        assert not may_plan(store, study)
    assert may_plan(store, study)


def test_one_under_the_same_name_goes_on_at_once(store: Store) -> None:
    study = write_study(store, "again", Budget(trials=4), SPACE)
    assert store.take_planner(study.id, "standing", 60.0) is not None  # and died
    with planning(store, study):
        train(store, study, until=time.monotonic() + 30)
    assert store.study(study.name).state is StudyState.FINISHED


def test_a_step_may_take_longer_than_the_lease(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    study = write_study(store, "slow", Budget(trials=4), SPACE)
    monkeypatch.setattr(planner, "PLANNER_LEASE_S", 0.6)
    taken: list[bool] = []

    def slow(desk: Desk) -> bool:
        for _ in range(6):
            time.sleep(0.3)
            taken.append(may_plan(store, study))
        desk.store.advance(study.id, desk.token, Phase.SEARCH, {})
        return True

    monkeypatch.setitem(planner.STEPS, Phase.NOISE, slow)
    assert planner.Planner(store, study, "slow one").step()
    assert taken == 6 * [False]
    assert may_plan(store, study)


def test_a_planner_learns_that_its_lease_was_taken_over(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    study = write_study(store, "robbed", Budget(trials=4), SPACE)
    monkeypatch.setattr(planner, "PLANNER_LEASE_S", 0.3)
    robbed = planner.Planner(store, study, "same name", stays=True)
    token = robbed.hold()
    assert store.take_planner(study.id, "same name", 60.0) is not None
    deadline = time.monotonic() + 10
    while robbed.hold() == token and time.monotonic() < deadline:
        time.sleep(0.02)
    assert robbed.hold() != token
    robbed.leave()


def test_a_worker_beside_a_planner_plans_only_after_a_while(store: Store) -> None:
    study = write_study(store, "patient", Budget(trials=4), SPACE)
    for _ in store.runs(study.id):
        claim = store.claim("first", lease_s=60, device="cpu")
        assert claim is not None
        store.finish(claim, Field().result(claim.candidate.schedule, claim.seed, claim.run_id), [])
    for patience_s, plans in ((60.0, False), (0.3, True)):
        worker = Worker(store, WorkerOptions(study.name, plans_after_s=patience_s))
        thread = threading.Thread(target=worker.run)
        thread.start()
        deadline = time.monotonic() + (20 if plans else 0.7)
        while time.monotonic() < deadline and store.study(study.name).phase is Phase.NOISE:
            time.sleep(0.02)
        assert (store.study(study.name).phase is not Phase.NOISE) == plans
        store.set_study_state(study.id, StudyState.STOPPED)
        thread.join(20)
        store.set_study_state(study.id, StudyState.RUNNING)


def test_one_straggler_does_not_hold_up_the_race(store: Store) -> None:
    """One of some forty search runs does not end: the race begins, and Optuna hears of the run later."""
    study = write_study(store, "straggler", Budget(trials=36), SPACE)
    field, held = Field(), None
    deadline = time.monotonic() + 60
    with planning(store, study):
        while store.study(study.name).phase in (Phase.NOISE, Phase.SEARCH) and time.monotonic() < deadline:
            claim = store.claim("worker", lease_s=600, device="cpu", study_id=study.id)
            if claim is None:
                time.sleep(0.01)
            elif held is None and claim.phase is Phase.SEARCH and claim.run_id > 30:
                held = claim
            else:
                store.finish(claim, field.result(claim.candidate.schedule, claim.seed, claim.run_id), [])
        assert held is not None
        assert store.study(study.name).phase is Phase.RACE
        store.finish(held, field.result(held.candidate.schedule, held.seed, held.run_id), [])
        train(store, study, until=time.monotonic() + 60)
    late = next(run for run in store.runs(study.id) if run.id == held.run_id)
    assert (late.state, late.told) == (RunState.COMPLETED, True)


def test_baselines_are_confirmed_while_the_race_goes_on(store: Store) -> None:
    study = write_study(store, "ahead", Budget(trials=12), SPACE)
    with planning(store, study):
        train(store, study, until=time.monotonic() + 60)
    race, confirm = store.runs(study.id, phase=Phase.RACE), store.runs(study.id, phase=Phase.CONFIRM)
    last_race = max(run.id for run in race)
    ahead = [run for run in confirm if run.id < last_race]
    kinds = {one.id: one.kind for one in store.candidates(study.id)}
    assert ahead
    assert {kinds[run.candidate_id] for run in ahead} == {"baseline"}
    counts = {one: sum(run.candidate_id == one for run in confirm) for one in {run.candidate_id for run in confirm}}
    assert len(set(counts.values())) == 1
