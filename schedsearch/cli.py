"""The command line: parse, call one plain function of the same name, catch the project's error once.

Nothing heavier than click is imported before a verb runs. Talk goes to stderr, results to stdout.
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from schedsearch import __version__
from schedsearch.errors import InvalidInput, SchedsearchError, StudyInterrupted

INTERRUPTED = 130
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
    """What guards runs: when one is taken to hang, and where and how often its state is kept."""
    given = [
        click.option(
            "--stall-timeout",
            type=float,
            default=900.0,
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
            default=60.0,
            show_default=True,
            metavar="SECONDS",
            help="Seconds of training between two checkpoints of a run.",
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


@cli.command()
@click.argument("study_file", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--task", help="A built-in task (`schedsearch tasks`), `pkg.module:Name` or `path/file.py:Name`.")
@click.option(
    "--space",
    default="framework",
    show_default=True,
    help="A search space (`schedsearch spaces`) or a YAML file.",
)
@click.option("--study", help="Name of the study. Default: task, space and time.")
@click.option("--trials", type=int, help="Budget: candidates to search (default 48). Confirmation comes on top.")
@click.option("--updates", type=int, help="Budget: optimizer updates of all runs together.")
@click.option("--hours", type=float, help="Budget: device-hours of all runs together.")
@click.option(
    "--strategy",
    type=click.Choice(["curve", "joint"]),
    default="curve",
    show_default=True,
    help="One model over learning-rate curves, or Optuna's TPE for comparison.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Study seed; every other seed follows from it.")
@click.option("--workers", type=int, help="Worker processes. Default: one a core, or one a GPU.")
@click.option("--devices", help="Devices, comma-separated (`cpu`, `cuda:0,cuda:1`). Default: what this machine has.")
@storage_option
@mlflow_option
@click.option(
    "--output-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("schedsearch-results"),
    show_default=True,
    help="Reports and exports go to a folder of the study's name in here.",
)
@click.option(
    "--incumbent",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Your current schedule (JSON), to be beaten.",
)
@click.option(
    "--task-option",
    "task_options",
    multiple=True,
    metavar="NAME=VALUE",
    help="Option of the task, e.g. optimizer=adamw; may be repeated.",
)
@click.option("--total-updates", type=int, help="Horizon: optimizer updates of one run. Default: the task's.")
@click.option(
    "--base-lr",
    nargs=2,
    type=float,
    help="Range of the base learning rate: LOW HIGH. Default: the space's or the task's.",
)
@click.option(
    "--noise-seeds",
    type=int,
    default=3,
    show_default=True,
    help="Seeds of one baseline that measure the noise.",
)
@click.option(
    "--confirm-seeds",
    type=int,
    default=6,
    show_default=True,
    help="Fresh seeds of each finalist in the confirmation.",
)
@click.option(
    "--warm-start", metavar="STUDY", help="Learn from an earlier study of this store, e.g. at a shorter horizon."
)
@safety_options
@click.option("--resume", metavar="STUDY", help="Go on with a stopped study.")
@click.option("--detach", is_flag=True, help="Only try the task and write the study; `schedsearch worker` trains it.")
@json_option
@click.pass_context
def launch(context: click.Context, /, study_file: Path | None, as_json: bool, detach: bool, **given: Any) -> None:
    """Search for a schedule and verify it: noise, search, race, confirmation, verdict."""
    from schedsearch.commands.launch import detach as write
    from schedsearch.commands.launch import launch as run
    from schedsearch.commands.live import LiveView

    options = _launch_options(context, study_file, given)
    if detach:
        name = write(options)
        click.echo(json.dumps({"study": name}) if as_json else f"{name}\nTrain it with: schedsearch worker {name}")
        return
    with LiveView(quiet=as_json) as view:
        done = run(options, view.show)
    from schedsearch.commands.results import final_words, result_values

    if as_json:
        emit_json(result_values(options.storage, done))
    else:
        click.echo(final_words(options.storage, done, options.mlflow))


OF_THIS_MACHINE = (
    "resume", "storage", "mlflow", "output_dir", "workers", "devices", "as_json",
    "stall_timeout", "checkpoints", "checkpoint_every",
)  # fmt: skip


def _launch_options(context: click.Context, study_file: Path | None, given: dict[str, Any]) -> Any:
    """What was typed goes before the environment, that before the study file, that before the defaults."""
    from schedsearch.commands.options import LaunchOptions, parse_task_options, read_study_file

    from_file = {} if study_file is None else read_study_file(study_file)
    by_default = {key for key in given if context.get_parameter_source(key) is ParameterSource.DEFAULT}
    if given["resume"] is not None:
        _refuse_with_resume(set(given) - by_default | set(from_file))
    values = {**given, "task_options": parse_task_options(given["task_options"])}
    return LaunchOptions.from_values({**values, **{key: from_file[key] for key in by_default & set(from_file)}})


def _refuse_with_resume(stated: set[str]) -> None:
    """A study that goes on keeps what it was launched with."""
    fixed = sorted(stated - set(OF_THIS_MACHINE))
    if fixed:
        named = ", ".join(f"`{one}`" for one in fixed)
        raise InvalidInput(f"`resume` goes on with a study as it was launched, so that {named} cannot be given too.")


@cli.command()
@click.argument("study")
@storage_option
def stop(study: str, storage: str) -> None:
    """Stop a study, whoever trains it; what is trained and begun is kept."""
    from schedsearch.commands.control import stop as run

    click.echo(run(storage, study))


@cli.command()
@click.argument("study")
@storage_option
def resume(study: str, storage: str) -> None:
    """Let workers serve a stopped study again (`launch --resume` also starts workers here)."""
    from schedsearch.commands.control import resume as run

    click.echo(run(storage, study))


@cli.command()
@click.argument("study")
@storage_option
@click.option("--watch", is_flag=True, help="Keep showing it until the study ends.")
@json_option
def status(study: str, storage: str, watch: bool, as_json: bool) -> None:
    """Where a study stands: phase, runs, best so far, workers, time left."""
    from schedsearch.commands.status import status as run

    for progress in run(storage, study, watch=watch):
        if as_json:
            emit_json(progress.to_dict())
        else:
            from schedsearch.commands.live import print_progress

            print_progress(progress)


@cli.command()
@click.argument("study")
@storage_option
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Default: schedsearch-results/STUDY/report.html",
)
def report(study: str, storage: str, output: Path | None) -> None:
    """Write the study's report: one self-contained HTML file."""
    from schedsearch.commands.results import report as run

    click.echo(run(storage, study, output))


