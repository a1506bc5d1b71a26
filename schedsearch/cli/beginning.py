"""The verbs before a study: init, check, probe."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from schedsearch.cli.group import cli, emit_json, json_option, storage_option
from schedsearch.errors import InvalidInput

if TYPE_CHECKING:
    from schedsearch.task.script import Script

ASKS = bool(sys.stdin and sys.stdin.isatty())  # a person at a terminal is asked for what the flags left open


def script_reference(command: tuple[str, ...], task: str | None) -> str:
    """The task that the command of a script stands for."""
    from schedsearch.task.script import script_of

    if task is not None:
        raise InvalidInput("`task` cannot be given beside the command of a script, which is the task then.")
    return script_of(command, Path.cwd()).reference


def script_to_check(arguments: tuple[str, ...]) -> Script | None:
    """The command of a script, or a training function; None for a task."""
    from schedsearch.task.script import function_script, script_of

    return function_script(arguments[0], Path.cwd()) if len(arguments) == 1 else script_of(arguments, Path.cwd())


@cli.command()
@click.argument("folder", default=".", type=click.Path(file_okay=False, path_type=Path))
@click.option("--name", default="MyTask", show_default=True, prompt=ASKS, help="Of the task's class.")
@click.option(
    "--kind",
    type=click.Choice(["classification", "regression"]),
    default="classification",
    show_default=True,
    prompt=ASKS,
    help="What it learns.",
)
@click.option(
    "--optimizer",
    type=click.Choice(["sgd", "adam", "adamw"]),
    default="adamw",
    show_default=True,
    prompt=ASKS,
    help="Its optimizer.",
)
@click.option(
    "--updates",
    type=click.IntRange(min=2),
    default=300,
    show_default=True,
    prompt=ASKS,
    help="Its horizon: optimizer updates of one run.",
)
def init(folder: Path, name: str, kind: str, optimizer: str, updates: int) -> None:
    """Write a task that trains as it is, and a study file, into FOLDER: a start for a task of your own."""
    from schedsearch.commands.init import init as run

    begun = run(folder, name=name, kind=kind, optimizer=optimizer, updates=updates)
    click.echo(f"{begun.task}: put your model, data and loss in\n{begun.study}: the study\n")
    click.echo(f"Then: schedsearch check {begun.task}:{name} and schedsearch launch {begun.study}")


@cli.command()
@click.argument("arguments", nargs=-1, required=True, type=click.UNPROCESSED, metavar="TASK | -- COMMAND ...")
@click.option("--task-option", "task_options", multiple=True, metavar="NAME=VALUE", help="Option of the task.")
@click.option("--metric", help="What a script reports that decides its score (default: val_loss).")
@click.option("--direction", type=click.Choice(["minimize", "maximize"]), help="Of a script's metric.")
@click.option("--total-updates", type=click.IntRange(min=2), help="Horizon of a script whose command has {lrs}.")
@click.option("--space", default="framework", show_default=True, help="The search space of the study to come.")
@click.option("--trials", type=click.IntRange(min=4), default=48, show_default=True, help="Its candidates.")
@click.option("--workers", type=click.IntRange(min=1), help="Its workers. Default: one a core, or one a GPU.")
@json_option
def check(
    arguments: tuple[str, ...],
    task_options: tuple[str, ...],
    metric: str | None,
    direction: str | None,
    total_updates: int | None,
    space: str,
    trials: int,
    workers: int | None,
    as_json: bool,
) -> None:
    """Try a task, or the command of a training script: what it is, what a study of it costs, whether it repeats itself.

    TASK: a built-in task, `pkg.module:Name` or `path/file.py:Name`, where Name is a task class or a training function.
    """
    from dataclasses import asdict

    from schedsearch.commands.check import check as run
    from schedsearch.commands.options import parse_pairs

    options = parse_pairs(task_options, "task-option")
    given_for_script = {"metric": metric, "direction": direction, "total_updates": total_updates}
    said = {name: str(one) for name, one in given_for_script.items() if one is not None}
    script = script_to_check(arguments)
    if said if script is None else options:
        raise InvalidInput(
            "`metric`, `direction` and `total-updates` are for a script's command, `task-option` is for a task."
        )
    if script is not None and script.is_told_by_file != (total_updates is not None):
        raise InvalidInput("`total-updates` must be given for a command with {lrs} in it, and for no other.")
    reference, given = (arguments[0], options) if script is None else (script.reference, said)
    found = run(reference, given, space=space, trials=trials, workers=workers)
    if as_json:
        emit_json(asdict(found))
    else:
        click.echo(found.text)


@cli.command()
@click.option("--task", required=True, help="A built-in task, `pkg.module:Name` or `path/file.py:Name`.")
@click.option("--task-option", "task_options", multiple=True, metavar="NAME=VALUE", help="Option of the task.")
@click.option("--total-updates", type=int, help="Horizon of the study to come. Default: the task's.")
@click.option("--device", help="`cpu`, `cuda:0`, ... Default: what this machine has.")
@click.option("--seed", type=int, default=0, show_default=True)
@storage_option
@json_option
def probe(task_options: tuple[str, ...], as_json: bool, **given: Any) -> None:
    """Look for the range of base LRs and whether the start needs protection, before a study.

    A range test and a few short runs with and without a warm-up. What they suggest is stored, and `launch` uses the
    range for the same task with the same options when it is given none.
    """
    from dataclasses import asdict

    from schedsearch.commands.options import parse_pairs
    from schedsearch.commands.probe import ProbeOptions
    from schedsearch.commands.probe import probe as run

    options = ProbeOptions(task_options=parse_pairs(task_options, "task-option"), **given)
    found = run(options, lambda line: None if as_json else click.echo(line, err=True))
    if as_json:
        emit_json(asdict(found))
    else:
        click.echo(found.sentence)
