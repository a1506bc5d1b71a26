"""The exported PyTorch scheduler: torch's own classes where they are equal at every update, else the closed form."""

from pathlib import Path

import numpy as np
import pytest
from export_matrix import UPDATES_PER_EPOCH, every_combination, run_alone

from schedsearch.report.exports import export_torch
from schedsearch.report.exports.settings import Curve
from schedsearch.report.exports.torch_pieces import torch_pieces
from schedsearch.schedule import (
    Cosine,
    Exponential,
    Linear,
    MultiStep,
    Polynomial,
    Restarts,
    Rex,
    Schedule,
    Step,
    Warmup,
    Wsd,
)

torch = pytest.importorskip("torch")
UPDATES = 300


def load(schedule: Schedule, total_updates: int = UPDATES) -> dict:
    module: dict = {"__name__": "winner"}
    exec(export_torch(schedule, total_updates, UPDATES_PER_EPOCH, {}), module)  # noqa: S102
    return module


def optimizer_of(*lrs: float) -> "torch.optim.Optimizer":
    return torch.optim.SGD([{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": lr} for lr in lrs])


def follow(scheduler: "torch.optim.lr_scheduler.LRScheduler", updates: int) -> np.ndarray:
    """The LR of every parameter group at every update, shape (updates, groups)."""
    seen = []
    for _ in range(updates):
        seen.append([group["lr"] for group in scheduler.optimizer.param_groups])
        scheduler.optimizer.step()
        scheduler.step()
    return np.array(seen)


def is_native(scheduler: "torch.optim.lr_scheduler.LRScheduler") -> bool:
    return isinstance(scheduler, torch.optim.lr_scheduler.SequentialLR)


def test_every_combination_follows_the_schedule_and_holds_the_last_value_at_every_horizon() -> None:
    natives = set()
    for schedule in every_combination():
        make = load(schedule)["make_scheduler"]
        for updates in (UPDATES, 137):
            lrs = schedule.lrs(updates, UPDATES_PER_EPOCH)
            scheduler = make(optimizer_of(7.0), updates)
            native = is_native(scheduler)
            natives |= {type(one).__name__ for one in scheduler._schedulers} if native else set()
            assert not native or updates == UPDATES
            seen = follow(scheduler, updates + 3)[:, 0]
            expected = np.append(lrs, [lrs[-1]] * 3)
            np.testing.assert_allclose(seen, expected, rtol=1e-12, atol=4e-17, err_msg=schedule.describe())
    assert natives == {
        "ConstantLR", "CosineAnnealingLR", "CosineAnnealingWarmRestarts", "ExponentialLR", "LinearLR", "MultiStepLR",
        "StepLR",
    }  # fmt: skip


@pytest.mark.parametrize(
    "schedule",
    [
        Schedule(0.03, Cosine(), Warmup()),
        Schedule(0.03, Cosine(0.1), Warmup(), Restarts(3)),
        Schedule(0.03, Cosine(0.1), None, Restarts(2, 2.0)),
        Schedule(0.03, Linear(0.1), Warmup("linear", 0.1), Restarts(4, 1.5, 0.6)),
        Schedule(0.03, Exponential(0.01)),
        Schedule(0.03, Polynomial(0.0, 2.3), Warmup()),
        Schedule(0.03, Step(3, 0.3), Warmup()),
        Schedule(0.03, Step(2, 0.3), None, None, 7),
        Schedule(0.03, MultiStep((0.3, 0.301, 0.9), 0.1), Warmup(), Restarts(3)),
        Schedule(0.03, Wsd(0.37, "linear", 0.01), Warmup()),
        Schedule(0.03, Wsd(0.2, "cosine"), None, Restarts(2)),
    ],
    ids=lambda schedule: schedule.describe(),
)
def test_the_learning_rates_that_decide_are_those_of_torch_to_the_last_bit(schedule: Schedule) -> None:
    scheduler = load(schedule)["make_scheduler"](optimizer_of(1.0))
    assert is_native(scheduler)
    pieces = torch_pieces(Curve(schedule, UPDATES, UPDATES_PER_EPOCH))
    assert pieces is not None
    assert follow(scheduler, UPDATES + 1)[:, 0].tolist() == np.concatenate([one.lrs for one in pieces]).tolist()


@pytest.mark.parametrize(
    ("schedule", "updates"),
    [
        (Schedule(0.03, Exponential(1e-3)), 1_000_000),  # rounding adds up past 1e-12
        (Schedule(0.03, Wsd(0.37, "cosine"), Warmup()), 300),  # the cooldown starts between two updates
        (Schedule(0.03, Cosine(0.0, 2.0)), 300),
        (Schedule(0.03, Cosine(), Warmup("cosine")), 300),
        (Schedule(0.03, Cosine(), None, Restarts(2, 1.0, 0.5)), 300),
        (Schedule(0.03, Cosine(), None, None, 2), 300),
        (Schedule(0.03, Polynomial(0.1, 2.0)), 300),
        (Schedule(0.03, Rex()), 300),
    ],
    ids=lambda value: value.describe() if isinstance(value, Schedule) else str(value),
)
def test_what_is_not_equal_stays_the_closed_form(schedule: Schedule, updates: int) -> None:
    assert torch_pieces(Curve(schedule, updates, None)) is None
    assert "SequentialLR" not in export_torch(schedule, updates, None, {})


@pytest.mark.parametrize("decay", [Cosine(), Cosine(0.1), Linear(0.1)])
def test_groups_keep_their_ratio_also_where_a_class_has_one_minimum_for_all(decay: Cosine | Linear) -> None:
    schedule = Schedule(0.03, decay, Warmup())
    scheduler = load(schedule)["make_scheduler"](optimizer_of(1.0, 0.25))
    assert is_native(scheduler) is (decay != Cosine(0.1))
    seen = follow(scheduler, UPDATES)
    np.testing.assert_allclose(seen[:, 0], schedule.lrs(UPDATES), rtol=1e-12, atol=4e-17)
    np.testing.assert_allclose(seen[:, 1], schedule.lrs(UPDATES) / 4, rtol=1e-12, atol=4e-17)


@pytest.mark.parametrize("done", [5, 15, 16, 150])
def test_native_schedulers_resume_from_both_state_dicts(done: int) -> None:
    schedule = Schedule(0.03, Cosine(0.1), Warmup())
    make = load(schedule)["make_scheduler"]
    scheduler = make(optimizer_of(7.0))
    follow(scheduler, done)
    resumed = make(optimizer_of(7.0))
    resumed.optimizer.load_state_dict(scheduler.optimizer.state_dict())
    resumed.load_state_dict(scheduler.state_dict())
    assert is_native(resumed)
    np.testing.assert_allclose(follow(resumed, UPDATES - done)[:, 0], schedule.lrs(UPDATES)[done:], rtol=1e-12)


def test_run_as_a_script_the_native_file_checks_itself(tmp_path: Path) -> None:
    text = export_torch(Schedule(3e-4, Cosine(), Warmup()), 20_000, None, {})
    assert "CosineAnnealingLR(optimizer, T_max=19000)" in text
    (tmp_path / "winner.py").write_text(text)
    assert "of 20000 updates agree; the scheduler follows them." in run_alone(tmp_path, "winner.py")
