"""Every framework's export is followed by the framework itself, update by update, and held against the closed form."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from export_matrix import UPDATES_PER_EPOCH, every_combination

from schedsearch.errors import InvalidSchedule
from schedsearch.report.exports import (
    EXPORTERS,
    export_keras,
    export_lightning,
    export_optax,
    export_timm,
    export_torchtitan,
    export_transformers,
    timm,
    torchtitan,
    transformers,
)
from schedsearch.report.exports.optax import optax_pieces
from schedsearch.report.exports.settings import Curve, Setting, difference, nearest
from schedsearch.schedule import (
    Constant,
    Cosine,
    Decay,
    Exponential,
    InverseSqrt,
    Linear,
    MultiStep,
    Polynomial,
    Restarts,
    Rex,
    Schedule,
    Spline,
    Step,
    Warmup,
    Wsd,
)

DRIVER = Path(__file__).with_name("export_driver.py")
UPDATES, LATER = 300, 137
ROUNDING = {"rtol": 1e-12, "atol": 4e-17}
SINGLE = {"rtol": 1e-6, "atol": 4e-9}  # float32: 1e-7 of the base LR

Export = Callable[[Schedule, int, int | None, dict], str]
Lrs = dict[str, np.ndarray]


def follow(
    folder: Path, framework: str, export: Export, schedules: Sequence[Schedule], horizons: Sequence[int],
    settings: Callable[[Curve], Any] | None = None, **variables: str,
) -> Lrs:  # fmt: skip
    """What the framework makes of the exported files, which are written to `folder`."""
    jobs = []
    for number, schedule in enumerate(schedules):
        (folder / f"winner_{number}.py").write_text(export(schedule, horizons[0], UPDATES_PER_EPOCH, {}))
        curve = Curve(schedule, horizons[0], UPDATES_PER_EPOCH)
        found = [] if settings is None else [(one.name, dict(one.arguments)) for one in settings(curve)]
        jobs.append(
            {"file": f"winner_{number}.py", "horizons": horizons, "base_lr": schedule.base_lr, "settings": found}
        )
    (folder / "jobs.json").write_text(json.dumps(jobs))
    done = subprocess.run(
        [sys.executable, "-I", str(DRIVER), framework, "jobs.json", "lrs.npz"],
        cwd=folder, env=os.environ | {"KERAS_BACKEND": "torch", "KERAS_HOME": str(folder)} | variables,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    with np.load(folder / "lrs.npz") as lrs:
        return dict(lrs)


def assert_followed(lrs: Lrs, schedules: Sequence[Schedule], *, held: int = 0, **tolerance: float) -> None:
    """Every `file` of every job gives the schedule at its horizon; `held` more updates keep the last value."""
    seen = 0
    for key, given in lrs.items():
        number, kind, *rest = key.split("/")
        if kind == "file":
            expected = schedules[int(number)].lrs(int(rest[0]), UPDATES_PER_EPOCH)
            expected = np.append(expected, [expected[-1]] * held)
            np.testing.assert_allclose(given, expected, **tolerance, err_msg=schedules[int(number)].describe())
            seen += 1
    assert seen >= len(schedules)


def assert_as_computed(
    lrs: Lrs, schedules: Sequence[Schedule], settings: Callable[[Curve], Any], base: float = 0.0321
) -> None:
    """The framework gives every setting the learning rates that the exporter computed for it."""
    for number, schedule in enumerate(schedules):
        computed: list[Setting] = list(settings(Curve(schedule, UPDATES, UPDATES_PER_EPOCH)))
        assert computed
        for index, setting in enumerate(computed):
            given = lrs[f"{number}/setting/{index}"]
            np.testing.assert_allclose(given, setting.lrs, rtol=1e-12, atol=1e-15 * base, err_msg=setting.call())


def told(text: str) -> tuple[float, int]:
    """The largest relative difference (1 is 100 %) that a file tells, and its update."""
    line = " ".join(re.sub(r"(?m)^\s*# ?", "", text).split())
    found = re.search(r"largest relative difference to the schedule is (\S+) %, at update (\d+)", line)
    assert found
    return float(found[1]) / 100, int(found[2])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("framework", "export", "settings", "thinned"),
    [
        ("timm", export_timm, timm.settings, 7),
        ("transformers", export_transformers, transformers.settings, 11),
        ("torchtitan", export_torchtitan, torchtitan.settings, 53),  # a hundred settings a schedule
    ],
)
def test_every_combination_is_followed_and_every_setting_computed_as_the_framework_does(
    tmp_path: Path, framework: str, export: Export, settings: Callable[[Curve], Any], thinned: int
) -> None:
    schedules = every_combination()[::thinned]
    lrs = follow(tmp_path, framework, export, schedules, (UPDATES, LATER), settings)
    assert_followed(lrs, schedules, **ROUNDING)
    assert_as_computed(lrs, schedules, settings)
    expressed = 0
    for number, schedule in enumerate(schedules):
        curve, text = Curve(schedule, UPDATES, UPDATES_PER_EPOCH), (tmp_path / f"winner_{number}.py").read_text()
        setting, apart = nearest(settings(curve), curve)
        if framework != "timm":  # the file's own words for it: its arguments or flags, read by the framework
            np.testing.assert_allclose(lrs[f"{number}/named"], setting.lrs, rtol=1e-12, atol=1e-16)
        expressed += apart.is_rounding
        if apart.is_rounding:
            assert "cannot express" not in text
            continue
        index = [one.call() for one in settings(curve)].index(setting.call())
        real = difference(lrs[f"{number}/setting/{index}"], curve)
        assert told(text) == (pytest.approx(real.relative, rel=1e-2), real.relative_update)
    assert 0 < expressed < len(schedules)


LINEAR_WARMUP = Warmup("linear", 0.05, 0.01)


@pytest.mark.parametrize(
    ("decay", "restarts", "name"),
    [
        (Constant(), None, "StepLRScheduler"),
        (Step(3, 0.3), None, "StepLRScheduler"),
        (MultiStep((0.3, 0.62), 0.1), None, "MultiStepLRScheduler"),
        (Exponential(0.013), None, "WSDLRScheduler"),
        (Cosine(0.1), None, "CosineLRScheduler"),
        (Cosine(0.0), Restarts(3, 1.0, 0.5), "CosineLRScheduler"),
        (Linear(0.1), None, "PolyLRScheduler"),
        (Polynomial(0.1, 2.3), Restarts(5), "PolyLRScheduler"),
        (Wsd(0.37, "sqrt", 0.01), None, "WSDLRScheduler"),
        (InverseSqrt(0.04), None, "WSDLRScheduler"),
        (Rex(), None, "WSDLRScheduler"),
        (Rex(), Restarts(3), None),
        (Cosine(0.1), Restarts(3, 1.0, 0.5), None),
    ],
)
def test_timm_expresses(decay: Decay, restarts: Restarts | None, name: str | None) -> None:
    schedule = Schedule(0.03, decay, LINEAR_WARMUP, restarts)
    setting, apart = nearest(timm.settings(Curve(schedule, UPDATES, None)), Curve(schedule, UPDATES, None))
    assert (setting.name if apart.is_rounding else None) == name
    assert (f"return {name}(" in export_timm(schedule, UPDATES, None, {})) is (name is not None)


@pytest.mark.parametrize(
    ("schedule", "kind"),
    [
        (Schedule(0.03, Constant()), "constant"),
        (Schedule(0.03, Linear()), "linear"),
        (Schedule(0.03, Cosine()), "cosine"),
        (Schedule(0.03, Cosine(0.1)), "cosine_with_min_lr"),
        (Schedule(0.03, Cosine(0.1), LINEAR_WARMUP), "cosine_warmup_with_min_lr"),
        (Schedule(0.03, Cosine(), None, Restarts(3)), "cosine_with_restarts"),
        (Schedule(0.03, Linear(0.1)), "polynomial"),
        (Schedule(0.03, Polynomial(0.1, 2.3)), "polynomial"),
        (Schedule(0.03, InverseSqrt(0.04)), "inverse_sqrt"),
        (Schedule(0.03, Wsd(0.2, "sqrt", 0.01), LINEAR_WARMUP), "warmup_stable_decay"),
        (Schedule(0.03, Linear(), LINEAR_WARMUP), None),
        (Schedule(0.03, Rex()), None),
    ],
    ids=lambda value: value.describe() if isinstance(value, Schedule) else str(value),
)
def test_the_trainers_arguments_express(schedule: Schedule, kind: str | None) -> None:
    text = export_transformers(schedule, UPDATES, None, {})
    assert (f'\nTRAINING_ARGUMENTS = {{\n    "learning_rate": 0.03,\n    "lr_scheduler_type": "{kind}"' in text) is (
        kind is not None
    )
    assert ("cannot express" in text) is (kind is None)


@pytest.mark.parametrize(
    ("schedule", "is_expressed"),
    [
        (Schedule(0.03, Constant()), True),
        (Schedule(0.03, Linear()), True),
        (Schedule(0.03, Cosine(0.1)), True),
        (Schedule(0.03, Wsd(0.2, "sqrt", 0.01)), True),
        (Schedule(0.03, Linear(), LINEAR_WARMUP), False),
        (Schedule(0.03, Exponential(0.1)), False),
    ],
    ids=lambda value: value.describe() if isinstance(value, Schedule) else str(value),
)
def test_torchtitan_expresses(schedule: Schedule, is_expressed: bool) -> None:
    text = export_torchtitan(schedule, UPDATES, None, {})
    assert ("\nLR_SCHEDULER = LRSchedulersContainer.Config(" in text) is is_expressed
    assert ("cannot express" not in text) is is_expressed


@pytest.mark.slow
def test_transformers_own_trainer_takes_the_learning_rates(tmp_path: Path) -> None:
    schedules = [Schedule(0.03, Cosine(0.1), LINEAR_WARMUP), Schedule(0.03, Rex(), LINEAR_WARMUP, Restarts(2))]
    lrs = follow(tmp_path, "trainer", export_transformers, schedules, (60,))
    assert_followed(lrs, schedules, **ROUNDING)
    np.testing.assert_allclose(lrs["0/arguments"], schedules[0].lrs(60), rtol=1e-12)
    assert "1/arguments" not in lrs


@pytest.mark.slow
def test_lightnings_own_trainer_takes_the_learning_rates(tmp_path: Path) -> None:
    schedules = [
        Schedule(0.03, Cosine(0.1), LINEAR_WARMUP),
        Schedule(0.03, Wsd(0.2, "sqrt"), Warmup("cosine", 0.1), Restarts(2), 7),
    ]
    lrs = follow(tmp_path, "lightning", export_lightning, schedules, (60, 40))
    assert_followed(lrs, schedules, **ROUNDING)


@pytest.mark.slow
def test_optax_follows_in_double_precision(tmp_path: Path) -> None:
    schedules = every_combination()[::7]
    lrs = follow(tmp_path, "optax", export_optax, schedules, (UPDATES, LATER), JAX_ENABLE_X64="1")
    assert_followed(lrs, schedules, held=3, **ROUNDING)
    native = [one for one in schedules if optax_pieces(Curve(one, UPDATES, UPDATES_PER_EPOCH)) is not None]
    assert 0 < len(native) < len(schedules)


@pytest.mark.slow
def test_optax_follows_in_single_precision_and_in_its_own_optimizer(tmp_path: Path) -> None:
    schedules = every_combination()[::31]
    assert_followed(follow(tmp_path, "optax", export_optax, schedules, (UPDATES,)), schedules, held=3, **SINGLE)
    some = [Schedule(0.03, Cosine(), LINEAR_WARMUP), Schedule(0.03, Rex(), Warmup("cosine"))]
    assert_followed(follow(tmp_path, "optax_sgd", export_optax, some, (50,)), some, **SINGLE)


@pytest.mark.parametrize("warmup", [LINEAR_WARMUP, Warmup("cosine", 0.1), Warmup("exponential", 0.1)])
@pytest.mark.parametrize(
    "decay",
    [
        Constant(), Step(3, 0.3), MultiStep((0.3, 0.301, 0.9), 0.1), Exponential(0.01), Cosine(0.1, 2.0), Linear(0.1),
        Polynomial(0.1, 2.3), Wsd(0.37, "linear"),
    ],
)  # fmt: skip
def test_optax_has_schedules_of_its_own_for(decay: Decay, warmup: Warmup) -> None:
    schedule = Schedule(0.03, decay, warmup, Restarts(2, 1.5, 0.5))
    assert optax_pieces(Curve(schedule, UPDATES, None)) is not None
    assert "optax.join_schedules" in export_optax(schedule, UPDATES, None, {})


@pytest.mark.slow
def test_keras_follows_after_its_own_serialization(tmp_path: Path) -> None:
    schedules = every_combination()[::17]
    lrs = follow(tmp_path, "keras", export_keras, schedules, (UPDATES, LATER))
    assert_followed(lrs, schedules, held=3, rtol=1e-7, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_keras_own_fit_takes_the_learning_rates_also_of_a_saved_model(tmp_path: Path, backend: str) -> None:
    schedules = [Schedule(0.03, Cosine(), LINEAR_WARMUP)]
    lrs = follow(tmp_path, "keras_fit", export_keras, schedules, (60,), KERAS_BACKEND=backend)
    assert_followed(lrs, schedules, rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize("export", list(EXPORTERS.values()), ids=list(EXPORTERS))
def test_every_file_tells_origin_and_what_does_not_transfer_in_ascii_and_refuses_an_impossible_horizon(
    export: Export,
) -> None:
    text = export(Schedule(0.03, Rex(), Warmup("cosine")), UPDATES, None, {"study": 'größer\n"""\nraise SystemExit#'})
    assert text.isascii()
    assert "gr\\u00f6\\u00dfer\\n\\" in text
    assert "batch size that it was found with" in text
    assert "import schedsearch" not in text
    with pytest.raises(InvalidSchedule, match="total_updates"):
        export(Schedule(0.03, Cosine(), LINEAR_WARMUP), 1, None, {})


