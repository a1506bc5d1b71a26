"""The exported winner: JSON and CSV that read back, and Python files that give the same learning rates on their own."""

import csv
import io
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from export_matrix import UPDATES_PER_EPOCH, every_combination, run_alone

from schedsearch.errors import InvalidSchedule
from schedsearch.report.exports import export_csv, export_json, export_python, export_torch, sample_values
from schedsearch.schedule import Cosine, Linear, Restarts, Schedule, Spline, Warmup, Wsd

PLAIN = Schedule(0.1, Cosine(), Warmup())

FOLLOW = """
import json, runpy, sys
for name, horizons in json.load(open("jobs.json")):
    module = runpy.run_path(name)
    print(json.dumps([[module["lr"](t, T) for t in range(T)] for T in horizons]))
assert not [name for name in sys.modules if name.startswith("schedsearch")]
print(json.dumps("torch" in sys.modules))
"""


@pytest.mark.parametrize(("export", "needs_torch"), [(export_torch, True), (export_python, False)])
def test_every_combination_gives_the_learning_rates_of_the_schedule_at_two_horizons(
    tmp_path: Path, export: Callable[..., str], needs_torch: bool
) -> None:
    schedules = every_combination()
    jobs = []
    for number, schedule in enumerate(schedules):
        name = f"winner_{number}.py"
        (tmp_path / name).write_text(export(schedule, 300, UPDATES_PER_EPOCH, {"study": "demo"}))
        jobs.append((name, (300, 437)))
    (tmp_path / "jobs.json").write_text(json.dumps(jobs))
    (tmp_path / "follow.py").write_text(FOLLOW)
    *lines, with_torch = run_alone(tmp_path, "follow.py").splitlines()
    assert json.loads(with_torch) is needs_torch
    assert len(lines) == len(schedules)
    for schedule, line in zip(schedules, lines, strict=True):
        for exported in json.loads(line):
            lrs = schedule.lrs(len(exported), UPDATES_PER_EPOCH)
            # one rounding of the peak beside the relative 1e-12: 1 + cos(x) cancels near its zero
            np.testing.assert_allclose(exported, lrs, rtol=1e-12, atol=1e-17, err_msg=schedule.describe())


def test_run_as_a_script_the_file_checks_itself(tmp_path: Path) -> None:
    schedule = Schedule(3e-4, Wsd(0.2, "sqrt"), Warmup(), Restarts(2, 2.0, 0.5), "epoch")
    (tmp_path / "winner.py").write_text(export_torch(schedule, 200, UPDATES_PER_EPOCH, {}))
    assert "of 200 updates agree; the scheduler follows them." in run_alone(tmp_path, "winner.py")


def test_the_plain_file_checks_itself_too(tmp_path: Path) -> None:
    (tmp_path / "winner.py").write_text(export_python(PLAIN, 200, None, {}))
    assert "learning rates of 200 updates agree." in run_alone(tmp_path, "winner.py")


@pytest.mark.parametrize("export", [export_torch, export_python])
def test_a_changed_constant_fails_the_self_check(tmp_path: Path, export: Callable[..., str]) -> None:
    text = export(PLAIN, 200, None, {})
    assert "WARMUP_FRACTION = 0.05" in text
    (tmp_path / "winner.py").write_text(text.replace("WARMUP_FRACTION = 0.05", "WARMUP_FRACTION = 0.06"))
    done = subprocess.run(
        [sys.executable, "-I", "winner.py"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "but this file gives" in done.stderr


def load(schedule: Schedule, total_updates: int = 100) -> dict:
    module: dict = {"__name__": "winner"}
    exec(export_torch(schedule, total_updates, UPDATES_PER_EPOCH, {}), module)  # noqa: S102
    return module


def test_the_scheduler_keeps_the_ratio_of_parameter_groups_and_holds_the_last_value() -> None:
    torch = pytest.importorskip("torch")
    parameters = [torch.nn.Parameter(torch.zeros(1)) for _ in range(2)]
    groups = [{"params": [parameters[0]], "lr": 1.0}, {"params": [parameters[1]], "lr": 0.25}]
    optimizer = torch.optim.SGD(groups)
    scheduler = load(PLAIN)["make_scheduler"](optimizer, 50)
    lrs = PLAIN.lrs(50)
    for expected in [*lrs, lrs[-1], lrs[-1]]:
        assert optimizer.param_groups[0]["lr"] == pytest.approx(expected, rel=1e-12)
        assert optimizer.param_groups[1]["lr"] == pytest.approx(expected / 4, rel=1e-12)
        optimizer.step()
        scheduler.step()


def test_resuming_goes_on_at_the_next_update() -> None:
    torch = pytest.importorskip("torch")
    make = load(PLAIN)["make_scheduler"]
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=7.0)
    scheduler = make(optimizer)
    for _ in range(40):
        optimizer.step()
        scheduler.step()
    again = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=7.0)
    resumed = make(again)
    again.load_state_dict(optimizer.state_dict())
    resumed.load_state_dict(scheduler.state_dict())
    for t in range(40, 100):
        assert again.param_groups[0]["lr"] == pytest.approx(PLAIN.lr(t, 100), rel=1e-12)
        again.step()
        resumed.step()


