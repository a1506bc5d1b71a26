"""The example scripts and the page about them: alone each prints what it printed before, attached it does its
updates at the study's rates."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import environment

from schedsearch import Schedule
from schedsearch.task.script import Script, script_of
from schedsearch.training.scripts import examine_script, train_script
from schedsearch.training.spec import Measurement, RunSpec

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "recipes.md").read_text()
DIFFS = dict(re.findall(r"```diff (\S+)\n(.*?)```", PAGE, re.DOTALL))
TINY = {
    "mnist_cnn": ("--epochs", "2", "--digits", "600"),
    "char_gpt": ("--max-updates", "12", "--block-size", "16", "--width", "16", "--batch-size", "4"),
    "tabular_regression": ("--epochs", "3"),
    "lightning_module": ("--epochs", "1", "--accumulate", "2"),
    "bert_trainer": ("--epochs", "0.25"),
}
FACTS = {
    "mnist_cnn": (14, "SGD", 0.05),
    "char_gpt": (12, "set by hand", 0.003),
    "tabular_regression": (27, "AdamW", 0.01),
    "lightning_module": (20, "AdamW", 0.01),
    "bert_trainer": (None, "AdamW", 0.002),  # as many as this Python's help has paragraphs
}
SPEEDS = re.compile(r"'\w+(runtime|per_second)': '[^']*', ")


def text_of(name: str) -> str:
    return (ROOT / "examples" / f"{name}.py").read_text()


def added(name: str) -> list[str]:
    return [line for line in text_of(name).splitlines() if line.endswith("# +")]


def before(text: str, diff: str) -> str:
    """The script without the diff's new lines, with its old ones. Every hunk must be found once."""
    for hunk in diff.split("@@\n"):
        lines = hunk.splitlines()
        new = "".join(line[1:] + ("  # +" if line[0] == "+" else "") + "\n" for line in lines if line[0] != "-")
        old = "".join(line[1:] + "\n" for line in lines if line[0] != "+")
        assert ("\n" + text).count("\n" + new) == 1, new
        text = ("\n" + text).replace("\n" + new, "\n" + old)[1:]
    return text


