"""Other doors for a training loop: a function, a script that attaches to nothing, a metric that is printed."""

import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from schedsearch.api import reference_of
from schedsearch.commands.options import LaunchOptions
from schedsearch.errors import InvalidInput, InvalidTask, SchedsearchError
from schedsearch.schedule import Linear, Schedule
from schedsearch.task.script import Script, function_script, is_script, read_script, script_of, shown_task
from schedsearch.training.printed import PrintedMetric
from schedsearch.training.scripts import examine_script, train_script
from schedsearch.training.spec import RunSpec

TOTAL = 12
LINEAR = Schedule(0.4, Linear())
FUNCTION = """
    import torch

    def train(run):
        torch.manual_seed(run.seed)
        weight = torch.nn.Parameter(torch.ones(2))
        optimizer = torch.optim.SGD([weight], lr=0.1)
        scheduler = run.scheduler(optimizer, total_updates=12)
        for _ in range(12):
            weight.grad = torch.ones(2)
            optimizer.step()
            scheduler.step()
        (run.folder / "mine.pt").write_text("a file of this run alone")
        run.report(val_loss=weight.sum().item())

    class Other:
        pass
"""
BARE = """
    import argparse, json
    parser = argparse.ArgumentParser()
    parser.add_argument("--lrs")
    parser.add_argument("--seed", type=int)
    given = parser.parse_args()
    weight = 1.0
    rates = [float(line) for line in open(given.lrs)]
    for update, lr in enumerate(rates):
        weight -= lr  # no optimizer anywhere
        if update % 4 == 3:
            {say}
"""
SAYS_JSON = 'print(json.dumps({"step": update, "loss": 1.0, "val_loss": weight + given.seed, "name": "x"}), flush=True)'
SAYS_TEXT = 'print(f"epoch {update // 4}: validation loss {weight + given.seed:.6f} (best)", flush=True)'


def bare(folder: Path, say: str) -> Script:
    (folder / "bare.py").write_text(dedent(BARE).replace("{say}", say))
    return script_of([sys.executable, "bare.py", "--lrs", "{lrs}", "--seed", "{seed}"], folder)


def trained(one, metric="val_loss"):
    rows = []
    outcome = train_script(one, {"metric": metric}, RunSpec(LINEAR, 3, TOTAL), rows.extend, lambda: False)
    return outcome, rows


# ---- a function


@pytest.fixture
def function(tmp_path: Path) -> Script:
    (tmp_path / "mine.py").write_text(dedent(FUNCTION))
    found = function_script("mine.py:train", tmp_path)
    assert found is not None
    return found


def test_a_function_is_trained_like_a_script(function):
    facts = examine_script(function, {})
    assert (facts.name, facts.total_updates, facts.optimizer) == ("train", TOTAL, "SGD")
    outcome, _ = trained(function)
    assert outcome.score == pytest.approx(2 - 2 * LINEAR.lrs(TOTAL).sum(), rel=1e-5)
    assert shown_task(function.reference) == "mine.py:train"
    assert not (Path(function.folder) / "mine.pt").exists()


def test_a_function_may_be_run_alone(function):
    command = [sys.executable, "-m", "schedsearch.script", "mine.py:train"]
    subprocess.run(command, cwd=function.folder, check=True)
    assert (Path(function.folder) / "mine.pt").exists()
    command[-1] = "mine.py:nothing"
    done = subprocess.run(command, cwd=function.folder, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, "mine.py has no function 'nothing'.\n")


def test_only_functions_are_taken_for_one(function):
    folder = Path(function.folder)
    for reference in ("mine.py:Other", "mine.py:absent", "absent.py:train", "digits", "mine.py:", ":train", "a.b:c"):
        assert function_script(reference, folder) is None
    (folder / "broken.py").write_text("def train(run:")
    assert function_script("broken.py:train", folder) is None
    (folder / "package").mkdir()
    (folder / "package" / "__init__.py").write_text("raise RuntimeError('imported')")
    (folder / "package" / "part.py").write_text("def train(run):\n    pass\n")
    assert function_script("package.part:train", folder) is not None


def test_its_fingerprint_follows_its_file(function):
    before = function.fingerprint()
    (Path(function.folder) / "mine.py").write_text("def train(run):\n    pass\n")
    assert function.fingerprint() != before


