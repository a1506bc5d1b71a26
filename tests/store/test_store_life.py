"""The life of a study in the store, the same on every database."""

import math
from dataclasses import replace

import pytest
from store_cases import (
    CONSTANT,
    COSINE,
    STUDY,
    UPDATES,
    baseline,
    completed,
    make_study,
    queue_runs,
    row,
    searched,
    take,
    verdict_of,
)

from schedsearch.errors import InvalidInput, LeaseLost, StudyExists, UnknownStudy
from schedsearch.store import (
    Candidate,
    MeasurementRow,
    ModelCheck,
    NewRun,
    Phase,
    RunResult,
    RunState,
    Store,
    StudyState,
)

BAD_NAMES = (
    "", " ", "a b", "'; drop table schedsearch_study;--", '" or 1=1', "a%", "-a", "_a", ".a", "a/b", "../x", "a\n",
    "a\x00", "é", "学習", "\u202ename", "a" * 101, "a" * 600, "a'", "a\\",
)  # fmt: skip


def test_a_study_comes_back_as_it_was_written(store: Store) -> None:
    study = store.create_study(STUDY)
    assert store.study("a-study") == study
    assert {name: getattr(study, name) for name in vars(STUDY)} == vars(STUDY)
    assert (study.phase, study.state, study.reason) == (Phase.NOISE, StudyState.RUNNING, None)
    assert study.created_at > 1.7e9
    assert study.finished_at is None


def test_the_same_study_again_is_the_same_study(store: Store) -> None:
    assert store.create_study(STUDY) == store.create_study(STUDY)
    assert len(store.studies()) == 1


def test_another_study_of_that_name_is_refused(store: Store) -> None:
    store.create_study(STUDY)
    with pytest.raises(StudyExists, match="'a-study' exists already and differs"):
        store.create_study(replace(STUDY, seed=8))


def test_names_that_differ_in_case_are_two_studies(store: Store) -> None:
    assert make_study(store, "Mnist").id != make_study(store, "mnist").id
    assert store.study("mnist").name == "mnist"


def test_studies_are_listed_oldest_first(store: Store) -> None:
    for name in ("b", "a", "c"):
        make_study(store, name)
    assert [study.name for study in store.studies()] == ["b", "a", "c"]


def test_a_bad_name_is_refused_the_same_everywhere(store: Store) -> None:
    for name in BAD_NAMES:
        with pytest.raises(InvalidInput, match="`study` must be 1 to 100 letters"):
            make_study(store, name)
        with pytest.raises(UnknownStudy, match="There is no study named"):
            store.study(name)
    assert store.studies() == []


def test_a_good_name_is_taken_everywhere(store: Store) -> None:
    for name in ("a", "9", "A.b_c-d", "a" * 100):
        assert make_study(store, name).name == store.study(name).name == name


def test_what_one_database_could_not_hold_is_refused_by_all(store: Store) -> None:
    with pytest.raises(InvalidInput) as refused:
        store.create_study(replace(STUDY, metric="m" * 101, seed=2**31))
    assert refused.value.faults == (
        "`metric` must have at most 100 characters, but has 101 instead.",
        "`seed` must be at most 2147483647, but is 2147483648 instead.",
    )


def test_the_state_of_a_study_changes_until_it_is_finished(store: Store, study_id: int) -> None:
    store.set_study_state(study_id, StudyState.STOPPED, "interrupted")
    stopped = store.study("a-study")
    assert (stopped.state, stopped.reason) == (StudyState.STOPPED, "interrupted")
    assert stopped.finished_at is not None
    store.set_study_state(study_id, StudyState.RUNNING)
    assert (store.study("a-study").reason, store.study("a-study").finished_at) == (None, None)
    finish_study(store, study_id)
    store.set_study_state(study_id, StudyState.STOPPED, "too late")
    assert (store.study("a-study").state, store.study("a-study").reason) == (StudyState.FINISHED, None)


def finish_study(store: Store, study_id: int) -> None:
    winner, other = store.add_candidate(study_id, searched()), store.add_candidate(study_id, baseline())
    token = store.take_planner(study_id, "planner", 60.0)
    assert token is not None
    store.save_verdict(study_id, token, verdict_of(winner, other))