def test_a_relative_difference_to_a_learning_rate_of_zero_is_infinite() -> None:
    curve = Curve(Schedule(0.1, Spline(0.4, 0.5, 0.0, 0.0, 0.0)), 10, None)
    apart = difference(curve.lrs + 0.01, curve)
    assert (apart.relative, apart.relative_update) == (np.inf, 4)
    assert apart.of_base == pytest.approx(0.1)
    assert not apart.is_rounding
    assert difference(curve.lrs * (1 + 1e-13), curve).is_rounding


@pytest.mark.parametrize(
    "schedule",
    [
        Schedule(0.1, Linear(), None, Restarts(40, 1.0, 1e-9)),
        Schedule(0.1, Step(400, 1e-4)),
        Schedule(0.1, MultiStep((1e-9, 0.5), 1e-200), LINEAR_WARMUP),
        Schedule(0.1, InverseSqrt(1e-300), LINEAR_WARMUP),
        Schedule(0.1, Exponential(5e-324), Warmup("exponential", 0.1, 5e-324)),
        Schedule(1e-320, Cosine(0.1), LINEAR_WARMUP),
    ],
    ids=lambda schedule: schedule.describe(),
)
@pytest.mark.parametrize("export", list(EXPORTERS.values()), ids=list(EXPORTERS))
def test_schedules_at_the_edge_of_float64_are_exported(export: Export, schedule: Schedule) -> None:
    assert export(schedule, 50, None, {})
