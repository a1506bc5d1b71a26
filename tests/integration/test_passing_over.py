"""A worker that serves every study passes over those whose task it does not have, and serves the others."""

import logging
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from test_planning import write_study
from test_training_process import only_run, reference, store, study_of, wait_for  # noqa: F401 - fixtures

from schedsearch.search.plan import Budget
from schedsearch.space import load_space
from schedsearch.store import RunState, Store
from schedsearch.workers.loop import Worker, WorkerOptions
from schedsearch.workers.passed import PassedOver

SPACE = load_space("quick").with_base_lr(0.001, 3.0)


def test_a_task_that_is_not_allowed_leaves_the_worker_to_the_other_studies(store: Store, reference: str) -> None:  # noqa: F811
    refused = write_study(store, "refused", Budget(trials=4), SPACE)  # the older runs: they would be taken first
    served = study_of(store, reference, "slow updates", seeds=range(3))
    command = [sys.executable, "-m", "schedsearch", "worker", "--storage", store.url, "--allow-task", reference]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as worker:
        try:
            wait_for(lambda: only_run(store, served).state is RunState.COMPLETED)
        finally:
            worker.terminate()
        said = worker.communicate(timeout=30)[1]
    assert worker.returncode == 0, said
    (sentence,) = [line for line in said.splitlines() if "not allowed here" in line]
    assert "study refused: passed over, and looked at again every 300 s: The task 'digits' is not allowed" in sentence
    assert {run.state for run in store.runs(refused.id)} == {RunState.WAITING}
    assert sum(run.attempt for run in store.runs(refused.id)) == 1


def test_a_task_that_is_missing_is_looked_for_again(
    store: Store,  # noqa: F811
    reference: str,  # noqa: F811
    caplog: pytest.LogCaptureFixture,
) -> None:
    study = study_of(store, reference, "nothing")
    other = write_study(store, "another-version", Budget(trials=4), SPACE)
    path = Path(reference.rpartition(":")[0])
    away = path.rename(path.with_suffix(".away"))
    worker = Worker(store, WorkerOptions(None, threads=1, plans_after_s=600.0, looks_again_after_s=0.5))
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        with caplog.at_level(logging.WARNING):
            wait_for(lambda: only_run(store, study).attempt > 1, 120)  # every look starts a process anew
            assert only_run(store, study).state is not RunState.COMPLETED
            away.rename(path)
            wait_for(lambda: only_run(store, study).state is RunState.COMPLETED, 120)
    finally:
        worker._stopping.set()
        thread.join()
    told = [one.getMessage() for one in caplog.records if one.name == "schedsearch.workers.loop"]
    assert len(told) == 2
    assert told[0].startswith("study trouble: passed over, and looked at again every 0.5 s: There is no file ")
    assert told[1].startswith("study another-version: passed over, ")
    assert "is another one here than when the study began" in told[1]
    assert only_run(store, study).failure is None
    assert {run.state for run in store.runs(other.id)} == {RunState.WAITING}
    assert [run.attempt > 0 for run in store.runs(other.id)].count(True) == 1  # nobody was taken along


def test_what_is_passed_over_is_told_once_for_each_reason() -> None:
    passed = PassedOver(for_s=0.0)
    assert not passed.is_due
    assert passed.add(1, "It is missing.")
    assert passed.add(2, "It is missing.")
    assert (sorted(passed.studies), passed.is_due) == ([1, 2], True)
    passed.clear()
    assert (sorted(passed.studies), passed.is_due) == ([], False)
    assert not passed.add(1, "It is missing.")
    assert passed.add(1, "It is another one.")


def test_they_are_passed_over_for_a_while() -> None:
    passed = PassedOver(for_s=600.0)
    passed.add(1, "It is missing.")
    assert not passed.is_due
