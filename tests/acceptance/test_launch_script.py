"""A study of a training script, run as it is, through the command line."""

import json
import re
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest
from command_line import ONE_DECAY, ONE_WORKER, schedsearch

EXAMPLE = Path(__file__).parents[2] / "examples" / "digits_script.py"
FEW = ("--space", "one.yaml", "--trials", "4", "--noise-seeds", "2", "--confirm-seeds", "2", "--mlflow", "none",
       *ONE_WORKER)  # fmt: skip
TINY = """
import torch, schedsearch
run = schedsearch.attach()
torch.manual_seed(run.seed)
model = torch.nn.Linear(4, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
scheduler = run.scheduler(optimizer, total_updates=30)
for step in range(30):
    x = torch.randn(16, 4)
    loss = (model(x).squeeze(1) - x.sum(1)).square().mean()
    optimizer.zero_grad(); loss.backward(); optimizer.step(); scheduler.step()
    run.report(loss=loss.item())
    if step % 10 == 9:
        run.report(val_loss=loss.item(), r2=1 - loss.item() / 4)
"""


def test_a_script_is_searched_verified_and_named_by_its_command(tmp_path: Path) -> None:
    (tmp_path / "tiny.py").write_text(TINY)
    (tmp_path / "one.yaml").write_text(ONE_DECAY)
    (tmp_path / "own.json").write_text(json.dumps({"base_lr": 0.05, "decay": {"kind": "cosine"}}))
    given = ("--metric", "r2", "--direction", "maximize", "--incumbent", "own.json")
    said = schedsearch("launch", *FEW, *given, "--", sys.executable, "tiny.py", cwd=tmp_path)
    assert said.code == 0, said.err
    assert re.search(r"Use .*: r2 0\.\d+|Use .*: r2 -?\d", said.out)
    assert "incumbent" in said.out
    (study,) = json.loads(schedsearch("studies", "--json", cwd=tmp_path).out)
    assert (study["task"], study["state"]) == (f"{sys.executable} tiny.py", "finished")
    assert study["name"].startswith("tiny-one-")
    report = (tmp_path / "schedsearch-results" / study["name"] / "report.html").read_text()
    assert "tiny.py" in report
    with closing(sqlite3.connect(tmp_path / "schedsearch.db")) as connection:
        run = "select count(*), count(distinct seed) from schedsearch_run where state = 'completed'"
        completed, seeds = connection.execute(run).fetchone()
        points = connection.execute("select count(*), max(update_number) from schedsearch_measurement").fetchone()
    assert completed > 8
    assert seeds >= 5
    assert points[0] >= 3 * completed
    assert points[1] == 29


BARE_SCRIPT = EXAMPLE.with_name("bare_script.py")
BARE = ("--total-updates", "60", "--base-lr", "0.01", "10", "--metric", "val_loss=validation loss ([0-9.]+)")


@pytest.mark.parametrize(
    ("given", "shown", "updates"),
    [
        (("--task", f"{EXAMPLE.with_name('numpy_function.py')}:train"), "numpy_function.py:train", 60),
        (
            (*BARE, "--", sys.executable, str(BARE_SCRIPT), "--lrs", "{lrs}", "--seed", "{seed}"),
            "--lrs '{lrs}' --seed '{seed}'",
            60,
        ),
    ],
    ids=["a function", "a script that imports nothing"],
)
def test_other_doors_lead_to_a_verdict(tmp_path: Path, given: tuple[str, ...], shown: str, updates: int) -> None:
    (tmp_path / "one.yaml").write_text(ONE_DECAY)
    said = schedsearch("launch", *FEW, *given, cwd=tmp_path)
    assert said.code == 0, said.err
    assert "Use " in said.out
    (study,) = json.loads(schedsearch("studies", "--json", cwd=tmp_path).out)
    assert study["task"].endswith(shown)
    with closing(sqlite3.connect(tmp_path / "schedsearch.db")) as connection:
        done = "select count(*), min(updates_done) from schedsearch_run where state = 'completed'"
        completed, fewest = connection.execute(done).fetchone()
        curves = "select count(distinct run_id) from schedsearch_measurement where val_loss is not null"
        assert connection.execute(curves).fetchone()[0] == completed
    assert completed > 8
    assert fewest == updates
    assert {one.name for one in tmp_path.iterdir()} == {"schedsearch-results", "schedsearch.db", "one.yaml"}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--task", "digits", "--", "python", "x.py"), "`task` cannot be given beside the command of a script"),
        (("--task", "digits", "--metric", "f1"), "`metric` and `direction` are for a script"),
        (("--total-updates", "9", "--", "python", "x.py"), "`total_updates` are a script's own business"),
        (("missing.yaml",), "There is no study file 'missing.yaml'."),
        (("--", sys.executable, "missing.py"), "ended with exit code 2 when it was tried"),
    ],
)
def test_what_no_script_can_do(tmp_path: Path, arguments: tuple[str, ...], sentence: str) -> None:
    said = schedsearch("launch", *arguments, cwd=tmp_path)
    assert said.code == 2
    assert sentence in said.err
    assert not (tmp_path / "schedsearch.db").exists()


def test_the_example_differs_from_an_ordinary_script_by_the_lines_it_marks(tmp_path: Path) -> None:
    """Without them it is still a whole script, and no more than eight lines are asked for."""
    lines = EXAMPLE.read_text().splitlines()
    added = [line for line in lines if line.endswith("# +")]
    assert 3 <= len(added) <= 8
    assert {"attach", "scheduler", "report"} <= set(re.findall(r"attach|scheduler|report", " ".join(added)))
    assert sum("schedsearch" in line or "run." in line for line in lines[8:]) == len(added) + 1  # and the seed