def test_launch_takes_a_function_for_a_script(function, monkeypatch):
    monkeypatch.chdir(function.folder)
    options = LaunchOptions.from_values({"task": "mine.py:train", "metric": "val_loss"})
    assert is_script(str(options.task))
    assert read_script(str(options.task)) == function
    assert LaunchOptions.from_values({"task": "digits"}).task == "digits"
    assert reference_of(examine_script).startswith("schedsearch.training.scripts:")


# ---- a script that attaches to nothing


@pytest.mark.parametrize(
    ("say", "metric"), [(SAYS_JSON, "val_loss"), (SAYS_TEXT, r"val_loss=validation loss ([0-9.eE+-]+)")]
)
def test_a_script_that_imports_nothing_of_ours(tmp_path, say, metric):
    one = bare(tmp_path, say)
    facts = examine_script(one, {"metric": metric, "total_updates": str(TOTAL)})
    assert (facts.total_updates, facts.metric, facts.optimizer) == (TOTAL, "val_loss", "set by the script")
    outcome, rows = trained(one, metric)
    assert outcome.status == "completed"
    assert outcome.score == pytest.approx(1.0 + 3 - LINEAR.lrs(TOTAL).sum(), abs=1e-5)
    assert rows[-1].val_loss == pytest.approx(outcome.score)
    if say is SAYS_JSON:
        assert [one.update for one in rows] == [3, 7, 11]
        assert [one.lr for one in rows] == pytest.approx(LINEAR.lrs(TOTAL)[[3, 7, 11]])
        assert [one.train_loss for one in rows] == [1.0, 1.0, 1.0]


def test_one_that_never_prints_the_metric_is_told(tmp_path):
    one = bare(tmp_path, "print('hello')")
    with pytest.raises(InvalidTask, match="ended without printing `val_loss` when it was tried"):
        examine_script(one, {"total_updates": str(TOTAL)})
    with pytest.raises(SchedsearchError, match=r'reported no `val_loss`: call .* or print it as {"val_loss": ...}'):
        trained(one)


def test_a_printed_metric_that_is_not_finite_is_a_divergence(tmp_path):
    outcome, _ = trained(bare(tmp_path, "print('{\"val_loss\": NaN}')"))
    assert (outcome.status, outcome.reason) == ("diverged", "The val_loss was not finite at the end.")


def test_horizon_and_range_must_be_given_for_it(tmp_path):
    task = bare(tmp_path, SAYS_JSON).reference
    with pytest.raises(InvalidInput, match="`total_updates` and `base_lr` must be given"):
        LaunchOptions.from_values({"task": task, "total_updates": 12})
    options = LaunchOptions.from_values({"task": task, "total_updates": 12, "base_lr": (0.01, 1.0)})
    assert options.all_task_options == {"total_updates": "12"}


# ---- what is printed


@pytest.mark.parametrize(
    ("metric", "line", "found"),
    [
        ("val_loss", '{"val_loss": 0.5}', {"val_loss": 0.5}),
        ("val_loss", '{"val_loss": "0.5"}', None),
        ("val_loss", '{"done": true}', None),
        ("val_loss", "{not json", None),
        ("val_loss", "[1, 2]", None),
        ("val_loss", "val_loss 0.5", None),
        ("acc=accuracy ([0-9.]+) %", "accuracy 91.5 % now", {"acc": 91.5}),
        ("acc=accuracy ([0-9.]+) %", "accuracy ... %", None),
        ("acc=accuracy ([0-9.]+) %", "loss 3", None),
    ],
)
def test_what_a_line_says(metric, line, found):
    read = PrintedMetric.of(metric).read(line)
    assert (None if read is None else read["metrics"]) == found


@pytest.mark.parametrize(
    ("metric", "sentence"),
    [
        ("=x(.)", "must be NAME or NAME=REGEX"),
        ("loss=", "must be NAME or NAME=REGEX"),
        ("loss=(", "must be a regular expression behind loss="),
        ("loss=a", r"must have exactly one group \(...\) for the number behind loss=, but has 0"),
        ("loss=(a)(b)", "but has 2"),
    ],
)
def test_a_metric_that_cannot_be_read(metric, sentence):
    with pytest.raises(InvalidInput, match=sentence):
        PrintedMetric.of(metric)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"metric": "test_loss"}, "`metric` must be measured on validation data, but is 'test_loss'"),
        ({"metric": "val_accuracy"}, "`direction` must be given for the metric 'val_accuracy'"),
    ],
)
def test_a_metric_that_cannot_be_meant(function, options, sentence):
    with pytest.raises(InvalidTask, match=sentence):
        examine_script(function, options)