def test_a_study_that_is_not_there_is_named(store: Store) -> None:
    for attempt in (
        lambda: store.set_study_state(4711, StudyState.STOPPED),
        lambda: store.add_candidate(4711, searched()),
        lambda: store.add_runs(4711, []),
        lambda: store.add_model_check(4711, 1, 0.5),
        lambda: store.advance(4711, 1, Phase.RACE, {}),
    ):
        with pytest.raises(UnknownStudy, match="no study with number 4711"):
            attempt()


def test_a_schedule_is_one_candidate_of_a_study(store: Store, study_id: int) -> None:
    cosine, constant = store.add_candidate(study_id, searched()), store.add_candidate(study_id, baseline())
    assert store.add_candidate(study_id, searched(trial=9)) == cosine
    assert store.candidates(study_id) == [
        Candidate(**vars(searched()), id=cosine, study_id=study_id),
        Candidate(**vars(baseline()), id=constant, study_id=study_id),
    ]
    assert store.candidates(study_id)[0].schedule == COSINE
    other = make_study(store, "other").id
    assert store.add_candidate(other, searched()) not in (cosine, constant)


def test_runs_are_queued_once_and_in_order(store: Store, study_id: int) -> None:
    cosine, constant = store.add_candidate(study_id, searched()), store.add_candidate(study_id, baseline())
    pairs = [NewRun(one, Phase.SEARCH, 0, seed, UPDATES) for seed in (1, 0) for one in (constant, cosine)]
    assert store.add_runs(study_id, pairs) == 4
    assert store.add_runs(study_id, [*pairs, replace(pairs[0], phase=Phase.RACE), pairs[1]]) == 1
    assert store.add_runs(study_id, []) == 0
    queued = [(run.candidate_id, run.phase, run.seed) for run in store.runs(study_id)]
    assert queued == [(one.candidate_id, one.phase, one.seed) for one in pairs] + [(constant, Phase.RACE, 1)]
    assert [run.phase for run in store.runs(study_id, phase=Phase.RACE)] == [Phase.RACE]


def test_runs_of_a_candidate_from_elsewhere_are_refused(store: Store, study_id: int) -> None:
    elsewhere = store.add_candidate(make_study(store, "other").id, searched())
    with pytest.raises(InvalidInput, match=f"candidate of study {study_id}, but is {elsewhere} instead"):
        store.add_runs(study_id, [NewRun(elsewhere, Phase.SEARCH, 0, 0, UPDATES)])
    assert store.runs(study_id) == []


def test_a_run_from_its_claim_to_its_result(store: Store, study_id: int) -> None:
    candidate_id = queue_runs(store, study_id, 2)
    claim = take(store)
    first, second = store.runs(study_id)
    assert (claim.run_id, claim.attempt, claim.study_id, claim.seed) == (first.id, 1, study_id, 0)
    assert claim.candidate == store.candidates(study_id)[0]
    assert (claim.candidate.id, claim.phase, claim.total_updates) == (candidate_id, Phase.SEARCH, UPDATES)
    assert (first.state, first.worker_id, first.device) == (RunState.RUNNING, "worker-1", "cpu")
    assert second.state is RunState.WAITING
    store.write_measurements(claim, [row(9), row(19)])
    assert store.runs(study_id)[0].updates_done == 20
    store.renew(claim, 60.0, updates_done=25)
    assert store.runs(study_id)[0].updates_done == 25
    result = completed()
    store.finish(claim, result, [row(99)])
    done = store.runs(study_id)[0]
    assert {name: getattr(done, name) for name in vars(result)} == vars(result)
    assert done.claimed_at is not None
    assert done.finished_at is not None
    assert 0 <= done.finished_at - done.claimed_at < 60
    assert store.measurements(done.id) == [row(9), row(19), row(99)]
    assert store.curves(done.study_id) == {done.id: [row(9), row(19), row(99)]}
    assert store.counts(study_id) == {
        Phase.NOISE: {},
        Phase.SEARCH: {RunState.COMPLETED: 1, RunState.WAITING: 1},
        Phase.SCREEN: {},
        Phase.RACE: {},
        Phase.CONFIRM: {},
    }


def test_measurements_are_written_once(store: Store, study_id: int) -> None:
    queue_runs(store, study_id, 1)
    claim = take(store)
    store.write_measurements(claim, [row(1), row(2)])
    store.write_measurements(claim, [row(2, 9.0), row(3)])
    store.write_measurements(claim, [])
    assert store.measurements(claim.run_id) == [row(1), row(2), row(3)]


