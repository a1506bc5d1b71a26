"""A whole study through the command line: launched, looked at, exported, mirrored."""

import importlib.util
import json
import re
import runpy
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import torch
from command_line import SMALL, Done, schedsearch
from mlflow import MlflowClient

from schedsearch import Schedule

NAME = "first"
pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")  # of MLflow's own queries


@dataclass(frozen=True)
class Finished:
    """A study that ran to its verdict: where, and what `launch` said."""

    folder: Path
    said: Done

    def sql(self, query: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.folder / "schedsearch.db")) as connection:
            return connection.execute(query).fetchall()

    @property
    def results(self) -> Path:
        return self.folder / "schedsearch-results" / NAME


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    folder = tmp_path_factory.mktemp("launch")
    (folder / "mine.json").write_text('{"base_lr": 0.05, "decay": {"kind": "linear"}}')
    (folder / "study.yaml").write_text(
        f"study: {NAME}\ntrials: 99\nbase_lr: [1e-3, 1]\nincumbent: mine.json\ntask_options: {{batch_size: 32}}\n"
    )
    said = schedsearch("launch", "study.yaml", *SMALL, "--trials", "8", "--seed", "3", cwd=folder)
    assert said.code == 0, said.err
    return Finished(folder, said)


def test_the_verdict_comes_last_and_names_every_baseline(study: Finished) -> None:
    places, verdict = study.said.out.strip().rsplit("\n\n", 1)
    assert "report.html" in places
    first = verdict.split("\n", 1)[0]
    assert re.search(r"Use .*base LR", first)
    assert re.search(r"loss [\d.]+ \(95 % [-\d.]+ \.\. [\d.]+\)", first)
    for baseline in ("constant", "cosine", "warm-up + cosine"):
        assert baseline in verdict  # the recommended one is not set against itself


def test_it_says_where_everything_is(study: Finished) -> None:
    for name in ("report.html", "winner_torch.py", "winner.json"):
        assert f"schedsearch-results/{NAME}/{name}" in study.said.out
        assert (study.results / name).stat().st_size > 100
    assert "?workflowType=machine_learning" in study.said.out
    assert "mlflow server --workers 1 --backend-store-uri sqlite:///mlflow.db" in study.said.out


def test_progress_is_plain_lines_where_there_is_no_terminal(study: Finished) -> None:
    assert re.search(r"^noise: \d+ of at most \d+ runs", study.said.err, flags=re.MULTILINE)
    assert re.search(r"^confirm: \d+ of at most \d+ runs", study.said.err, flags=re.MULTILINE)
    assert "\x1b" not in study.said.err


def test_a_flag_goes_before_the_file_and_the_file_before_the_default(study: Finished) -> None:
    ((budget, options, space),) = study.sql("select budget, task_options, space from schedsearch_study")
    assert json.loads(budget)["trials"] == 8
    assert json.loads(options)["batch_size"] == 32
    assert json.loads(space)["base_lr"] == {"low": 0.001, "high": 1.0}


