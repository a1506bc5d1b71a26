"""The command itself and what its verbs share: options, and JSON on stdout."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import click

from schedsearch import __version__
from schedsearch.workers.safety import CHECKPOINT_EVERY_S, LEASE_S, STALL_TIMEOUT_S

CONTEXT = {
    "help_option_names": ["-h", "--help"],
    "auto_envvar_prefix": "SCHEDSEARCH",
    "max_content_width": 110,
}


def storage_option(function: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--storage",
        envvar=["SCHEDSEARCH_STORAGE", "SCHEDSEARCH_DB_URL"],
        default="sqlite:///schedsearch.db",
        show_default=True,
        help="Database of studies and results: SQLite, PostgreSQL (postgresql+psycopg://) or MySQL/MariaDB (mysql+pymysql://).",
    )(function)


def mlflow_option(function: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--mlflow",
        envvar=["SCHEDSEARCH_MLFLOW"],
        default="sqlite:///mlflow.db",
        show_default=True,
        help="MLflow tracking URI that the study is mirrored to, or `none`.",
    )(function)


def json_option(function: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--json", "as_json", is_flag=True, help="Print machine-readable results on stdout, nothing else."
    )(function)


def safety_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """What guards runs: when one, or its worker, is taken to hang, and where and how often its state is kept."""
    given = [
        click.option(
            "--stall-timeout",
            type=float,
            default=STALL_TIMEOUT_S,
            show_default=True,
            metavar="SECONDS",
            help="A run that makes no update and prints nothing for so long is ended and tried again.",
        ),
        click.option(
            "--checkpoints",
            metavar="FOLDER|URL",
            help="Where states of unfinished runs are kept: a folder or fsspec URL that all workers see, or `none`. "
            "Default: schedsearch-checkpoints beside an SQLite store, else here.",
        ),
        click.option(
            "--checkpoint-every",
            type=float,
            default=CHECKPOINT_EVERY_S,
            show_default=True,
            metavar="SECONDS",
            help="Seconds of training between two checkpoints of a run.",
        ),
        click.option(
            "--lease",
            type=float,
            default=LEASE_S,
            show_default=True,
            metavar="SECONDS",
            help="A run whose worker has been silent for so long is given to another.",
        ),
    ]
    for option in reversed(given):
        function = option(function)
    return function


def emit_json(value: Any) -> None:
    """JSON on stdout."""
    click.echo(json.dumps(value, indent=2, default=str))


@click.group(context_settings=CONTEXT)
@click.version_option(__version__, prog_name="schedsearch")
def cli() -> None:
    """Find and verify the learning-rate schedule for your own training task.

    Every option can also be an environment variable (SCHEDSEARCH_<COMMAND>_<OPTION>) and, for launch, a key of a
    study file. Exit codes: 0 done, 1 failure, 2 invalid input, 4 no successful run, 130 interrupted.
    """
