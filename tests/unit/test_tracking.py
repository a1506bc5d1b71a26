"""What MLflow is told: points, names, params, notes, addresses. No MLflow here."""

import json
import math
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schedsearch.errors import InvalidInput
from schedsearch.schedule import Schedule
from schedsearch.store import Candidate, MeasurementRow, Phase, Run, RunState, Study, StudyState
from schedsearch.tracking import check_tracking_uri, facts, redact, serve_command, views
from schedsearch.tracking.address import charts_link, run_page
from schedsearch.tracking.curves import MOST_LR_POINTS, MOST_POINTS, lr_points, measured_points, thin

SCHEDULE = Schedule.from_dict(
    {
        "base_lr": 0.05,
        "warmup": {"kind": "linear", "fraction": 0.1, "start_factor": 0.01},
        "decay": {"kind": "multistep", "milestones": [0.5, 0.75], "gamma": 0.1},
    }
)
CONSTANT = Schedule.from_dict({"base_lr": 0.05, "decay": {"kind": "constant"}})
STUDY = Study(
    id=3, name="mine", task="digits", task_options={"batch_size": 32}, task_fingerprint="f", metric="loss",
    direction="minimize", space_name="quick", space_version="abc", space={}, strategy="curve", seed=0,
    total_updates=100, updates_per_epoch=10, budget={"trials": 24, "incumbent": None, "nested": {"a": 1}}, plan={},
    code_version="0.1.0", optuna_study="mine", phase=Phase.SEARCH, state=StudyState.RUNNING, reason=None,
    created_at=1000.0, finished_at=None, mlflow_experiment_id=None, mlflow_run_id=None,
)  # fmt: skip
RUN = Run(
    candidate_id=7, phase=Phase.SEARCH, round=0, seed=5, total_updates=100, id=17, study_id=3,
    state=RunState.COMPLETED, attempt=1, worker_id="w", device="cpu", claimed_at=1001.0, finished_at=1002.0,
    duration_s=1.0, updates_done=100, initial_loss=2.3, score=0.25, test_score=None, diverged_at=None, reason=None,
    failure=None, log_tail=None, peak_memory_bytes=None, utilization=None, energy_j=None, trained_together=1,
    told=True, mirrored=False, mlflow_run_id=None,
)  # fmt: skip


def candidate(schedule: Schedule = SCHEDULE, label: str | None = None) -> Candidate:
    return Candidate("search", label, schedule, 4, "linear + multistep, single", "yes", "multistep", "no", 7, 3)


# Addresses


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://user:pass@host:5000/x", "http://host:5000/x"),
        ("refused: http://u:p%40ss@host:5/api/2.0 (again)", "refused: http://host:5/api/2.0 (again)"),
        ("http://u:p@ss/w#rd@host:5/api failed", "http://host:5/api failed"),
        ("postgresql+psycopg://me@db/x and http://a:b@c:1", "postgresql+psycopg://db/x and http://c:1"),
        ("sqlite:///a.db", "sqlite:///a.db"),
        ("http://127.0.0.1:5000/#/experiments", "http://127.0.0.1:5000/#/experiments"),
    ],
)
def test_credentials_are_left_out_of_any_text(text: str, shown: str) -> None:
    assert redact(text) == shown


@pytest.mark.parametrize("uri", ["mlruns", "file:///tmp/mlruns", "./mlflow.db", "ftp://host", "", "sqlite:mlflow.db"])
def test_unknown_kinds_of_address_are_refused(uri: str) -> None:
    with pytest.raises(InvalidInput, match="`mlflow` must be the URL of an MLflow server"):
        check_tracking_uri(uri, "sqlite:///study.db")


@pytest.mark.parametrize(
    ("uri", "storage"),
    [
        ("sqlite:///study.db", "sqlite:///study.db"),
        ("sqlite:///./a/../study.db", "sqlite:///study.db"),
        ("postgresql://u@db:5432/x", "postgresql+psycopg://v:w@db:5432/x"),
    ],
)
def test_the_stores_own_database_is_refused(uri: str, storage: str) -> None:
    with pytest.raises(InvalidInput, match="must be another database than `storage`"):
        check_tracking_uri(uri, storage)


@pytest.mark.parametrize(
    "uri", ["http://host:5000", "https://user:pass@host", "sqlite:///mlflow.db", "postgresql+psycopg://u@db:5432/mlflow"]
)
def test_servers_and_other_databases_are_fine(uri: str) -> None:
    check_tracking_uri(uri, "postgresql+psycopg://u@db:5432/schedsearch")


def test_a_database_says_how_to_look_at_it() -> None:
    assert serve_command("sqlite:///my dir/m.db") == (
        "mlflow server --workers 1 --backend-store-uri 'sqlite:///my dir/m.db'"
    )
    assert serve_command("http://host:5000") is None


