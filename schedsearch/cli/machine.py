"""The verbs about what there is: studies, spaces, tasks, the store's schema, what this machine has."""

from __future__ import annotations

import sys

import click

from schedsearch.cli.group import cli, emit_json, json_option, mlflow_option, storage_option


@cli.command()
@storage_option
@json_option
def studies(storage: str, as_json: bool) -> None:
    """List the studies of a store."""
    from schedsearch.commands import inspect
    from schedsearch.commands.live import print_table

    rows = inspect.studies(storage)
    if as_json:
        emit_json(rows)
    else:
        print_table(rows, empty="No studies yet.")


@cli.command()
@click.argument("name_or_path", required=False)
@json_option
def spaces(name_or_path: str | None, as_json: bool) -> None:
    """List and explain the search spaces, or check a space file of your own."""
    from schedsearch.commands import inspect
    from schedsearch.commands.live import print_spaces

    found = inspect.spaces(name_or_path)
    if as_json:
        emit_json([space.to_dict() for space in found])
    else:
        print_spaces(found)


@cli.command()
@json_option
def tasks(as_json: bool) -> None:
    """List the built-in tasks."""
    from dataclasses import asdict

    from schedsearch.commands import inspect
    from schedsearch.commands.live import print_table

    rows = [asdict(task) for task in inspect.tasks()]
    if as_json:
        emit_json(rows)
    else:
        print_table(rows, empty="No tasks.")


@cli.group()
def db() -> None:
    """The store's schema."""


@db.command()
@storage_option
def upgrade(storage: str) -> None:
    """Bring the store to this version's schema."""
    from schedsearch.commands import inspect

    click.echo(inspect.db_upgrade(storage))


@db.command()
@storage_option
def check(storage: str) -> None:
    """Say whether the store's schema fits this version."""
    from schedsearch.commands import inspect

    emit_json(inspect.db_check(storage))


@cli.command()
@storage_option
@mlflow_option
@click.option("--checkpoints", metavar="FOLDER|URL", help="As for `launch`: whether it can be written from here.")
@json_option
def doctor(storage: str, mlflow: str, checkpoints: str | None, as_json: bool) -> None:
    """Look at everything a study needs on this machine."""
    from dataclasses import asdict

    from schedsearch.commands import inspect
    from schedsearch.commands.live import print_table

    findings = [asdict(finding) for finding in inspect.doctor(storage, mlflow, checkpoints)]
    if as_json:
        emit_json(findings)
    else:
        print_table(findings, empty="")
    if not all(finding["healthy"] for finding in findings):
        sys.exit(1)
