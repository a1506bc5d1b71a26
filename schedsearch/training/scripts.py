"""A user's script trained as one run: started with an order, its reports read until it ends."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from typing import Any

from schedsearch.errors import InvalidTask, RunInterrupted
from schedsearch.script import REHEARSED
from schedsearch.script.letters import ScriptOrder
from schedsearch.task.facts import TaskFacts, Together
from schedsearch.task.script import Script
from schedsearch.training.checkpoints import Checkpoints
from schedsearch.training.course import Record
from schedsearch.training.devices import default_devices
from schedsearch.training.printed import PrintedMetric
from schedsearch.training.script_process import GRACE_S, started
from schedsearch.training.script_reading import ScriptReading
from schedsearch.training.spec import Outcome, RunSpec

POLL_S = 0.05
RANGE_DECADES = 1.5
WIDEST_RANGE = (1e-6, 10.0)  # of a script that does not say where its own base LR is
REHEARSAL_S, REHEARSAL_LR = 60.0, 1e-8
METRIC, DIRECTION = "val_loss", "minimize"
GROWING = {"acc", "accuracy", "auc", "auroc", "bleu", "f1", "iou", "map", "precision", "r2", "recall", "rouge", "score"}


def examine_script(script: Script, options: Mapping[str, str]) -> TaskFacts:
    """Run the script for its first updates and say what it told. Raises InvalidTask, one sentence a fault."""
    direction = options.get("direction", DIRECTION)
    if direction not in ("minimize", "maximize"):
        raise InvalidTask(f"`direction` must be minimize or maximize, but is {direction!r} instead.")
    devices = default_devices()
    metric = PrintedMetric.of(options.get("metric", METRIC))
    _refuse_strange_metric(metric.name, "direction" in options)
    if script.is_told_by_file:
        told = _rehearsed_by_file(script, options, metric, devices[0])
    else:
        told = _rehearsed(script, devices[0])
    return TaskFacts(
        name=script.name,
        metric=metric.name,
        direction=direction,
        batch_size=0,
        fingerprint=script.fingerprint(**options),
        seconds_per_evaluation=0.0,
        devices=tuple(devices),
        together=Together(reason="A script trains in a process of its own, which only a task class can do without."),
        **told,
    )


def _refuse_strange_metric(name: str, has_direction: bool) -> None:
    """Raises InvalidTask for a metric that cannot be meant so."""
    words = set(re.split(r"[^a-z0-9]+", name.lower()))
    if "test" in words:
        raise InvalidTask(
            f"`metric` must be measured on validation data, but is {name!r}: what is chosen by the test data is not "
            "tested by them any more."
        )
    if words & GROWING and not has_direction:
        raise InvalidTask(f"`direction` must be given for the metric {name!r}: is more better (maximize) or less?")


def _rehearsed(script: Script, device: str) -> dict[str, Any]:
    """What a script that attaches said of itself. Raises InvalidTask."""
    facts: dict[str, Any] = {}
    begun = time.monotonic()
    with started(script, ScriptOrder(None, 0, None, device)) as running:
        while running.process.poll() is None:
            time.sleep(POLL_S)
        for report in running.folder.new_reports():
            if report["kind"] == "fault":
                raise InvalidTask(f"{script.shown}: {report['text']}")
            facts |= report
    spent_s = time.monotonic() - begun
    if running.process.returncode:
        raise InvalidTask(f"{script.shown} ended with exit code {running.process.returncode} when it was tried.")
    if "total_updates" not in facts:
        raise InvalidTask(
            f"{script.shown} ended without asking for its scheduler: it must call `run = schedsearch.attach()` and "
            "`run.scheduler(optimizer, total_updates=...)`, or take its LRs from a file, named {lrs} in its command."
        )
    if "seconds_per_update" not in facts:
        raise InvalidTask(f"{script.shown} ended before its optimizer did the first updates.")
    reach = 10**RANGE_DECADES
    names = ("optimizer", "total_updates", "updates_per_epoch", "parameters", "seconds_per_update")
    return {
        **{name: facts[name] for name in names},
        "seconds_to_start": max(0.0, spent_s - REHEARSED * facts["seconds_per_update"]),
        "base_lr_range": (facts["base_lr"] / reach, facts["base_lr"] * reach),
    }


def _rehearsed_by_file(
    script: Script, options: Mapping[str, str], metric: PrintedMetric, device: str
) -> dict[str, Any]:
    """A script that takes its LRs from a file is tried until it prints the metric, or for a minute. Raises
    InvalidTask."""
    total = int(options["total_updates"])
    begun = time.monotonic()
    report = None
    with started(script, ScriptOrder(None, 0, total, device), [REHEARSAL_LR] * total) as running:
        while report is None and time.monotonic() - begun < REHEARSAL_S:
            is_over = running.process.poll() is not None
            lines = running.printed(wait=is_over)
            report = next((one for one in map(metric.read, lines) if one and metric.name in one["metrics"]), None)
            if is_over:
                break
            time.sleep(POLL_S)
        code = running.process.poll()
    if code:
        raise InvalidTask(f"{script.shown} ended with exit code {code} when it was tried.")
    if report is None and code == 0:
        raise InvalidTask(f"{script.shown} ended without printing `{metric.name}` when it was tried.")
    update = (report or {}).get("update")
    return {
        "optimizer": "set by the script",
        "total_updates": total,
        "updates_per_epoch": 1,
        "parameters": 0,
        "seconds_per_update": (time.monotonic() - begun) / (total if update is None else update + 1),
        "base_lr_range": WIDEST_RANGE,
    }


def train_script(
    script: Script,
    options: Mapping[str, str],
    spec: RunSpec,
    record: Record,
    should_stop: Callable[[], bool],
    checkpoints: Checkpoints | None = None,
) -> Outcome:
    """Train one run of a script; `record` is handed its measurements as they come.

    Raises RunInterrupted once `should_stop()` holds (a script that saves no checkpoints begins again), and
    SchedsearchError where it failed, did other updates than were planned, or never reported the metric.
    """
    begun = time.monotonic()
    every_s = None if checkpoints is None else checkpoints.every_s
    order = ScriptOrder(spec.schedule.to_dict(), spec.seed, spec.total_updates, spec.device, every_s)
    metric = PrintedMetric.of(options.get("metric", METRIC))
    lrs = spec.schedule.lrs(spec.total_updates, 1).tolist() if script.is_told_by_file else None
    state = None if checkpoints is None else checkpoints.newest()
    with started(script, order, lrs, state) as running:
        reading = ScriptReading(metric, spec, record)
        while running.process.poll() is None and reading.divergence is None:
            if should_stop():
                running.folder.ask_to_stop()
                running.wait(GRACE_S)
                running.keep_state(checkpoints)
                raise RunInterrupted(f"{script.shown} was asked to stop.")
            reading.take(running)
            running.keep_state(checkpoints)
            time.sleep(POLL_S)
        code = running.process.poll()
        reading.take(running, to_the_end=code is not None)
    if reading.divergence is None:
        reading.finish(script, code)
    if checkpoints is not None:
        checkpoints.clear()
    found = reading.divergence
    return Outcome(
        status="completed" if found is None else "diverged",
        score=reading.score if found is None else None,
        test_score=reading.test_score if found is None and spec.with_test else None,
        updates_done=reading.updates,
        initial_loss=reading.watch.initial_loss,
        diverged_at=None if found is None else found.update,
        reason=None if found is None else found.reason,
        duration_s=time.monotonic() - begun,
    )