def test_pages_open_where_runs_are_shown() -> None:
    page = "http://host:5000/#/experiments/1/runs/ab?workflowType=machine_learning"
    assert run_page("http://u:p@host:5000/", "1", "ab") == page
    assert run_page("sqlite:///m.db", "1", "ab") == page.replace("host", "127.0.0.1")
    link = charts_link("1", "ab", ascending=True)
    assert link.startswith("#/experiments/1/runs?workflowType=machine_learning&")
    assert "orderByAsc=true" in link
    assert " " not in link


# Points


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=700), st.integers(2, 50))
def test_thinning_keeps_the_ends_and_the_bound(values: list[float], most: int) -> None:
    steps = np.arange(len(values), dtype=np.int64)
    kept = thin(steps, np.array(values), most)
    assert kept[0] == 0
    assert kept[-1] == len(values) - 1
    assert len(kept) <= most or len(kept) <= 2
    assert np.all(np.diff(kept) > 0)


def test_a_curve_that_fits_is_kept_whole() -> None:
    steps = np.arange(200, dtype=np.int64)
    assert np.array_equal(thin(steps, np.zeros(200), MOST_POINTS), steps)


def test_a_long_curve_keeps_its_spike() -> None:
    values = np.zeros(1000)
    values[617] = 5.0
    assert 617 in thin(np.arange(1000, dtype=np.int64), values, MOST_POINTS)


def test_the_learning_rate_keeps_every_joint_in_few_points() -> None:
    points = lr_points(SCHEDULE, 1000, 10, 1000)
    lrs = SCHEDULE.lrs(1000, 10)
    assert len(points) <= MOST_LR_POINTS
    assert all(point.value == lrs[point.step] for point in points)
    drawn = np.interp(np.arange(1000), [point.step for point in points], [point.value for point in points])
    assert np.abs(drawn - lrs).max() < 0.01 * 0.05


def test_a_constant_learning_rate_is_its_two_ends() -> None:
    assert [point.step for point in lr_points(CONSTANT, 100, 10, 100)] == [0, 99]


def test_a_run_that_ended_early_shows_no_later_learning_rate() -> None:
    assert max(point.step for point in lr_points(SCHEDULE, 1000, 10, 37)) == 36
    assert lr_points(SCHEDULE, 1000, 10, 0) == []


def test_values_that_are_not_finite_are_never_sent() -> None:
    rows = [
        MeasurementRow(0, 0.1, 2.0, 2.1, {"accuracy": 0.5}),
        MeasurementRow(9, 0.1, math.inf, math.nan, {"accuracy": -math.inf}),
        MeasurementRow(19, 0.1, None, None, {}),
    ]
    points = measured_points(rows)
    assert {(point.key, point.step) for point in points} == {("train/loss", 0), ("val/loss", 0), ("val/accuracy", 0)}


def test_long_curves_are_thinned() -> None:
    rows = [MeasurementRow(step, 0.1, math.sin(step), None, {}) for step in range(3000)]
    points = measured_points(rows)
    assert len(points) <= MOST_POINTS
    assert (points[0].step, points[-1].step) == (0, 2999)


# Names, params, notes


def test_one_experiment_a_task_and_no_folders_in_its_name() -> None:
    assert facts.experiment_name(STUDY) == "schedsearch/digits"
    mine = replace(STUDY, task="/home/me/secret/my_task.py:Mine")
    assert facts.experiment_name(mine) == "schedsearch/my_task.py:Mine"


def test_a_studys_key_is_fit_for_a_filter_and_its_own() -> None:
    odd = replace(STUDY, name="o'brien`; drop")
    assert set(facts.study_key(odd)) <= set("0123456789abcdef")
    again = replace(STUDY, created_at=STUDY.created_at + 1)
    assert len({facts.study_key(one) for one in (STUDY, odd, again)}) == 3


def test_the_three_answers_are_flat_params() -> None:
    params = facts.run_params(RUN, candidate())
    assert params["warmup.kind"] == "linear"
    assert params["warmup.fraction"] == "0.1"
    assert params["decay.kind"] == "multistep"
    assert params["restarts.cycles"] == "1"
    assert params["base_lr"] == "0.05"
    assert (params["seed"], params["phase"], params["kind"]) == ("5", "search", "search")


def test_no_warmup_is_an_answer_too() -> None:
    assert facts.run_params(RUN, candidate(CONSTANT))["warmup.kind"] == "none"


def test_what_mlflow_would_cut_is_left_out() -> None:
    study = replace(STUDY, task_options={"long": "x" * 501, "short": "y"})
    params = facts.study_params(study)
    assert "task.long" not in params
    assert params["task.short"] == "y"
    assert params["budget.trials"] == "24"
    assert "budget.incumbent" not in params
    assert "budget.nested" not in params


def test_runs_have_names_that_sort_and_tell() -> None:
    assert facts.run_name(RUN, candidate()) == "search-0017 multistep"
    assert facts.run_name(RUN, candidate(label="warmup_cosine")) == "search-0017 warmup_cosine"


