"""The command line: parse, call one plain function of the same name, catch the project's error once.

Nothing heavier than click is imported before a verb runs. Talk goes to stderr, results to stdout.
"""

from __future__ import annotations

import signal
import sys

import click

from schedsearch.cli import beginning, machine, results, training  # noqa: F401 - they add their verbs
from schedsearch.cli.group import cli
from schedsearch.errors import SchedsearchError, StudyInterrupted
from schedsearch.privacy import printable

__all__ = ["cli", "main"]

INTERRUPTED = 130


def main() -> None:
    """Entry point: the project's errors become one clear text on stderr and an exit code."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        cli.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.exceptions.Abort, KeyboardInterrupt):
        sys.exit(INTERRUPTED)
    except StudyInterrupted as error:
        click.echo(printable(str(error)), err=True)
        sys.exit(error.exit_code)
    except SchedsearchError as error:
        click.echo(printable(f"Error: {error}"), err=True)
        sys.exit(error.exit_code)


def _interrupt(signum: int, frame: object) -> None:
    """SIGTERM stops a launch as Ctrl-C does."""
    raise KeyboardInterrupt
