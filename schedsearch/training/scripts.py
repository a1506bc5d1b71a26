"""A user's script trained as one run: started with an order, its reports read until it ends."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from schedsearch.errors import InvalidTask, RunInterrupted, SchedsearchError
from schedsearch.script.letters import VARIABLE, Folder, ScriptOrder
from schedsearch.task.facts import TaskFacts
from schedsearch.task.script import Script
from schedsearch.training.course import Record
from schedsearch.training.devices import default_devices
from schedsearch.training.divergence import Divergence, DivergenceWatch
from schedsearch.training.spec import Measurement, Outcome, RunSpec

POLL_S = 0.05
GRACE_S = 2.0
RANGE_DECADES = 1.5
METRIC, DIRECTION = "val_loss", "minimize"


def examine_script(script: Script, options: Mapping[str, str]) -> TaskFacts:
    """Run the script for its first updates and say what it told. Raises InvalidTask, one sentence a fault."""
    direction = options.get("direction", DIRECTION)
    if direction not in ("minimize", "maximize"):
        raise InvalidTask(f"`direction` must be minimize or maximize, but is {direction!r} instead.")
    devices = default_devices()
    facts: dict[str, Any] = {}
    with _started(script, ScriptOrder(None, 0, None, devices[0])) as (process, folder):
        while process.poll() is None:
            time.sleep(POLL_S)
        for report in folder.new_reports():
            if report["kind"] == "fault":
                raise InvalidTask(f"{script.shown}: {report['text']}")
            facts |= report
    if process.returncode:
        raise InvalidTask(f"{script.shown} ended with exit code {process.returncode} when it was tried.")
    if "total_updates" not in facts:
        raise InvalidTask(
            f"{script.shown} ended without asking for its scheduler: it must call `run = schedsearch.attach()` and "
            "`run.scheduler(optimizer, total_updates=...)`."
        )
    if "seconds_per_update" not in facts:
        raise InvalidTask(f"{script.shown} ended before its optimizer did the first updates.")
    reach = 10**RANGE_DECADES
    return TaskFacts(
        name=script.name,
        metric=options.get("metric", METRIC),
        direction=direction,
        optimizer=facts["optimizer"],
        batch_size=0,
        total_updates=facts["total_updates"],
        updates_per_epoch=facts["updates_per_epoch"],
        base_lr_range=(facts["base_lr"] / reach, facts["base_lr"] * reach),
        fingerprint=script.fingerprint(**options),
        parameters=facts["parameters"],
        seconds_per_update=facts["seconds_per_update"],
        seconds_per_evaluation=0.0,
        devices=tuple(devices),
    )


def train_script(
    script: Script, options: Mapping[str, str], spec: RunSpec, record: Record, should_stop: Callable[[], bool]
) -> Outcome:
    """Train one run of a script; `record` is handed its measurements as they come.

    Raises RunInterrupted once `should_stop()` holds (a script has no checkpoints of ours: it begins again), and
    SchedsearchError where it failed, did other updates than were planned, or never reported the metric.
    """
    started = time.monotonic()
    order = ScriptOrder(spec.schedule.to_dict(), spec.seed, spec.total_updates, spec.device)
    metric = options.get("metric", METRIC)
    with _started(script, order) as (process, folder):
        reading = _Reading(metric, spec.total_updates, record)
        while process.poll() is None and reading.divergence is None:
            if should_stop():
                folder.ask_to_stop()
                _wait(process)
                raise RunInterrupted(f"{script.shown} was asked to stop.")
            reading.take(folder)
            time.sleep(POLL_S)
        code = process.poll()
        reading.take(folder)
    if reading.divergence is None:
        reading.finish(script, code)
    found = reading.divergence
    return Outcome(
        status="completed" if found is None else "diverged",
        score=reading.score if found is None else None,
        test_score=reading.test_score if found is None and spec.with_test else None,
        updates_done=reading.updates,
        initial_loss=reading.watch.initial_loss,
        diverged_at=None if found is None else found.update,
        reason=None if found is None else found.reason,
        duration_s=time.monotonic() - started,
    )


class _Reading:
    """What a script has reported so far."""

    def __init__(self, metric: str, total_updates: int, record: Record) -> None:
        self.metric = metric
        self.watch = DivergenceWatch(total_updates)
        self.score: float | None = None
        self.test_score: float | None = None
        self.updates = 0
        self.divergence: Divergence | None = None
        self._total = total_updates
        self._record = record
        self._pending: Measurement | None = None
        self._done: Mapping[str, Any] | None = None
        self._is_known = False

    def take(self, folder: Folder) -> None:
        """Read what is new."""
        for report in folder.new_reports():
            if report["kind"] == "fault":
                raise SchedsearchError(report["text"])
            if report["kind"] == "done":
                self._done = report
                self.updates = report["updates"]
            elif report["kind"] == "report":
                self._measure(report)

    def _measure(self, report: Mapping[str, Any]) -> None:
        self.updates = max(self.updates, report["update"] + 1)
        losses = report["losses"]
        for loss in losses:
            self.divergence = self.divergence or self.watch.see(loss)
        values = report["metrics"]
        if self.metric in values:
            self._is_known = True
            self.score = values[self.metric] if math.isfinite(values[self.metric]) else None
        if math.isfinite(values.get("test", math.nan)):
            self.test_score = values["test"]
        finite = {name: value for name, value in values.items() if math.isfinite(value)}
        loss = sum(losses) / len(losses) if losses else None
        new = Measurement(
            update=report["update"],
            lr=report["lr"] or 0.0,
            train_loss=loss if loss is not None and math.isfinite(loss) else None,
            val_loss=finite.pop("val_loss", None),
            metrics=finite,
        )
        if self._pending is not None and self._pending.update == new.update:
            self._pending = _merged(self._pending, new)
            return
        self._flush()
        self._pending = new

    def _flush(self) -> None:
        if self._pending is not None:
            self._record([self._pending])
        self._pending = None

    def finish(self, script: Script, code: int | None) -> None:
        """The script has ended: check that it did what was planned. Raises SchedsearchError."""
        self._flush()
        if code:
            raise SchedsearchError(f"{script.shown} ended with exit code {code}.")
        if not self._is_known:
            raise SchedsearchError(f"{script.shown} reported no `{self.metric}`: call `run.report({self.metric}=...)`.")
        updates = self.updates if self._done is None else self._done["updates"]
        if updates != self._total:
            raise SchedsearchError(
                f"{script.shown} must do {self._total} updates, as it said, but did {updates}; "
                "its score would belong to another schedule."
            )
        if self.score is None:
            self.divergence = Divergence(self._total - 1, f"The {self.metric} was not finite at the end.")


def _merged(one: Measurement, other: Measurement) -> Measurement:
    return Measurement(
        other.update,
        other.lr,
        other.train_loss if other.train_loss is not None else one.train_loss,
        other.val_loss if other.val_loss is not None else one.val_loss,
        {**one.metrics, **other.metrics},
    )


@contextmanager
def _started(script: Script, order: ScriptOrder) -> Iterator[tuple[subprocess.Popen[bytes], Folder]]:
    """The script at work in a session of its own; whatever is left of it afterwards is killed. Raises InvalidTask."""
    with tempfile.TemporaryDirectory(prefix="schedsearch-run-", ignore_cleanup_errors=True) as path:
        folder = Folder(Path(path))
        folder.write_order(order)
        try:
            process = subprocess.Popen(  # noqa: S603 - the very command that the user asked for
                script.command,
                cwd=script.folder,
                env={**os.environ, VARIABLE: path},
                stdin=subprocess.DEVNULL,
                stdout=sys.stderr.fileno(),
            )
        except OSError as error:
            raise InvalidTask(f"{script.shown} cannot be started: {error.strerror}.") from error
        try:
            yield process, folder
        finally:
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGKILL)
            process.wait()


def _wait(process: subprocess.Popen[bytes]) -> None:
    """A moment for a script that looks at `run.should_stop`."""
    with suppress(subprocess.TimeoutExpired):
        process.wait(GRACE_S)