def test_a_thousand_measurements_keep_every_digit(store: Store, study_id: int) -> None:
    queue_runs(store, study_id, 1)
    claim = take(store)
    rows = [MeasurementRow(one, 1e-3 / (one + 1), math.pi / (one + 1), 1e300 / 3, {"a": 1 / 3}) for one in range(1000)]
    store.finish(claim, completed(1 / 3), rows)
    assert store.measurements(claim.run_id) == rows
    assert store.runs(study_id)[0].score == 1 / 3


def test_what_is_not_finite_is_stored_as_not_known(store: Store, study_id: int) -> None:
    queue_runs(store, study_id, 1)
    claim = take(store)
    metrics = {"accuracy": math.nan, "top5": math.inf, "f1": 0.5}
    store.write_measurements(claim, [MeasurementRow(4, 0.1, math.inf, math.nan, metrics)])
    store.finish(
        claim,
        RunResult(RunState.DIVERGED, -math.inf, math.nan, 5, math.inf, 4, "loss is inf", 0.1),
        [MeasurementRow(5, 0.1, -math.inf, None, {})],
    )
    assert store.measurements(claim.run_id) == [
        MeasurementRow(4, 0.1, None, None, {"f1": 0.5}),
        MeasurementRow(5, 0.1, None, None, {}),
    ]
    run = store.runs(study_id)[0]
    assert (run.state, run.score, run.test_score, run.initial_loss) == (RunState.DIVERGED, None, None, None)


@pytest.mark.parametrize("score", [None, math.nan, math.inf, -math.inf])
def test_a_completed_run_has_a_finite_score(store: Store, study_id: int, score: float | None) -> None:
    queue_runs(store, study_id, 1)
    claim = take(store)
    with pytest.raises(InvalidInput, match=f"`score` of a completed run must be a finite number, but is {score}"):
        store.finish(claim, RunResult(RunState.COMPLETED, score), [])
    store.finish(claim, completed(), [])


def test_a_result_is_a_state_that_is_finished(store: Store, study_id: int) -> None:
    queue_runs(store, study_id, 1)
    with pytest.raises(InvalidInput, match="`state` of a result must be completed, diverged or failed"):
        store.finish(take(store), RunResult(RunState.WAITING), [])


def test_a_reason_may_hold_anything(store: Store, study_id: int) -> None:
    queue_runs(store, study_id, 1)
    reason = "ValueError: a\x00b \ud800 🔥 '; drop table x;-- %s :name" + "x" * 100_000
    store.finish(take(store), RunResult(RunState.FAILED, reason=reason), [])
    stored = store.runs(study_id)[0].reason or ""
    assert stored.startswith("ValueError: a\ufffdb ? 🔥 '; drop table x;-- %s :name" + "xxx")
    assert len(stored) == 10_000


def test_a_run_given_back_waits_at_its_old_place(store: Store, study_id: int) -> None:
    queue_runs(store, study_id, 2)
    claim = take(store)
    store.write_measurements(claim, [row(1)])
    store.release(claim)
    run = store.runs(study_id)[0]
    assert (run.state, run.attempt, run.worker_id) == (RunState.WAITING, 1, None)
    assert store.measurements(claim.run_id) == []
    again = take(store, "worker-2")
    assert (again.run_id, again.attempt) == (claim.run_id, 2)
    assert store.runs(study_id)[0].updates_done is None


def test_failed_runs_may_be_tried_again_with_nothing_left_of_them(store: Store, study_id: int) -> None:
    queue_runs(store, study_id, 2)
    claim = take(store)
    store.finish(claim, RunResult(RunState.FAILED, reason="OSError: disk full"), [row(1)])
    store.mark_told([claim.run_id])
    assert store.retry_failed(study_id) == 1
    assert store.retry_failed(study_id) == 0
    run = store.runs(study_id)[0]
    assert (run.state, run.reason, run.told, run.worker_id) == (RunState.WAITING, None, False, None)
    assert store.measurements(claim.run_id) == []
    with pytest.raises(LeaseLost):
        store.renew(claim, 30)
    again = take(store, "worker-2")
    assert (again.run_id, again.attempt) == (claim.run_id, 2)


def test_giving_back_is_never_counted(store: Store, study_id: int) -> None:
    queue_runs(store, study_id, 1)
    for _ in range(5):
        store.release(take(store))
    assert store.runs(study_id)[0].state is RunState.WAITING