def test_a_failed_run_says_why_without_credentials() -> None:
    failed = replace(RUN, state=RunState.FAILED, score=None, reason="lost http://u:s3cr3t@host:1/x")
    tags = facts.run_tags(failed, candidate(), "parent")
    assert tags["schedsearch.outcome"] == "failed"
    assert tags["mlflow.parentRunId"] == "parent"
    assert "lost http://host:1/x" in tags[facts.NOTE]
    assert "s3cr3t" not in str(tags)


def test_a_copied_run_names_the_one_that_was_trained() -> None:
    copied = replace(RUN, copied_from=4, claimed_at=None, attempt=0)
    assert facts.run_tags(copied, candidate(), "parent")["schedsearch.copied_from"] == "4"
    assert "Not trained here: the same as run 4" in facts.run_note(copied, candidate())
    assert "schedsearch.copied_from" not in facts.run_tags(RUN, candidate(), "parent")


def test_a_diverged_run_says_where() -> None:
    diverged = replace(RUN, state=RunState.DIVERGED, score=None, diverged_at=37)
    assert "Diverged at update 37." in facts.run_note(diverged, candidate())
    assert facts.score_points(diverged) == []


@pytest.mark.parametrize("score", [math.inf, math.nan, None])
def test_a_score_that_is_not_finite_is_never_sent(score: float | None) -> None:
    assert facts.score_points(replace(RUN, score=score)) == []


@pytest.mark.parametrize(("direction", "best"), [("minimize", [3.0, 2.0, 2.0]), ("maximize", [3.0, 3.0, 5.0])])
def test_best_so_far_follows_the_ends_of_search_runs(direction: str, best: list[float]) -> None:
    runs = [
        replace(RUN, id=1, score=2.0, finished_at=12.0),
        replace(RUN, id=2, score=3.0, finished_at=11.0),
        replace(RUN, id=3, score=5.0, finished_at=13.0),
        replace(RUN, id=4, score=0.0, finished_at=14.0, phase=Phase.CONFIRM),
        replace(RUN, id=5, score=None, finished_at=15.0, state=RunState.DIVERGED),
    ]
    curve = facts.best_so_far(runs, direction)
    assert [point.value for point, _ in curve] == best
    assert [point.step for point, _ in curve] == [1, 2, 3]
    assert [at for _, at in curve] == [11.0, 12.0, 13.0]


def test_a_long_best_so_far_keeps_only_improvements() -> None:
    runs = [replace(RUN, id=one, score=1.0, finished_at=float(one)) for one in range(1, 1000)]
    runs.append(replace(RUN, id=1000, score=0.5, finished_at=1000.0))
    curve = facts.best_so_far(runs, "minimize")
    assert len(curve) == MOST_POINTS + 1
    assert curve[-1][0].step == 1000


def test_a_study_without_a_verdict_says_so_in_line_one() -> None:
    stopped = replace(STUDY, state=StudyState.STOPPED, reason="interrupted")
    note = facts.study_state_tags(stopped, None, {}, "#/x")[facts.NOTE]
    assert note.splitlines()[0] == "No verdict yet: the study is stopped in phase search: interrupted"
    assert "(#/x)" in note




def test_importing_the_room_does_not_import_mlflow() -> None:
    code = "import sys, schedsearch.tracking; sys.exit('mlflow' in sys.modules or 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_saved_views_filter_sort_and_group_the_studys_own_runs() -> None:
    study = STUDY
    tags = views.view_tags(study, "a" * 32)
    assert {key.rpartition(".")[0] for key in tags} == {"mlflow.sharedViewState"}
    by_name = {one["name"]: one for one in map(json.loads, tags.values())}
    assert set(by_name) == {f"{study.name}: who won", f"{study.name}: by family"}
    state = json.loads(by_name[f"{study.name}: by family"]["state"])
    assert state["searchFilter"] == f"tags.`mlflow.parentRunId` = '{'a' * 32}' AND params.`phase` = 'search'"
    assert (state["orderByKey"], state["orderByAsc"]) == ("metrics.`objective`", True)
    assert state["groupBy"]["groupByKeys"] == [{"groupByData": "decay.kind", "mode": "param"}]
    assert state["groupBy"]["aggregateFunction"] == "min"
    sections = {one["uuid"] for one in state["compareRunSections"]}
    assert {one["metricSectionId"] for one in state["compareRunCharts"]} == sections
    upwards = views.view_tags(replace(study, direction="maximize"), "a" * 32)
    assert tags.keys() == upwards.keys()
    assert '\\"aggregateFunction\\": \\"max\\"' in "".join(upwards.values())


def test_views_are_linked_where_they_are_named() -> None:
    links = views.view_links(STUDY, "7")
    keys = [key.rpartition(".")[2] for key in views.view_tags(STUDY, "a")]
    assert [key in link for key, link in zip(keys, links, strict=True)] == [True, True]
    assert all(link.split("](")[1].startswith("#/experiments/7/runs?workflowType=machine_learning&") for link in links)
