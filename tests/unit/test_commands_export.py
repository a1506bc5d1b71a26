"""`schedsearch export` on a real store: every kind, without an engine or a framework."""

import subprocess
import sys
from pathlib import Path

import pytest
from report_example import Example
from stored_example import stored

from schedsearch.cli.results import export as command
from schedsearch.commands.results import export
from schedsearch.report.exports import EXPORTERS
from schedsearch.task.script import script_of

NAME = "charlm-framework"
SCRIPT = """
import sys
from schedsearch.cli import cli
for kind in sys.argv[3:]:
    cli.main(["export", sys.argv[1], "--to", kind, "--storage", sys.argv[2]], standalone_mode=False)
heavy = {"torch", "mlflow", "optuna", "botorch", "jax", "keras", "transformers", "lightning", "timm", "torchtitan"}
print(*sorted(heavy & sys.modules.keys()), file=sys.stderr)
"""


def test_every_kind_is_printed_and_neither_engine_nor_framework_imported(tmp_path: Path) -> None:
    url = stored(tmp_path, Example())
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, NAME, url, *EXPORTERS], capture_output=True, text=True, check=False, timeout=100
    )
    assert (done.returncode, done.stderr.strip()) == (0, ""), done.stderr
    assert done.stdout.count("batch size that it was found with") == len(EXPORTERS)


def test_the_command_knows_every_exporter() -> None:
    kinds = next(one for one in command.params if one.name == "kind").type
    assert list(kinds.choices) == list(EXPORTERS)


@pytest.mark.parametrize("kind", ["json", "torch"])
def test_a_study_of_a_script_tells_its_command(tmp_path: Path, kind: str) -> None:
    reference = script_of(["torchrun", "train.py", "--name", "a b"], tmp_path).reference
    text = export(stored(tmp_path, Example(), task=reference), NAME, kind, None)
    assert "torchrun train.py --name 'a b'" in text
    assert "script:" not in text
    assert str(tmp_path) not in text
