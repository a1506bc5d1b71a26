"""A user's script trained as one run: started with an order, its reports read until it ends."""

from __future__ import annotations

import math
import os
import queue
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from schedsearch.errors import InvalidTask, RunInterrupted, SchedsearchError
from schedsearch.script import REHEARSED
from schedsearch.script.letters import BEGIN, STATE, VARIABLE, Folder, ScriptOrder
from schedsearch.script.state import read_state, write_state
from schedsearch.task.facts import TaskFacts
from schedsearch.task.script import LRS_FILE, Script
from schedsearch.training.checkpoints import Checkpoints
from schedsearch.training.course import Record
from schedsearch.training.devices import default_devices
from schedsearch.training.divergence import Divergence, DivergenceWatch
from schedsearch.training.printed import PrintedMetric
from schedsearch.training.spec import Measurement, Outcome, RunSpec

POLL_S = 0.05
GRACE_S = 6.0
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
    with _started(script, ScriptOrder(None, 0, None, device)) as running:
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
    started = time.monotonic()
    report = None
    with _started(script, ScriptOrder(None, 0, total, device), [REHEARSAL_LR] * total) as running:
        while report is None and time.monotonic() - started < REHEARSAL_S:
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
        "seconds_per_update": (time.monotonic() - started) / (total if update is None else update + 1),
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
    started = time.monotonic()
    every_s = None if checkpoints is None else checkpoints.every_s
    order = ScriptOrder(spec.schedule.to_dict(), spec.seed, spec.total_updates, spec.device, every_s)
    metric = PrintedMetric.of(options.get("metric", METRIC))
    lrs = spec.schedule.lrs(spec.total_updates, 1).tolist() if script.is_told_by_file else None
    state = None if checkpoints is None else checkpoints.newest()
    with _started(script, order, lrs, state) as running:
        reading = _Reading(metric, spec, record)
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
        duration_s=time.monotonic() - started,
    )


class _Reading:
    """What a script has reported so far, by letters or, where it wrote none, in what it printed."""

    def __init__(self, metric: PrintedMetric, spec: RunSpec, record: Record) -> None:
        self.metric = metric.name
        self.watch = DivergenceWatch(spec.total_updates)
        self.score: float | None = None
        self.test_score: float | None = None
        self.updates = 0
        self.divergence: Divergence | None = None
        self._printed = metric
        self._spec = spec
        self._record = record
        self._pending: Measurement | None = None
        self._done: Mapping[str, Any] | None = None
        self._is_known = False
        self._writes = False

    def take(self, running: _Running, *, to_the_end: bool = False) -> None:
        """Read what is new."""
        for report in running.folder.new_reports():
            if report["kind"] == "fault":
                raise SchedsearchError(report["text"])
            if report["kind"] == "done":
                self._done = report
                self.updates = report["updates"]
            elif report["kind"] == "report":
                self._writes = True
                self._measure(report)
        for line in running.printed(wait=to_the_end):
            found = None if self._writes else self._printed.read(line)
            if found is not None:
                self._measure(self._placed(found))

    def _placed(self, report: Mapping[str, Any]) -> Mapping[str, Any]:
        """A printed report that names no update belongs to the last one that is known, or to the end."""
        last = self.updates - 1 if self.updates else self._spec.total_updates - 1
        update = min(last if report["update"] is None else max(0, report["update"]), self._spec.total_updates - 1)
        lr = self._spec.schedule.lr(update, self._spec.total_updates, 1) if report["lr"] is None else report["lr"]
        return {**report, "update": update, "lr": lr}

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
        total = self._spec.total_updates
        if code:
            raise SchedsearchError(f"{script.shown} ended with exit code {code}.")
        if not self._is_known:
            raise SchedsearchError(
                f"{script.shown} reported no `{self.metric}`: call `run.report({self.metric}=...)`, or print it "
                f'as {{"{self.metric}": ...}}.'
            )
        if self._done is None and script.is_told_by_file:
            self.updates = total  # nobody counted them
        updates = self.updates if self._done is None else self._done["updates"]
        if updates != total:
            raise SchedsearchError(
                f"{script.shown} must do {total} updates, as it said, but did {updates}; "
                "its score would belong to another schedule."
            )
        if self.score is None:
            self.divergence = Divergence(total - 1, f"The {self.metric} was not finite at the end.")


def _merged(one: Measurement, other: Measurement) -> Measurement:
    return Measurement(
        other.update,
        other.lr,
        other.train_loss if other.train_loss is not None else one.train_loss,
        other.val_loss if other.val_loss is not None else one.val_loss,
        {**one.metrics, **other.metrics},
    )


@dataclass
class _Running:
    """A script at work: its process, its folder, and what it prints (passed on to our stderr)."""

    process: subprocess.Popen[bytes]
    folder: Folder
    _lines: queue.SimpleQueue[str] = field(default_factory=queue.SimpleQueue)
    _printer: threading.Thread | None = None
    _kept_at: float = 0.0

    def listen(self) -> None:
        """Begin to read what it prints."""
        assert self.process.stdout is not None  # noqa: S101 - made with a pipe
        self._printer = threading.Thread(target=self._pass_on, args=(self.process.stdout,), daemon=True)
        self._printer.start()

    def _pass_on(self, stream: IO[bytes]) -> None:
        for line in stream:
            self._lines.put(line.decode(errors="replace"))
            with suppress(OSError):  # nobody reads our log any more: the script goes on
                sys.stderr.buffer.write(line)
                sys.stderr.flush()
        stream.close()

    def printed(self, *, wait: bool) -> list[str]:
        """The lines since the last call; wait: until the last of a process that has ended, unless children of it
        still hold the pipe."""
        if wait and self._printer is not None:
            self._printer.join(GRACE_S)
        found = []
        with suppress(queue.Empty):
            while True:
                found.append(self._lines.get_nowait())
        return found

    def wait(self, seconds: float) -> None:
        """A moment for a script that looks at `run.should_stop`."""
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)

    def keep_state(self, checkpoints: Checkpoints | None) -> None:
        """Put the state that the script saved last, if it is new, where checkpoints are kept."""
        path = self.folder.path / STATE
        if checkpoints is None or not path.exists() or path.stat().st_mtime == self._kept_at:
            return
        self._kept_at = path.stat().st_mtime
        state = read_state(path)
        checkpoints.save(state, state["updates"])


@contextmanager
def _started(
    script: Script, order: ScriptOrder, lrs: list[float] | None = None, state: Mapping[str, Any] | None = None
) -> Iterator[_Running]:
    """The script at work; whatever is left of it afterwards is killed. lrs: for a script that reads them from a file.
    state: to go on from. Raises InvalidTask."""
    with tempfile.TemporaryDirectory(prefix="schedsearch-run-", ignore_cleanup_errors=True) as path:
        folder = Folder(Path(path))
        folder.write_order(order)
        if lrs is not None:
            (folder.path / LRS_FILE).write_text("".join(f"{lr!r}\n" for lr in lrs))
        if state is not None:
            write_state(folder.path / BEGIN, state)
        try:
            process = subprocess.Popen(  # noqa: S603 - the very command that the user asked for
                script.command_of(folder.path, order.seed, order.device),
                cwd=script.folder,
                env={**os.environ, VARIABLE: path},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
            )
        except OSError as error:
            raise InvalidTask(f"{script.shown} cannot be started: {error.strerror}.") from error
        running = _Running(process, folder)
        running.listen()
        try:
            yield running
        finally:
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGKILL)
            process.wait()
            running.printed(wait=True)