def test_only_running_studies_are_served(store: Store, study_id: int) -> None:
    queue_runs(store, study_id, 1)
    other = make_study(store, "other").id
    queue_runs(store, other, 1)
    store.set_study_state(study_id, StudyState.STOPPED)
    assert store.claim("w", lease_s=60.0, device="cpu", study_id=study_id) is None
    assert take(store).study_id == other
    assert store.claim("w", lease_s=60.0, device="cpu") is None
    store.set_study_state(study_id, StudyState.RUNNING)
    assert take(store, study_id=study_id).study_id == study_id


def test_studies_may_be_left_out(store: Store, study_id: int) -> None:
    queue_runs(store, study_id, 1)
    other = make_study(store, "other").id
    queue_runs(store, other, 1)
    here = {"lease_s": 60.0, "device": "cpu"}
    assert store.claim("w", without={study_id, other}, **here) is None
    assert store.claim("w", without=[study_id], study_id=study_id, **here) is None
    found = store.claim("w", without=[study_id], **here)
    assert found is not None
    assert found.study_id == other
    assert store.claim("w", without=[study_id], **here) is None
    assert take(store).study_id == study_id


def test_a_run_in_hand_may_be_finished_after_its_study_was_stopped(store: Store, study_id: int) -> None:
    queue_runs(store, study_id, 1)
    claim = take(store)
    store.set_study_state(study_id, StudyState.STOPPED)
    store.finish(claim, completed(), [])
    assert store.runs(study_id)[0].state is RunState.COMPLETED


def test_marks_of_what_was_passed_on(store: Store, study_id: int) -> None:
    queue_runs(store, study_id, 4)
    for score in (0.1, 0.2, 0.3):
        store.finish(take(store), completed(score), [])
    ids = [run.id for run in store.runs(study_id)]
    assert [run.id for run in store.unmirrored(study_id, 10)] == ids[:3]
    assert [run.id for run in store.unmirrored(study_id, 2)] == ids[:2]
    store.mark_mirrored(ids[1], "abc")
    store.mark_told(ids[:2])
    store.mark_told([])
    assert [run.id for run in store.unmirrored(study_id, 10)] == [ids[0], ids[2]]
    runs = store.runs(study_id)
    assert [run.told for run in runs] == [True, True, False, False]
    assert [run.mlflow_run_id for run in runs] == [None, "abc", None, None]
    store.set_mlflow_ids(study_id, "12", "def")
    study = store.study("a-study")
    assert (study.mlflow_experiment_id, study.mlflow_run_id) == ("12", "def")


def test_checks_of_the_model(store: Store, study_id: int) -> None:
    for runs, agreement in ((20, 0.5), (10, None), (20, 0.625), (30, math.nan)):
        store.add_model_check(study_id, runs, agreement)
    assert store.model_checks(study_id) == [ModelCheck(10, None), ModelCheck(20, 0.625), ModelCheck(30, None)]


def test_the_verdict_comes_back_and_may_be_written_again(store: Store, study_id: int) -> None:
    winner, other = store.add_candidate(study_id, searched()), store.add_candidate(study_id, baseline())
    assert store.verdict(study_id) is None
    token = store.take_planner(study_id, "planner", 60.0)
    assert token is not None
    first = verdict_of(other, winner)
    store.save_verdict(study_id, token, first)
    assert store.verdict(study_id) == first
    second = verdict_of(winner, other)
    store.save_verdict(study_id, token, second)
    assert store.verdict(study_id) == second
    study = store.study("a-study")
    assert study.state is StudyState.FINISHED
    assert study.finished_at is not None


def test_numbers_of_a_verdict_that_are_not_finite_are_not_known(store: Store, study_id: int) -> None:
    winner, other = store.add_candidate(study_id, searched()), store.add_candidate(study_id, baseline(CONSTANT))
    token = store.take_planner(study_id, "planner", 60.0)
    assert token is not None
    whole = verdict_of(winner, other)
    broken = replace(
        whole,
        details={**whole.details, "odd": [math.inf, {"x": math.nan}]},
        answers=(replace(whole.answers[0], ci_low=-math.inf), whole.answers[1]),
    )
    store.save_verdict(study_id, token, broken)
    stored = store.verdict(study_id)
    assert stored is not None
    assert stored.details["odd"] == [None, {"x": None}]
    assert stored.answers[0].ci_low is None
