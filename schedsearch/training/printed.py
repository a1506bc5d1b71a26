"""What a script prints, read for measurements: JSON objects a line, or text that a regular expression fits.

A line such as `{"update": 99, "val_loss": 0.31}` is a measurement after update 99 (from 0); `step` says the same as
`update`, `loss` or `train_loss` is the training loss, every other number a metric. `metric` = `NAME=REGEX` reads the
number of the expression's one group out of any other line.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from schedsearch.errors import InvalidInput

UPDATE_NAMES = ("update", "step")
TRAIN_LOSSES = ("loss", "train_loss")


@dataclass(frozen=True)
class PrintedMetric:
    """name: of the metric that decides. pattern: finds its value in a line of text; None: only JSON is read."""

    name: str
    pattern: re.Pattern[str] | None

    @classmethod
    def of(cls, metric: str) -> PrintedMetric:
        """From `NAME` or `NAME=REGEX`. Raises InvalidInput for an expression without exactly one group."""
        name, equals, expression = metric.partition("=")
        if not name or (equals and not expression):
            raise InvalidInput(f"`metric` must be NAME or NAME=REGEX, but is {metric!r} instead.")
        if not equals:
            return cls(name, None)
        try:
            pattern = re.compile(expression)
        except re.error as error:
            raise InvalidInput(f"`metric` must be a regular expression behind {name}=: {error}.") from error
        if pattern.groups != 1:
            raise InvalidInput(
                f"`metric` must have exactly one group (...) for the number behind {name}=, but has {pattern.groups}."
            )
        return cls(name, pattern)

    def read(self, line: str) -> Mapping[str, Any] | None:
        """The report that this line makes, in the form of an attached script's; None where it says nothing."""
        found = self._object(line) if line.lstrip().startswith("{") else self._found(line)
        values = {name: float(one) for name, one in found.items() if _is_number(one)}
        update = next((int(values.pop(name)) for name in UPDATE_NAMES if name in values), None)
        losses = [values.pop(name) for name in TRAIN_LOSSES if name in values and name != self.name]
        if not values and not losses:
            return None
        return {"update": update, "lr": values.pop("lr", None), "losses": losses, "metrics": values}

    def _object(self, line: str) -> Mapping[str, Any]:
        try:
            found = json.loads(line)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    def _found(self, line: str) -> Mapping[str, Any]:
        match = None if self.pattern is None else self.pattern.search(line)
        if match is None:
            return {}
        try:
            return {self.name: float(match[1])}
        except (TypeError, ValueError):
            return {}


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
