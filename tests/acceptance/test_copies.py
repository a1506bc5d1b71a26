"""What was trained once is never trained again: the same study twice, through the command line."""

import json
import sqlite3
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from command_line import ONE_DECAY, schedsearch

FEW = ("--space", "one.yaml", "--trials", "4", "--noise-seeds", "2", "--confirm-seeds", "2", "--mlflow", "none")
TASK = ("--task", "digits", "--total-updates", "40")
SCRIPT = """
import random
import schedsearch
from parts import loss, slope

run = schedsearch.attach(seed=3)
weight = 2 + random.Random(run.seed).random()
for update in range(20):
    weight -= run.lr(update, total_updates=20, default=lambda update: 0.1) * slope(weight)
    run.report(loss=loss(weight))
run.report(val_loss=loss(weight))
"""
PARTS = """
def loss(weight):
    return 0.5 * (weight - 1) ** 2

def slope(weight):
    return weight - 1
"""


def launch(folder: Path, name: str, *arguments: str | Path) -> str:
    done = schedsearch("launch", "--study", name, *FEW, *arguments, cwd=folder)
    assert done.code == 0, done.err
    return done.out


def runs(folder: Path, name: str) -> list[dict[str, Any]]:
    """The study's runs, with the score of the run that each was copied from."""
    with closing(sqlite3.connect(folder / "schedsearch.db")) as connection:
        connection.row_factory = sqlite3.Row
        asked = """select r.*, o.score as other_score, o.study_id as other_study, c.schedule_key
            from schedsearch_run r join schedsearch_study s on s.id = r.study_id
            join schedsearch_candidate c on c.id = r.candidate_id
            left join schedsearch_run o on o.id = r.copied_from where s.name = ? order by r.id"""
        return [dict(row) for row in connection.execute(asked, (name,))]


def begun(folder: Path, name: str, *arguments: str | Path) -> set[str]:
    """The states of the first runs of a study that is only written."""
    launch(folder, name, "--detach", *arguments)
    return {str(run["state"]) for run in runs(folder, name)}


def confirmed(folder: Path, name: str) -> Mapping[str, list[float]]:
    """The scores of the confirmation by schedule."""
    found: dict[str, list[float]] = {}
    for run in runs(folder, name):
        if run["phase"] == "confirm":
            found.setdefault(run["schedule_key"], []).append(run["score"])
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a study and the same one again."""
    here = tmp_path_factory.mktemp("copies")
    (here / "one.yaml").write_text(ONE_DECAY)
    said = [launch(here, name, *TASK, "--workers", "2") for name in ("first", "again")]
    assert "earlier studies" not in said[0]
    assert "taken from earlier studies, which had trained the same; `launch --fresh` trains everything anew." in said[1]
    yield here


def test_the_second_study_trains_little_and_measures_the_same(folder: Path) -> None:
    first, again = runs(folder, "first"), runs(folder, "again")
    assert all(run["copied_from"] is None for run in first)
    copied = [run for run in again if run["copied_from"] is not None]
    assert len(copied) >= 0.5 * len(again)
    assert {run["phase"] for run in copied} >= {"noise", "search"}
    assert all(run["score"] == run["other_score"] for run in copied)
    assert {run["other_study"] for run in copied} == {first[0]["study_id"]}
    before, after = confirmed(folder, "first"), confirmed(folder, "again")
    assert {key: after[key] for key in before.keys() & after} == {key: before[key] for key in before.keys() & after}
    assert json.loads(schedsearch("status", "again", "--json", cwd=folder).out)["state"] == "finished"


def test_status_report_and_metrics_say_what_was_taken_over(folder: Path) -> None:
    again = runs(folder, "again")
    copied = sum(run["copied_from"] is not None for run in again)
    spent_s = sum(run["duration_s"] for run in again if run["copied_from"] is None)
    status = json.loads(schedsearch("status", "again", "--json", cwd=folder).out)
    assert status["copied"] == copied
    assert status["trained_s"] == pytest.approx(spent_s)
    assert f"{copied} were taken from earlier studies" in schedsearch("status", "again", cwd=folder).out
    assert "earlier studies" not in schedsearch("status", "first", cwd=folder).out
    report = (folder / "schedsearch-results" / "again" / "report.html").read_text()
    assert f"Spent: {len(again) - copied} runs," in report
    assert f"{copied} runs were taken from earlier studies" in report
    metrics = schedsearch("metrics", cwd=folder).out
    assert f'schedsearch_copied_runs{{study="again"}} {copied}.0' in metrics
    assert 'schedsearch_copied_runs{study="first"} 0.0' in metrics


def test_only_the_same_training_is_known(folder: Path) -> None:
    assert begun(folder, "same", *TASK) == {"completed"}
    assert begun(folder, "other-seed", *TASK, "--seed", "10000") == {"waiting"}
    assert begun(folder, "other-horizon", "--task", "digits", "--total-updates", "41") == {"waiting"}
    assert begun(folder, "other-option", *TASK, "--task-option", "batch_size=33") == {"waiting"}


def test_fresh_takes_nothing_over(folder: Path) -> None:
    (folder / "fresh.yaml").write_text("fresh: true\ntask: digits\ntotal_updates: 40\n")
    assert begun(folder, "fresh", *TASK, "--fresh") == {"waiting"}
    done = schedsearch("launch", "fresh.yaml", "--study", "from-file", *FEW, "--detach", cwd=folder)
    assert done.code == 0, done.err
    assert {run["state"] for run in runs(folder, "from-file")} == {"waiting"}
    refused = schedsearch("launch", "--resume", "fresh", "--fresh", cwd=folder)
    assert refused.code == 2
    assert "so that `fresh` cannot be given too" in refused.err


def test_another_version_trained_nothing_that_counts(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "schedsearch.db")) as connection, connection:
        connection.execute("update schedsearch_study set code_version = '0.0.0'")
    assert begun(folder, "newer", *TASK) == {"waiting"}


def test_a_script_s_runs_are_known_until_it_changes(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text(ONE_DECAY)
    (tmp_path / "tiny.py").write_text(SCRIPT)
    (tmp_path / "parts.py").write_text(PARTS)
    command = ("--", sys.executable, "tiny.py")
    launch(tmp_path, "first", *command)
    assert begun(tmp_path, "again", *command) == {"completed"}
    (tmp_path / "parts.py").write_text(PARTS.replace("0.5", "0.25"))
    assert begun(tmp_path, "changed", *command) == {"waiting"}
