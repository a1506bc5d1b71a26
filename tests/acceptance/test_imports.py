"""Looking never costs the import of an engine: torch and MLflow take seconds each."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import environment

from schedsearch.store import Store

HEAVY = {"torch", "mlflow", "optuna", "botorch"}
SCRIPT = """
import json, sys
from schedsearch.cli import cli
try:
    cli.main(json.loads(sys.argv[1]), standalone_mode=False)
finally:
    print(json.dumps(sorted(sys.modules)), file=sys.stderr)
"""


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["launch", "--help"],
        ["studies"],
        ["spaces"],
        ["tasks"],
        ["db", "check"],
        ["answers", "--help"],
        ["probe", "--help"],
    ],
)
def test_nothing_heavy_is_imported_to_look(tmp_path: Path, arguments: list[str]) -> None:
    with Store.open(f"sqlite:///{tmp_path / 'schedsearch.db'}"):
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, json.dumps(arguments)],
            cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False, timeout=100,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout
    loaded = set(json.loads(done.stderr.splitlines()[-1]))
    assert "click" in loaded
    assert not loaded & HEAVY