@cli.command()
@click.argument("study")
@storage_option
@json_option
def answers(study: str, storage: str, as_json: bool) -> None:
    """The study's answers to the three questions, with sizes and intervals, and what mattered in its search."""
    from schedsearch.commands.answers import answers as run
    from schedsearch.report.answers import answers_text

    found = run(storage, study)
    if as_json:
        emit_json(found.to_dict())
    else:
        click.echo(answers_text(found))


@cli.command()
@click.argument("studies", nargs=-1, required=True)
@storage_option
@json_option
def compare(studies: tuple[str, ...], storage: str, as_json: bool) -> None:
    """Finished studies of one task side by side: what they held fixed, what they recommend, answers and baselines."""
    from schedsearch.commands.compare import compare as run
    from schedsearch.report.compare import comparison_text

    found = run(storage, studies)
    if as_json:
        emit_json(found.to_dict())
    else:
        click.echo(comparison_text(found))


@cli.command()
@click.argument("study")
@click.option(
    "--to",
    "kind",
    type=click.Choice(["json", "torch", "python", "csv"]),
    required=True,
    help="A JSON schedule; a self-contained PyTorch scheduler; lr(t) in plain Python; a table of update and LR.",
)
@click.option("--candidate", type=int, help="Another candidate than the recommended one.")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Default: stdout.")
@storage_option
def export(study: str, kind: str, candidate: int | None, output: Path | None, storage: str) -> None:
    """Print or write the recommended schedule."""
    from schedsearch.commands.results import export as run

    text = run(storage, study, kind, candidate)
    if output is None:
        click.echo(text, nl=False)
    else:
        output.write_text(text)
        click.echo(output)


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

    from schedsearch.commands.options import parse_task_options
    from schedsearch.commands.probe import ProbeOptions
    from schedsearch.commands.probe import probe as run

    options = ProbeOptions(task_options=parse_task_options(task_options), **given)
    found = run(options, lambda line: None if as_json else click.echo(line, err=True))
    if as_json:
        emit_json(asdict(found))
    else:
        click.echo(found.sentence)


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


@cli.command()
@click.argument("study", required=False)
@storage_option
@click.option("--device", default="cpu", show_default=True)
@click.option("--threads", type=click.IntRange(min=1), help="Torch threads of this worker.")
@safety_options
def worker(
    study: str | None,
    storage: str,
    device: str,
    threads: int | None,
    stall_timeout: float,
    checkpoints: str | None,
    checkpoint_every: float,
) -> None:
    """Train runs of one study (or of every running study) from this machine until stopped.

    SIGTERM and Ctrl-C write a checkpoint of the run in hand and give it back; a second one does not wait for that.
    """
    from schedsearch.workers.loop import WorkerOptions
    from schedsearch.workers.safety import Safety, checkpoint_place
    from schedsearch.workers.serve import serve

    safety = Safety(stall_timeout, checkpoint_place(checkpoints, storage), checkpoint_every)
    serve(storage, WorkerOptions(study, device, threads, safety=safety))


@cli.command()
@click.argument("study")
@storage_option
@mlflow_option
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder with the study's report and exports, to be uploaded.",
)
@click.option("--follow", is_flag=True, help="Go on until the study ends.")
@click.option("--until-told", is_flag=True, hidden=True, help="Go on until stdin is closed.")
@click.option("--answer", type=click.Path(dir_okay=False, path_type=Path), hidden=True)
def sync(
    study: str, storage: str, mlflow: str, folder: Path | None, follow: bool, until_told: bool, answer: Path | None
) -> None:
    """Mirror a study to MLflow: everything the store has and MLflow has not."""
    from schedsearch.commands.mirroring import sync_command

    result = sync_command(storage, study, mlflow, folder, follow=follow, until_told=until_told)
    if answer is not None:
        answer.write_text(json.dumps(result))
    emit_json(result)


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
@json_option
def doctor(storage: str, mlflow: str, as_json: bool) -> None:
    """Look at everything a study needs on this machine."""
    from dataclasses import asdict

    from schedsearch.commands import inspect
    from schedsearch.commands.live import print_table

    findings = [asdict(finding) for finding in inspect.doctor(storage, mlflow)]
    if as_json:
        emit_json(findings)
    else:
        print_table(findings, empty="")
    if not all(finding["healthy"] for finding in findings):
        sys.exit(1)


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
        click.echo(str(error), err=True)
        sys.exit(error.exit_code)
    except SchedsearchError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(error.exit_code)


def _interrupt(signum: int, frame: object) -> None:
    """SIGTERM stops a launch as Ctrl-C does."""
    raise KeyboardInterrupt
