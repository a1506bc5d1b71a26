"""What a script has reported of its run, by letters or in print, and whether it did what was planned."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from schedsearch.errors import SchedsearchError
from schedsearch.task.script import Script
from schedsearch.training.course import Record
from schedsearch.training.divergence import Divergence, DivergenceWatch
from schedsearch.training.printed import PrintedMetric
from schedsearch.training.script_process import RunningScript
from schedsearch.training.spec import Measurement, RunSpec


class ScriptReading:
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

    def take(self, running: RunningScript, *, to_the_end: bool = False) -> None:
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
