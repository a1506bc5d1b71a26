"""Reading the serialized form: every fault of every part in one message, an unknown key never ignored."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, TypeVar

from schedsearch.errors import InvalidSchedule
from schedsearch.schedule import checks
from schedsearch.schedule.decays import decay_from_dict
from schedsearch.schedule.parts import Restarts, Warmup

KEYS = ("base_lr", "warmup", "decay", "restarts", "step_every")
REQUIRED = ("base_lr", "decay")
PART_REQUIRED: dict[type, tuple[str, ...]] = {Warmup: ("kind", "fraction"), Restarts: ("cycles",)}
Part = TypeVar("Part", Warmup, Restarts)


def schedule_arguments(values: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of `Schedule` in a serialized form; absent `warmup`, `restarts`, `step_every` are null, null, 1.

    Raises InvalidSchedule with every unknown key, missing key and bad value, one sentence each.
    """
    if not isinstance(values, Mapping):
        raise InvalidSchedule(f"A schedule must be an object, but is {values!r} instead.")
    faults = checks.unknown_keys("schedule", values, KEYS) + checks.missing_keys("schedule", values, REQUIRED)
    readers: dict[str, Callable[[Any], Any]] = {
        "base_lr": _base_lr,
        "warmup": lambda given: _part("warmup", Warmup, given),
        "decay": decay_from_dict,
        "restarts": lambda given: _part("restarts", Restarts, given),
        "step_every": _step_every,
    }
    arguments: dict[str, Any] = {}
    for name, read in readers.items():
        try:
            arguments |= {name: read(values[name])} if name in values else {}
        except InvalidSchedule as error:
            faults += error.faults
    checks.raise_if_any(faults)
    return arguments


def _base_lr(given: Any) -> Any:
    checks.raise_if_any(checks.positive("base_lr", given))
    return given


def _step_every(given: Any) -> Any:
    checks.raise_if_any(checks.step_every(given))
    return given


def _part(name: str, kind: type[Part], given: Any) -> Part | None:
    if given is None:
        return None
    if not isinstance(given, Mapping):
        raise InvalidSchedule(f"`{name}` must be an object or null, but is {given!r} instead.")
    known = tuple(one.name for one in fields(kind))
    checks.raise_if_any(checks.unknown_keys(name, given, known) + checks.missing_keys(name, given, PART_REQUIRED[kind]))
    return kind(**given)
