"""`schedsearch answers` on a real store: read only, without an engine, and clear about what is not there."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from report_example import Example
from stored_example import stored

from schedsearch.commands.answers import answers
from schedsearch.errors import InvalidInput, StoreError, UnknownStudy
from schedsearch.report.answers import answers_text

SCRIPT = """
import sys
from schedsearch.cli import cli
cli.main(sys.argv[1:], standalone_mode=False)
print(*sorted({"torch", "mlflow", "optuna", "botorch"} & sys.modules.keys()), file=sys.stderr)
"""


def test_the_command_prints_json_and_imports_no_engine(tmp_path: Path) -> None:
    url = stored(tmp_path, Example())
    command = [sys.executable, "-c", SCRIPT, "answers", "charlm-framework", "--storage", url, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
    assert (done.returncode, done.stderr.strip()) == (0, ""), done.stderr
    values = json.loads(done.stdout)
    assert [one["chosen"] for one in values["questions"]] == ["yes", "wsd", "no"]
    assert {one["choice"] for one in values["importances"]["choices"]} == {"base LR", "warm-up", "decay", "restarts"}
    assert values["importances"]["runs"] == 44


def test_a_study_of_few_runs_has_answers_and_no_importances(tmp_path: Path) -> None:
    url = stored(tmp_path, Example(trials=8))
    text = answers_text(answers(url, "charlm-framework"))
    assert "Warm-up: yes." in text
    assert text.endswith("Importances need 20 searched runs or more; this study has 12.")


def test_a_study_without_a_verdict_answers_nothing(tmp_path: Path) -> None:
    url = stored(tmp_path, Example(), finished=False)
    with pytest.raises(InvalidInput, match="answers nothing before it has a verdict; it is running now"):
        answers(url, "charlm-framework")


def test_a_study_or_a_store_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="There is no store at"):
        answers(f"sqlite:///{tmp_path / 'none.db'}", "charlm-framework")
    url = stored(tmp_path, Example())
    with pytest.raises(UnknownStudy, match="no study named 'other'"):
        answers(url, "other")