def printed(*command: str, cwd: Path) -> str:
    line = [sys.executable, *command]
    done = subprocess.run(line, cwd=cwd, env=environment(), capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == 0, done.stderr
    return SPEEDS.sub("", done.stdout)


def attached(one: Script):
    """What the rehearsal found and one run at the script's own base LR, as a study does them."""
    facts = examine_script(one, {})
    schedule = Schedule.from_dict({"base_lr": facts.base_lr_range[0] * 10**1.5, "decay": {"kind": "linear"}})
    rows: list[Measurement] = []
    spec = RunSpec(schedule, 3, facts.total_updates)
    return facts, train_script(one, {}, spec, rows.extend, lambda: False), rows


@pytest.mark.slow
@pytest.mark.parametrize("name", TINY)
def test_alone_an_example_prints_what_it_printed_before_it_was_attached(tmp_path: Path, name: str) -> None:
    original = before(text_of(name), DIFFS[f"examples/{name}.py"])
    names = {node.id for node in ast.walk(ast.parse(original)) if isinstance(node, ast.Name)}
    assert not {"schedsearch", "run"} & names
    assert "# +" not in original.partition('"""')[2].partition('"""')[2]
    (tmp_path / f"{name}.py").write_text(original)
    then = printed(f"{name}.py", *TINY[name], cwd=tmp_path)
    assert printed(str(ROOT / "examples" / f"{name}.py"), *TINY[name], cwd=tmp_path) == then
    assert re.search(r"\d\.\d", then)


@pytest.mark.slow
@pytest.mark.parametrize("name", TINY)
def test_attached_an_example_does_its_updates_at_the_studys_rates(tmp_path: Path, name: str) -> None:
    one = script_of([sys.executable, str(ROOT / "examples" / f"{name}.py"), *TINY[name]], tmp_path)
    facts, outcome, rows = attached(one)
    total, optimizer, base_lr = FACTS[name]
    assert (facts.total_updates, facts.optimizer) == (total or facts.total_updates, optimizer)
    assert facts.base_lr_range == pytest.approx((base_lr / 10**1.5, base_lr * 10**1.5))
    assert (outcome.status, outcome.updates_done) == ("completed", facts.total_updates)
    assert outcome.initial_loss is not None
    assert rows[-1].update == facts.total_updates - 1
    assert rows[-1].lr == pytest.approx(base_lr / facts.total_updates)
    assert rows[-1].val_loss == outcome.score


# The page


def test_the_table_counts_the_lines_that_attach_and_no_example_needs_more_than_eight() -> None:
    table = dict(re.findall(r"^\| \[(\w+)\.py\]\(.*\| (\d+) \|$", PAGE, re.MULTILINE))
    assert table == {name: str(len(added(name))) for name in TINY}
    assert all(3 <= int(count) <= 8 for count in table.values())


@pytest.mark.parametrize("name", TINY)
def test_a_diff_shows_every_line_that_attaches(name: str) -> None:
    shown = [line[1:] for line in DIFFS[f"examples/{name}.py"].splitlines() if line.startswith("+")]
    assert shown == [line.removesuffix("  # +") for line in added(name)]


def test_every_diff_of_the_page_is_tested_here() -> None:
    assert set(DIFFS) == {*(f"examples/{name}.py" for name in TINY), "accelerate", "timm"}


def sides(name: str) -> tuple[str, str]:
    """The script of a whole diff, before and after."""
    lines = DIFFS[name].splitlines()
    old = "\n".join(line[1:] for line in lines if not line.startswith("+"))
    return old + "\n", "\n".join(line[1:] for line in lines if not line.startswith("-")) + "\n"


@pytest.mark.slow
def test_the_recipe_for_accelerate(tmp_path: Path) -> None:
    for name, text in zip(("old.py", "new.py"), sides("accelerate"), strict=True):
        (tmp_path / name).write_text(text)
    assert printed("old.py", cwd=tmp_path) == printed("new.py", cwd=tmp_path)
    two = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    facts, outcome, rows = attached(script_of([sys.executable, *two, "new.py"], tmp_path))
    assert (facts.total_updates, facts.optimizer) == (10, "AdamW")
    assert (outcome.status, outcome.updates_done, len(rows)) == ("completed", 10, 2)
    assert rows[-1].lr == pytest.approx(0.1 / 10)


def test_the_recipe_for_timms_manner(tmp_path: Path) -> None:
    """Attached; timm itself, which only its own scheduler needs, is not installed for the tests."""
    old, new = sides("timm")
    ast.parse(old)
    (tmp_path / "new.py").write_text(new)
    facts, outcome, rows = attached(script_of([sys.executable, "new.py"], tmp_path))
    assert (facts.total_updates, outcome.updates_done, len(rows)) == (30, 30, 3)
    assert rows[-1].lr == pytest.approx(0.1 / 30)


def snippet_with(words: str) -> str:
    (found,) = [one for one in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if words in one]
    return str(found)


def test_the_recipe_for_going_on_after_a_stop(tmp_path: Path) -> None:
    head = """
import schedsearch, torch
run = schedsearch.attach(seed=0)
torch.manual_seed(run.seed)
model, epochs, total = torch.nn.Linear(3, 1), 3, 12
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

def train_one_epoch(model, optimizer, scheduler):
    for _ in range(4):
        loss = model(torch.randn(8, 3)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
    run.report(val_loss=loss.item())
"""
    (tmp_path / "train.py").write_text(head + snippet_with("save_checkpoint") + "print(start, epoch)\n")
    assert printed("train.py", cwd=tmp_path).strip() == "0 2"
    facts, outcome, rows = attached(script_of([sys.executable, "train.py"], tmp_path))
    assert (facts.total_updates, outcome.updates_done, len(rows)) == (12, 12, 3)


@pytest.mark.slow
def test_the_recipe_for_a_trainer_that_is_handed_its_scheduler(tmp_path: Path) -> None:
    snippet = snippet_with("Trainer(")
    head = """
import schedsearch, torch
from transformers import Trainer, TrainingArguments
from schedsearch.script.adapters.transformers import ReportCallback

class Line(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.net = torch.nn.Linear(3, 1)

    def forward(self, x, labels=None):
        out = self.net(x)
        return {"loss": (out - x.sum(1, keepdim=True)).square().mean(), "logits": out}

own = lambda one: torch.optim.lr_scheduler.StepLR(one, 2)
run = schedsearch.attach(seed=0)
torch.manual_seed(run.seed)
model, rows = Line(), [{"x": one, "labels": 0} for one in torch.randn(16, 3)]
args = TrainingArguments("out", max_steps=4, eval_strategy="steps", eval_steps=2, save_strategy="no", use_cpu=True,
                         disable_tqdm=True, logging_steps=1, seed=run.seed)
"""
    (tmp_path / "train.py").write_text(head + snippet + "print(scheduler.get_last_lr())\n")
    assert "[1e-05]" in printed("train.py", cwd=tmp_path)
    facts, outcome, rows = attached(script_of([sys.executable, "train.py"], tmp_path))
    assert (facts.total_updates, outcome.updates_done, len(rows)) == (4, 4, 2)
    assert rows[-1].lr == pytest.approx(0.001 / 4)
