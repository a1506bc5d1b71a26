"""What a user may ask of `launch`, as one frozen value, and how a study file is read into it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from schedsearch.errors import InvalidInput
from schedsearch.search.plan import DEFAULT_TRIALS, Budget
from schedsearch.space import read_yaml, sentences
from schedsearch.space.values import Number, Whole
from schedsearch.task.script import function_script, is_script, read_script
from schedsearch.workers.launchers import Engine
from schedsearch.workers.safety import (
    CHECKPOINT_EVERY_S,
    LEASE_S,
    LEAST_LEASE_S,
    STALL_TIMEOUT_S,
    Safety,
    checkpoint_place,
)

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
DEFAULT_STORAGE = "sqlite:///schedsearch.db"
DEFAULT_MLFLOW = "sqlite:///mlflow.db"


def _devices(value: Any) -> Any:
    """`cpu`, `cuda:0,cuda:1` or `0,1` (CUDA devices) as a list."""
    if not isinstance(value, str):
        return value
    named = [one.strip() for one in value.split(",") if one.strip()]
    return [f"cuda:{one}" if one.isdigit() else one for one in named]


def _range(value: tuple[float, float]) -> tuple[float, float]:
    low, high = value
    if not 0 < low < high:
        raise ValueError(f"must be two numbers with 0 < low < high, but is {low:g} {high:g} instead.")
    return value


class LaunchOptions(BaseModel):
    """Everything `launch` can be told. Field names are option names and study file keys (`-` for `_`).

    base_lr: (low, high), both > 0; None: the space's range, else the task's own. mlflow: a tracking URI, or "none".
    hours: device-hours. workers: None is one a core, or one a GPU. warm_start: an earlier study of the same store.
    resolution: the smallest difference to tell apart, in the score's units; it decides the seeds of the confirmation.
    screen: by how much the horizon is shortened for runs that decide what is trained in full.
    arrays: whether runs may be trained together as one batched model, where that is quicker.
    fresh: train everything anew, also what a study of this store has trained already.
    stall_timeout, checkpoint_every, lease: s. checkpoints: a folder, an fsspec URL or "none"; None: beside the store.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    task: str | None = None
    space: str = "framework"
    study: Annotated[str, Field(pattern=NAME)] | None = None
    trials: Whole | None = None
    updates: Whole | None = None
    hours: Number | None = None
    strategy: Literal["curve", "joint"] = "curve"
    seed: Annotated[Whole, Field(ge=0, lt=2**31)] = 0
    workers: Annotated[Whole, Field(ge=1)] | None = None
    devices: Annotated[tuple[str, ...], BeforeValidator(_devices)] = ()
    per_device: Annotated[Whole, Field(ge=1)] | None = None
    launcher: Engine = "local"
    launcher_options: Mapping[str, Any] = Field(default_factory=dict)
    storage: str = DEFAULT_STORAGE
    mlflow: str = DEFAULT_MLFLOW
    output_dir: Path = Path("schedsearch-results")
    incumbent: Path | None = None
    warm_start: str | None = None
    metric: str | None = None
    direction: Literal["minimize", "maximize"] | None = None
    task_options: Mapping[str, Any] = Field(default_factory=dict)
    total_updates: Annotated[Whole, Field(ge=2)] | None = None
    base_lr: Annotated[tuple[Number, Number], AfterValidator(_range)] | None = None
    noise_seeds: Annotated[Whole, Field(ge=2)] = 3
    confirm_seeds: Annotated[Whole, Field(ge=2)] = 6
    resolution: Annotated[Number, Field(gt=0)] | None = None
    screen: Annotated[Whole, Field(ge=2)] | None = None
    arrays: bool = True
    fresh: bool = False
    stall_timeout: Annotated[Number, Field(gt=0)] = STALL_TIMEOUT_S
    checkpoints: str | None = None
    checkpoint_every: Annotated[Number, Field(gt=0)] = CHECKPOINT_EVERY_S
    lease: Annotated[Number, Field(ge=LEAST_LEASE_S)] = LEASE_S
    resume: str | None = None

    @model_validator(mode="after")
    def _has_a_task(self) -> Self:
        if self.task is None and self.resume is None:
            raise ValueError("`task` must be given: a built-in task (see `schedsearch tasks`) or your own.")
        return self

    @model_validator(mode="after")
    def _scripts_say_the_rest(self) -> Self:
        script = self.task is not None and is_script(self.task)
        by_file = self.task is not None and script and read_script(self.task).is_told_by_file
        if by_file and (self.total_updates is None or self.base_lr is None):
            raise ValueError(
                "`total_updates` and `base_lr` must be given for a script that takes its LRs from the file {lrs}: how "
                "many lines shall it have, and in which range shall the base LR lie?"
            )
        if script and (self.task_options or (self.total_updates is not None and not by_file)):
            raise ValueError("`task_options` and `total_updates` are a script's own business: put them in its command.")
        if not script and self.script_options:
            raise ValueError("`metric` and `direction` are for a script (`launch -- python ...`); a task has its own.")
        return self

    @model_validator(mode="after")
    def _says_how_many_workers(self) -> Self:
        if self.launcher != "local" and self.workers is None:
            raise ValueError(f"`workers` must be given with `launcher` = {self.launcher}: how many shall it start?")
        if self.launcher == "local" and self.launcher_options:
            raise ValueError("`launcher_options` are for `launcher` = ray or slurm, but this is local.")
        return self

    @model_validator(mode="after")
    def _has_one_number_of_workers(self) -> Self:
        if self.launcher == "local" and self.workers is not None and self.per_device is not None:
            raise ValueError("`workers` counts all of them, so that `per_device` cannot be given too.")
        return self

    @model_validator(mode="after")
    def _has_one_rule_for_seeds(self) -> Self:
        if self.resolution is not None and "confirm_seeds" in self.model_fields_set:
            raise ValueError("`resolution` decides the seeds of the confirmation: `confirm_seeds` cannot be given too.")
        return self

    @field_validator("task")
    @classmethod
    def _may_be_a_function(cls, given: str | None) -> str | None:
        """A training function is a script of ours that calls it."""
        function = None if given is None or is_script(given) else function_script(given, Path.cwd())
        return given if function is None else function.reference

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> LaunchOptions:
        """Options from a command line or a study file; None is "not given". Raises InvalidInput with every fault."""
        try:
            return cls.model_validate({key: value for key, value in values.items() if value is not None})
        except ValidationError as error:
            raise InvalidInput(sentences(error, cls)) from error

    @property
    def budget(self) -> Budget:
        """The one budget of the study; raises InvalidInput when two kinds are given."""
        if self.trials is None and self.updates is None and self.hours is None:
            return Budget(trials=DEFAULT_TRIALS)
        return Budget(self.trials, self.updates, self.hours)

    @property
    def safety(self) -> Safety:
        """What guards the runs."""
        place = checkpoint_place(self.checkpoints, self.storage)
        return Safety(self.stall_timeout, place, self.checkpoint_every, self.lease)

    @property
    def script_options(self) -> dict[str, str]:
        """What a script does not say itself."""
        given = {"metric": self.metric, "direction": self.direction}
        horizon = self.total_updates if self.task is not None and is_script(self.task) else None
        written = {} if horizon is None else {"total_updates": str(horizon)}
        return {**written, **{name: value for name, value in given.items() if value is not None}}

    @property
    def all_task_options(self) -> dict[str, Any]:
        """The task's options, its horizon among them where it was given; a script's metric and direction."""
        if self.task is not None and is_script(self.task):
            return self.script_options
        horizon = {} if self.total_updates is None else {"total_updates": self.total_updates}
        return {**self.task_options, **horizon}

    def study_name(self, now: datetime) -> str:
        """The name given, or one made of task, space and time."""
        if self.study is not None:
            return self.study
        named = read_script(self.task).name if self.task and is_script(self.task) else Path(str(self.task)).name
        task = re.sub(r"[^A-Za-z0-9]+", "-", named.replace(".py", "")).strip("-")
        space = re.sub(r"[^A-Za-z0-9]+", "-", Path(self.space).stem).strip("-")
        return f"{task}-{space}"[:84] + f"-{now:%Y%m%d-%H%M%S}"


