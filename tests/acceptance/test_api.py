"""The Python API: a study from a program or a notebook, read back as values, frames and figures."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import schedsearch
from schedsearch.api import reference_of
from schedsearch.errors import InvalidInput, SchedsearchError, UnknownStudy
from schedsearch.task import Task
from schedsearch.task.builtin.digits import Digits

FEW = {"space": "quick", "trials": 6, "noise_seeds": 2, "confirm_seeds": 2, "total_updates": 40, "workers": 2}
PROGRAM = """
import torch
import schedsearch
from schedsearch.task import Splits, Task

class Mine(Task):
    total_updates = 30
    batch_size = 8

    def data(self):
        x = torch.randn(64, 4, generator=torch.Generator().manual_seed(0))
        part = x, x.sum(1, keepdim=True)
        return Splits(part, part, part)

    def model(self):
        return torch.nn.Linear(4, 1)

    def loss(self, output, batch):
        return torch.nn.functional.mse_loss(output, batch[1])

if __name__ == "__main__":
    few = {"trials": 4, "noise_seeds": 2, "confirm_seeds": 2, "workers": 1}
    study = schedsearch.find_schedule(Mine, space="quick", progress=False, **few)
    print(study.best.schedule.describe())
"""


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> schedsearch.Study:
    folder = tmp_path_factory.mktemp("api")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        where = {"storage": f"sqlite:///{folder}/s.db", "study": "api"}
        return schedsearch.find_schedule("digits", progress=False, **where, **FEW)


def test_the_verdict_and_the_best_schedule(study: schedsearch.Study) -> None:
    best = study.best
    assert best.schedule.describe() in study.verdict.text or "constant" in study.verdict.text
    assert best.low is not None
    assert best.high is not None
    assert best.score is not None
    assert best.low < best.score < best.high
    assert best.seeds == 2
    assert "<p>" in study._repr_html_()


def test_every_run_is_a_row(study: schedsearch.Study) -> None:
    frame = study.frame()
    assert set(frame["phase"]) == {"noise", "search", "race", "confirm"}
    assert frame.index.is_unique
    assert np.isfinite(frame.loc[frame["state"] == "completed", "score"]).all()
    assert (frame["total_updates"] == 40).all()
    assert frame["copied_from"].isna().all()
    confirmed = frame[(frame["phase"] == "confirm")]
    assert confirmed.groupby("candidate")["score"].mean().min() == pytest.approx(
        min(one.mean for one in study.verdict.standings if one.mean is not None)
    )


def test_figures_hold_the_finalists_and_the_answers(study: schedsearch.Study) -> None:
    schedules = study.plot_schedules()
    assert len(schedules.data) == len(study.verdict.standings)
    widest = [one for one in schedules.data if one.line.width == 4]
    assert len(widest) == 1
    assert max(widest[0].y) <= study.best.schedule.base_lr * (1 + 1e-9)
    answers = study.plot_answers()
    points = [one for one in answers.data if one.mode == "markers"]
    assert sum(len(one.x) for one in points) > 6
    assert answers.to_html(include_plotlyjs=False)


def test_a_study_of_the_command_line_is_opened_by_name(study: schedsearch.Study, tmp_path: Path) -> None:
    again = schedsearch.open_study("api", study.storage)
    assert again.best == study.best
    assert again.write_report(tmp_path / "report.html").stat().st_size > 100_000
    with pytest.raises(UnknownStudy):
        schedsearch.open_study("other", study.storage)
    with pytest.raises(SchedsearchError, match="There is no store at"):
        schedsearch.open_study("api", f"sqlite:///{tmp_path}/none.db")


def test_bad_options_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="`trials` must be at least 4"):
        schedsearch.find_schedule("digits", storage=f"sqlite:///{tmp_path}/x.db", trials=2)
    with pytest.raises(InvalidInput, match="bananas"):
        schedsearch.find_schedule("digits", storage=f"sqlite:///{tmp_path}/x.db", bananas=3)
    assert list(tmp_path.iterdir()) == []


def test_classes_are_found_where_workers_can_import_them() -> None:
    assert reference_of("digits") == "digits"
    assert reference_of(Digits) == "schedsearch.task.builtin.digits:Digits"

    class Local(Task):
        pass

    with pytest.raises(InvalidInput, match="must lie at the top of a file that workers can import"):
        reference_of(Local)


def test_a_class_of_the_program_itself(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    done = subprocess.run([sys.executable, "program.py"], cwd=tmp_path, check=True, capture_output=True, text=True)
    assert "base LR" in done.stdout


def test_the_package_is_imported_without_what_only_searches_need() -> None:
    heavy = ("torch", "optuna", "pandas", "plotly")
    code = f"import schedsearch, sys; print([one for one in {heavy} if one in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