@pytest.mark.parametrize(
    ("schedule", "call", "sentence"),
    [
        (PLAIN, ("lr", 100), r"t must be in \[0, 100\), but is 100 instead\."),
        (PLAIN, ("lr", -1), r"t must be in \[0, 100\), but is -1 instead\."),
        (Schedule(1.0, Linear(), Warmup("linear", 0.5)), ("lr", 0, 1), "the warm-up leaves none to the decay"),
        (Schedule(1.0, Linear(), None, Restarts(5)), ("lr", 2, 3), "3 updates are too few for 5 cycles"),
    ],
)
def test_the_file_refuses_what_the_schedule_refuses(schedule: Schedule, call: tuple, sentence: str) -> None:
    name, *arguments = call
    with pytest.raises(ValueError, match=sentence):
        load(schedule)[name](*arguments)


@pytest.mark.parametrize("export", [export_torch, export_python])
def test_provenance_is_told_and_cannot_become_code(export: Callable[..., str]) -> None:
    wicked = 'x"""\nraise SystemExit("code from a name")\r\x0c\u2028#'
    text = export(PLAIN, 100, None, {"study": wicked, "evil\nkey": 1, "mean": float("nan")})
    module: dict = {"__name__": "winner"}
    exec(text, module)  # noqa: S102
    assert module["lr"](99) == pytest.approx(PLAIN.lr(99, 100))
    assert '#   study: "x\\"\\"\\"\\nraise SystemExit' in text
    assert "#   mean: null" in text


@pytest.mark.parametrize("export", [export_torch, export_python, export_csv])
def test_the_file_is_ascii_lines_without_our_package(export: Callable[..., str]) -> None:
    text = export(PLAIN, 100, None, {"study": "größer"})
    assert text.isascii()
    assert "import schedsearch" not in text
    assert "from schedsearch" not in text


def test_json_reads_back_exactly() -> None:
    schedule = replace(PLAIN, restarts=Restarts(3, 1.25, 0.7), step_every="epoch")
    values = json.loads(export_json(schedule, 240, 12, {"study": "demo", "mean": float("inf"), "seeds": (1, 2)}))
    assert Schedule.from_dict(values["schedule"]) == schedule
    assert (values["format"], values["total_updates"], values["updates_per_epoch"]) == (
        "schedsearch.schedule/1", 240, 12,
    )  # fmt: skip
    assert values["provenance"] == {"study": "demo", "mean": None, "seeds": [1, 2]}
    for t, lr in values["test_values"]:
        assert lr == schedule.lr(t, 240, 12)


@pytest.mark.parametrize("schedule", [PLAIN, Schedule(0.03, Spline(0.4, 0.5, 0.5, 0.5, 0.0), None, None, "epoch")])
def test_csv_has_every_learning_rate_to_the_last_digit(schedule: Schedule) -> None:
    text = export_csv(schedule, 300, UPDATES_PER_EPOCH, {"study": "a\n7,0.5", "mean": float("nan")})
    rows = list(csv.DictReader(line for line in io.StringIO(text) if not line.startswith("#")))
    assert [int(row["update"]) for row in rows] == list(range(300))
    assert [float(row["lr"]) for row in rows] == schedule.lrs(300, UPDATES_PER_EPOCH).tolist()
    assert '#   study: "a\\n7,0.5"' in text.splitlines()


@pytest.mark.parametrize("export", [export_json, export_torch, export_python, export_csv])
def test_every_file_says_what_does_not_transfer(export: Callable[..., str]) -> None:
    assert "batch size that it was found with" in export(PLAIN, 100, None, {})


def test_sample_values_hold_both_ends_and_the_end_of_the_warm_up() -> None:
    samples = dict(sample_values(PLAIN, 200, None))
    assert {0, 9, 10, 198, 199} <= set(samples)
    assert samples[10] == pytest.approx(0.1)
    assert [t for t, _ in sample_values(Schedule(1.0, Linear()), 2, None)] == [0, 1]


@pytest.mark.parametrize("export", [export_json, export_torch, export_python, export_csv])
def test_an_impossible_horizon_is_refused(export) -> None:
    with pytest.raises(InvalidSchedule, match="total_updates"):
        export(PLAIN, 1, None, {})