def parse_devices(text: str) -> tuple[str, ...]:
    """The devices that `--devices` names. Raises InvalidInput where it names none."""
    found = tuple(_devices(text))
    if not found:
        raise InvalidInput(f"`devices` must name at least one, such as `cpu` or `0,1`, but is {text!r} instead.")
    return found


def read_study_file(path: Path) -> dict[str, Any]:
    """The options of a study file (YAML, keys named like the options). Raises InvalidInput naming every unknown key."""
    values = {key.replace("-", "_"): value for key, value in read_yaml(path).items()}
    known = sorted(set(LaunchOptions.model_fields) - {"resume"})
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise InvalidInput([f"{path} has no key {key!r}; valid keys: {', '.join(known)}." for key in unknown])
    return values


def parse_pairs(pairs: tuple[str, ...], option: str) -> dict[str, Any]:
    """`("weight_decay=1e-4", ...)` as a mapping, values read as numbers or booleans where they look like it."""
    options: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key.isidentifier():
            raise InvalidInput(f"`{option}` must look like name=value, but is {pair!r} instead.")
        options[key] = _value(text)
    return options


def _value(text: str) -> Any:
    for read in (int, float):
        try:
            return read(text)
        except ValueError:
            continue
    return {"true": True, "false": False}.get(text.lower(), text)
