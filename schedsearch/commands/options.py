"""What a user may ask of `launch`, as one frozen value, and how a study file is read into it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from schedsearch.errors import InvalidInput
from schedsearch.search.plan import DEFAULT_TRIALS, Budget

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
STRATEGIES = ("curve", "joint")
DEFAULT_STORAGE = "sqlite:///schedsearch.db"
DEFAULT_MLFLOW = "sqlite:///mlflow.db"
LARGEST_FILE = 1_000_000


@dataclass(frozen=True)
class LaunchOptions:
    """Everything `launch` can be told. Field names are option names and study file keys (`-` for `_`).

    base_lr: (low, high), both > 0; None: the space's range, else the task's own.
    mlflow: a tracking URI, or "none". hours: device-hours. workers: None is one a core, or one a GPU.
    """

    task: str | None = None
    space: str = "framework"
    study: str | None = None
    trials: int | None = None
    updates: int | None = None
    hours: float | None = None
    strategy: str = "curve"
    seed: int = 0
    workers: int | None = None
    devices: tuple[str, ...] = ()
    storage: str = DEFAULT_STORAGE
    mlflow: str = DEFAULT_MLFLOW
    output_dir: Path = Path("schedsearch-results")
    incumbent: Path | None = None
    task_options: Mapping[str, Any] = field(default_factory=dict)
    total_updates: int | None = None
    base_lr: tuple[float, float] | None = None
    noise_seeds: int = 3
    confirm_seeds: int = 6
    resume: str | None = None

    def __post_init__(self) -> None:
        faults = list(self._faults())
        if faults:
            raise InvalidInput(faults)

    def _faults(self) -> list[str]:
        checks = [
            (
                self.study is None or NAME.fullmatch(self.study),
                "study",
                "a name of letters, digits, `.`, `_`, `-` (at most 100)",
                self.study,
            ),
            (self.strategy in STRATEGIES, "strategy", " or ".join(STRATEGIES), self.strategy),
            (self.seed >= 0, "seed", "at least 0", self.seed),
            (self.workers is None or self.workers >= 1, "workers", "at least 1", self.workers),
            (self.noise_seeds >= 2, "noise_seeds", "at least 2", self.noise_seeds),
            (self.confirm_seeds >= 2, "confirm_seeds", "at least 2", self.confirm_seeds),
            (
                self.total_updates is None or self.total_updates >= 2,
                "total_updates",
                "at least 2",
                self.total_updates,
            ),
            (_is_range(self.base_lr), "base_lr", "two numbers with 0 < low < high", self.base_lr),
            (
                self.task is not None or self.resume is not None,
                "task",
                "given (see `schedsearch tasks`)",
                "missing",
            ),
        ]
        return [
            f"`{name}` must be {bound}, but is {value!r} instead."
            for holds, name, bound, value in checks
            if not holds
        ]

    @property
    def budget(self) -> Budget:
        """The one budget of the study; raises InvalidInput when two kinds are given."""
        if self.trials is None and self.updates is None and self.hours is None:
            return Budget(trials=DEFAULT_TRIALS)
        return Budget(self.trials, self.updates, self.hours)

    def study_name(self, now: datetime) -> str:
        """The name given, or one made of task, space and time."""
        if self.study is not None:
            return self.study
        task = re.sub(r"[^A-Za-z0-9]+", "-", Path(str(self.task)).name.replace(".py", "")).strip("-")
        space = re.sub(r"[^A-Za-z0-9]+", "-", Path(self.space).stem).strip("-")
        return f"{task}-{space}-{now:%Y%m%d-%H%M%S}"[:100]


def _is_range(value: tuple[float, float] | None) -> bool:
    return value is None or (len(value) == 2 and 0 < value[0] < value[1] < float("inf"))


def read_study_file(path: Path) -> dict[str, Any]:
    """The options of a study file (YAML, keys named like the options). Raises InvalidInput naming every unknown key."""
    if path.stat().st_size > LARGEST_FILE:
        raise InvalidInput(
            f"The study file {path} must be at most {LARGEST_FILE} bytes, but has {path.stat().st_size}."
        )
    try:
        content = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise InvalidInput(f"The study file {path} is not valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise InvalidInput(
            f"The study file {path} must hold `option: value` lines, but holds {type(content).__name__}."
        )
    known = {one.name for one in fields(LaunchOptions)} - {"resume"}
    values = {str(key).replace("-", "_"): value for key, value in content.items()}
    unknown = sorted(set(values) - known)
    if unknown:
        valid = ", ".join(sorted(known))
        raise InvalidInput([f"Unknown key `{key}` in {path}; valid keys: {valid}." for key in unknown])
    return values


def parse_task_options(pairs: tuple[str, ...]) -> dict[str, Any]:
    """`("weight_decay=1e-4", ...)` as a mapping, values read as numbers or booleans where they look like it."""
    options: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key.isidentifier():
            raise InvalidInput(f"`task-option` must look like name=value, but is {pair!r} instead.")
        options[key] = _value(text)
    return options


def _value(text: str) -> Any:
    for read in (int, float):
        try:
            return read(text)
        except ValueError:
            continue
    return {"true": True, "false": False}.get(text.lower(), text)
