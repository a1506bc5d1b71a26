"""`SearchSpace`: a validated space file that draws, builds, replays and perturbs candidates."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import isclose
from typing import Any

import numpy as np
from pydantic import ValidationError

from schedsearch.errors import InvalidSchedule, InvalidSpace
from schedsearch.schedule import Schedule
from schedsearch.space.answers import Answer, Arm, Question, arm_of
from schedsearch.space.building import build, read_back
from schedsearch.space.document import Document, baseline_schedule
from schedsearch.space.faults import sentences
from schedsearch.space.suggest import Dimension, RandomDraw, Replay, Suggest

ARM_NAMES = ("warmup", "decay", "restarts")
RESAMPLE = 0.3
MEANING = 1  # of parameters: raised when `build` makes another schedule of the same ones
STANDARD_BASELINES: dict[str, dict[str, Any]] = {
    "constant": {"decay": {"kind": "constant"}},
    "linear": {"decay": {"kind": "linear", "final_factor": 0.0}},
    "cosine": {"decay": {"kind": "cosine", "final_factor": 0.0}},
    "warmup_cosine": {
        "warmup": {"kind": "linear", "fraction": 0.05, "start_factor": 0.01},
        "decay": {"kind": "cosine", "final_factor": 0.0},
    },
    "step": {"decay": {"kind": "multistep", "milestones": [0.5, 0.75], "gamma": 0.1}},
}


@dataclass(frozen=True)
class Baseline:
    """A schedule that every study of a space carries, with base LR 1; its base LR is tuned by the study."""

    name: str
    schedule: Schedule


@dataclass(frozen=True)
class SearchSpace:
    """What a study may answer to the three questions. Made by `load_space` or `from_dict`; never changed.

    A candidate is a dict of parameters by name (what Optuna calls the params of a trial); `schedule` makes the curve.
    """

    document: Document

    def __hash__(self) -> int:
        return hash(self.version)

    @property
    def name(self) -> str:
        """Short, fit for a file name."""
        return self.document.name

    @property
    def title(self) -> str:
        """One line."""
        return self.document.title

    @property
    def description(self) -> str:
        """What the space asks and when to choose it: paragraphs with an empty line in between."""
        return "\n\n".join(line for line in self.document.description.splitlines() if line.strip())

    @property
    def base_lr(self) -> tuple[float, float] | None:
        """The range of the base LR; None leaves it to the task."""
        given = self.document.base_lr
        return None if given is None else (given.low, given.high)

    @cached_property
    def version(self) -> str:
        """12 hexadecimal digits of what is searched: equal for files that differ in words, order or layout only."""
        content = {key: value for key, value in self.to_dict().items() if key not in ("title", "description")}
        content["meaning"] = MEANING
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]

    def to_dict(self) -> dict[str, Any]:
        """Plain values that `from_dict` reads back exactly."""
        return self.document.model_dump(mode="json", exclude_none=True)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> SearchSpace:
        """The space of a file's content or of `to_dict`. Raises InvalidSpace listing every fault."""
        try:
            return cls(Document.model_validate(dict(values)))
        except ValidationError as error:
            raise InvalidSpace(sentences(error)) from error

    def with_base_lr(self, low: float, high: float) -> SearchSpace:
        """The same space with this range of the base LR. Raises InvalidSpace unless 0 < low < high."""
        return SearchSpace.from_dict({**self.to_dict(), "base_lr": {"low": low, "high": high}})

    @cached_property
    def arms(self) -> tuple[Arm, ...]:
        """Every combination of answers that is a curve of its own (a constant is never restarted)."""
        document = self.document
        return tuple(
            Arm(warmup, decay, trajectory)
            for warmup in document.warmup.kinds
            for decay in document.decay.kinds
            for trajectory in document.restarts.choices_for(decay)
        )

    @cached_property
    def _arm_set(self) -> frozenset[Arm]:
        return frozenset(self.arms)

    @cached_property
    def answers(self) -> tuple[Answer, ...]:
        """Every answer that a candidate can give, by question; a question with one answer is not asked."""
        found = {Answer(question, arm.answers[question]): None for question in Question for arm in self.arms}
        return tuple(found)

    @cached_property
    def asked(self) -> tuple[Question, ...]:
        """The questions to which there is more than one answer, in order."""
        given = [answer.question for answer in self.answers]
        return tuple(question for question in Question if given.count(question) > 1)

    @cached_property
    def baselines(self) -> tuple[Baseline, ...]:
        """The baselines of this space (the standard five unless the file names its own)."""
        named = STANDARD_BASELINES if self.document.baselines is None else self.document.baselines
        return tuple(Baseline(name, baseline_schedule(shape)) for name, shape in named.items())

    def build(self, suggest: Suggest) -> Schedule:
        """Ask for everything one candidate needs and make its schedule. Optuna's Trial is a `Suggest`.

        Raises InvalidSpace when the range of the base LR is not fixed yet.
        """
        if self.base_lr is None:
            raise InvalidSpace(f"The space {self.name!r} has no `base_lr` range; fix one with `with_base_lr`.")
        return build(self.document, self.base_lr, suggest)

    def draw(self, rng: np.random.Generator, arm: Arm | None = None) -> dict[str, Any]:
        """The parameters of a random candidate: of this arm, or of any (all arms alike).

        Numbers are uniform, log-uniform where their range is. Raises InvalidSpace for an arm that is not in the space.
        """
        if arm is None:
            arm = self.arms[int(rng.integers(len(self.arms)))]
        elif arm not in self._arm_set:
            raise InvalidSpace(f"The space {self.name!r} has no arm {arm.label!r}.")
        draw = RandomDraw(rng, {name: getattr(arm, name) for name in ARM_NAMES})
        self.build(draw)
        return draw.params

    def schedule(self, params: Mapping[str, Any]) -> Schedule:
        """The schedule of known parameters. Raises KeyError when one is missing."""
        return self.build(Replay(params))

    def dimensions(self, params: Mapping[str, Any]) -> tuple[Dimension, ...]:
        """Everything that was asked for on the way to this candidate, in order."""
        replay = Replay(params)
        self.build(replay)
        return tuple(replay.asked)

    def params_of(self, schedule: Schedule) -> dict[str, Any] | None:
        """The parameters that make this schedule, or None where the space has no such candidate.

        `schedule(params_of(one))` is `one` again (a spline up to rounding).
        """
        if arm_of(schedule) not in self._arm_set:
            return None
        replay = Replay(read_back(schedule))
        try:
            made = self.build(replay)
        except (KeyError, InvalidSchedule):
            return None
        params = {one.name: replay.params[one.name] for one in replay.asked}
        inside = all(one.holds(params[one.name]) for one in replay.asked)
        return params if inside and _alike(made.to_dict(), schedule.to_dict()) else None

    def perturb(
        self,
        params: Mapping[str, Any],
        rng: np.random.Generator,
        *,
        size: float,
        coordinates: int,
        dimensions: Sequence[Dimension] = (),
    ) -> dict[str, Any]:
        """A neighbour in the same arm: `coordinates` of its parameters, at random, are moved.

        Numbers take normal steps of `size` (a share of their range, on its log scale where it has one), reflected at
        the edges; whole numbers step by one and choices are redrawn with probability RESAMPLE. A choice that changes
        may open a parameter that was not there before: it is drawn. dimensions: those of `params`, where known.
        """
        movable = [one for one in dimensions or self.dimensions(params) if one.name not in ARM_NAMES]
        chosen = rng.choice(len(movable), size=min(coordinates, len(movable)), replace=False)
        moved = dict(params)
        for index in chosen:
            moved[movable[index].name] = _moved(movable[index], params[movable[index].name], rng, size)
        fresh = RandomDraw(rng, moved)
        self.build(fresh)
        return fresh.params


def _alike(one: Any, other: Any) -> bool:
    """Equal plain values, numbers up to rounding."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_alike(one[key], other[key]) for key in one)
    if isinstance(one, float) and isinstance(other, float):
        return isclose(one, other, rel_tol=1e-9, abs_tol=1e-12)
    return bool(one == other)


def _moved(dimension: Dimension, value: Any, rng: np.random.Generator, size: float) -> Any:
    if dimension.kind == "categorical":
        return dimension.choices[int(rng.integers(len(dimension.choices)))] if rng.random() < RESAMPLE else value
    if dimension.kind == "int":
        step = int(rng.choice((-1, 1))) if rng.random() < RESAMPLE else 0
        return int(min(dimension.high, max(dimension.low, value + step)))
    place = abs(dimension.to_unit(value) + size * rng.standard_normal()) % 2
    return dimension.from_unit(2 - place if place > 1 else place)