def test_the_environment_goes_between_flag_and_file(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text("task: digits\nspace: quick\nseed: 1\n")
    done = schedsearch("launch", "study.yaml", cwd=tmp_path, SCHEDSEARCH_LAUNCH_SEED="-5")
    assert "`seed` must be at least 0, but is -5 instead." in done.err


def test_every_phase_ran_on_seeds_of_its_own(study: Finished) -> None:
    rows = study.sql("select phase, seed from schedsearch_run where state = 'completed'")
    seeds = {phase: {seed for one, seed in rows if one == phase} for phase, _ in rows}
    assert set(seeds) == {"noise", "search", "race", "confirm"}
    assert sum(len(one) for one in seeds.values()) == len(set.union(*seeds.values()))


def test_no_more_was_searched_than_was_asked_for(study: Finished) -> None:
    ((searched,),) = study.sql(
        "select count(*) from schedsearch_run r join schedsearch_candidate c on r.candidate_id = c.id "
        "where r.phase = 'search' and c.kind = 'search'"
    )
    assert searched == 8


def test_the_finalists_are_paired(study: Finished) -> None:
    rows = study.sql("select candidate_id, seed from schedsearch_run where phase = 'confirm'")
    by_candidate: dict[int, set[int]] = {}
    for candidate, seed in rows:
        by_candidate.setdefault(candidate, set()).add(seed)
    assert len(by_candidate) >= 5
    assert len(set(map(frozenset, by_candidate.values()))) == 1


def test_the_views_answer_without_decoding_anything(study: Finished) -> None:
    board = study.sql("select * from schedsearch_leaderboard")
    curves = study.sql("select * from schedsearch_curves")
    answers = study.sql("select question, answer from schedsearch_answers")
    assert len(board) == study.sql("select count(*) from schedsearch_candidate")[0][0]
    assert len(curves) > len(board)
    assert {("warmup", "yes"), ("warmup", "no"), ("decay", "cosine")} <= set(answers)


def test_the_exported_scheduler_is_the_winner_at_every_update(study: Finished) -> None:
    values = json.loads((study.results / "winner.json").read_text())
    expected = Schedule.from_dict(values["schedule"]).lrs(values["total_updates"])
    spec = importlib.util.spec_from_file_location("winner_torch", study.results / "winner_torch.py")
    assert spec is not None
    assert spec.loader is not None
    winner = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(winner)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = winner.make_scheduler(optimizer)
    used = []
    for _ in range(values["total_updates"]):
        used.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    np.testing.assert_allclose(used, expected, rtol=1e-12, atol=1e-15 * expected.max())


@pytest.mark.parametrize("kind", ["json", "torch"])
def test_export_prints_what_launch_wrote(study: Finished, kind: str) -> None:
    name = {"json": "winner.json", "torch": "winner_torch.py"}[kind]
    done = schedsearch("export", NAME, "--to", kind, cwd=study.folder)
    assert (done.code, done.out) == (0, (study.results / name).read_text())


def test_export_gives_the_winner_in_plain_python_and_as_a_table(study: Finished, tmp_path: Path) -> None:
    values = json.loads((study.results / "winner.json").read_text())
    for kind in ("python", "csv"):
        done = schedsearch("export", NAME, "--to", kind, "--output", str(tmp_path / kind), cwd=study.folder)
        assert done.code == 0
    rows = [line for line in (tmp_path / "csv").read_text().splitlines() if not line.startswith("#")]
    table = dict(line.split(",") for line in rows[1:])
    lr = runpy.run_path(str(tmp_path / "python"))["lr"]
    assert len(table) == values["total_updates"]
    for t, trained in values["test_values"]:
        assert lr(t) == pytest.approx(trained, rel=1e-12)
        assert float(table[str(t)]) == trained


def test_another_candidate_can_be_exported_and_a_strange_one_not(study: Finished) -> None:
    assert json.loads(schedsearch("export", NAME, "--to", "json", "--candidate", "1", cwd=study.folder).out)
    done = schedsearch("export", NAME, "--to", "json", "--candidate", "9999", cwd=study.folder)
    assert (done.code, done.err) == (2, f"Error: The study {NAME!r} has no candidate 9999.\n")


def test_the_mirror_has_one_child_a_run(study: Finished) -> None:
    client = MlflowClient(f"sqlite:///{study.folder / 'mlflow.db'}")
    ((experiment, parent),) = study.sql("select mlflow_experiment_id, mlflow_run_id from schedsearch_study")
    found = client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{parent}'", max_results=1000)
    ((runs,),) = study.sql("select count(*) from schedsearch_run")
    assert len(found) == runs
    assert {"report.html", "winner.json", "winner_torch.py"} <= {one.path for one in client.list_artifacts(parent)}


def test_optuna_opens_the_study(study: Finished) -> None:
    opened = optuna.load_study(study_name=NAME, storage=f"sqlite:///{study.folder / 'schedsearch.db'}")
    assert [trial.state.name for trial in opened.trials] == ["COMPLETE"] * 8


def test_status_studies_and_report(study: Finished) -> None:
    state = json.loads(schedsearch("status", NAME, "--json", cwd=study.folder).out)
    assert state["state"] == "finished"
    assert [one["planned"] == one["done"] for one in state["phases"]] == [True] * 4
    (row,) = json.loads(schedsearch("studies", "--json", cwd=study.folder).out)
    assert (row["name"], row["state"]) == (NAME, "finished")
    done = schedsearch("report", NAME, "--output", "again.html", cwd=study.folder)
    assert done.out == "again.html\n"
    text = (study.folder / "again.html").read_text()
    assert NAME in text
    assert "http://" not in re.sub(r"http://www\.w3\.org/\S+", "", text.partition("<script")[0])


def test_a_study_of_that_name_is_refused(study: Finished) -> None:
    again = schedsearch("launch", *SMALL, "--study", NAME, cwd=study.folder)
    assert (again.code, "exists already" in again.err) == (2, True)
    other = schedsearch("launch", "--task", "digits", "--space", "classic", "--study", NAME, cwd=study.folder)
    assert (other.code, "exists with the space 'quick', not 'classic'" in other.err) == (2, True)
    assert len(study.sql("select id from schedsearch_study")) == 1


def test_an_unknown_study_is_one_sentence(study: Finished) -> None:
    done = schedsearch("status", "nobody", cwd=study.folder)
    assert done.code == 2
    assert "nobody" in done.err
    assert len(done.err.strip().splitlines()) == 1


def test_resuming_a_finished_study_shows_it_again(study: Finished) -> None:
    done = schedsearch("launch", "--resume", NAME, "--json", cwd=study.folder)
    assert done.code == 0
    values = json.loads(done.out)
    assert Schedule.from_dict(values["recommended"]["schedule"]).describe() == values["recommended"]["description"]
    assert {one["role"] for one in values["standings"]} >= {"winner", "baseline"}
    assert len(values["standings"]) == len({one["candidate_id"] for one in values["standings"]}) >= 5


def test_resume_takes_no_other_settings(study: Finished) -> None:
    done = schedsearch("launch", "--resume", NAME, "--trials", "50", cwd=study.folder)
    assert done.code == 2
    assert "`resume` goes on with a study as it was launched, so that `trials` cannot be given too." in done.err


@pytest.mark.parametrize("verb", [("status",), ("report", "--output", "third.html"), ("export", "--to", "torch")])
def test_reading_a_study_imports_no_engine(study: Finished, verb: tuple[str, ...]) -> None:
    done = schedsearch(verb[0], NAME, *verb[1:], cwd=study.folder, PYTHONPROFILEIMPORTTIME="1")
    assert done.code == 0
    imported = set(re.findall(r"\| +([a-z_]+)$", done.err, flags=re.MULTILINE))
    assert "sqlalchemy" in imported
    assert not imported & {"torch", "mlflow", "optuna", "botorch"}


def test_sync_finds_nothing_left_to_do(study: Finished) -> None:
    done = schedsearch("sync", NAME, cwd=study.folder)
    assert json.loads(done.out)["mirrored"] == 0


def test_a_resolution_that_the_budget_cannot_pay_for_is_refused_once_the_noise_is_known(study: Finished) -> None:
    task = ("--task", "digits", "--space", "quick", "--total-updates", "40", "--task-option", "batch_size=32")
    said = schedsearch("launch", *task, "--updates", "4000", "--resolution", "0.0001", cwd=study.folder)
    assert said.code == 2
    assert re.search(
        r"`resolution` = 0.0001 takes \d+ seeds a finalist \(the study 'first' measured a noise of [\d.]+\), "
        r"about \d+ runs in all; `updates` = 4000 pays for 100\.",
        said.err,
    )
    assert study.sql("SELECT count(*) FROM studies") == [(1,)]
