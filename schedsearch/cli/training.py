"""The verbs that train: launch, stop, resume, worker."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import click
from click.core import ParameterSource

from schedsearch.cli.beginning import script_reference
from schedsearch.cli.group import cli, emit_json, json_option, mlflow_option, safety_options, storage_option
from schedsearch.errors import InvalidInput


@cli.command()
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[STUDY.yaml] [-- COMMAND ...]")
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
@click.option("--devices", help="Devices, comma-separated (`cpu`, `cuda:0,cuda:1`, `0,1`). Default: all that are here.")
@click.option("--per-device", type=int, help="Workers a device, which share its memory (a CPU: its threads) evenly.")
@click.option(
    "--launcher",
    type=click.Choice(["local", "ray", "slurm"]),
    default="local",
    show_default=True,
    help="Where workers run: processes here, Ray tasks, or an array of Slurm jobs (extras `ray`, `slurm`).",
)
@click.option(
    "--launcher-option",
    "launcher_options",
    multiple=True,
    metavar="NAME=VALUE",
    help="Option of Ray (address, num_cpus) or of submitit (slurm_partition, timeout_min, ...).",
)
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
@click.option("--metric", help="What a script reports that decides its score (default: val_loss).")
@click.option("--direction", type=click.Choice(["minimize", "maximize"]), help="Of a script's metric.")
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
    "--resolution",
    type=float,
    help="Instead: the smallest difference to tell apart, in the score's units; the measured noise decides the seeds.",
)
@click.option(
    "--screen",
    type=int,
    metavar="R",
    help="Train candidates at 1/R of the horizon first, if 16 trained at both show that it keeps the best.",
)
@click.option(
    "--arrays/--no-arrays",
    default=True,
    show_default=True,
    help="Train runs together as one batched model where that is quicker; equal to single runs but for rounding.",
)
@click.option(
    "--warm-start",
    metavar="STUDY",
    help="Learn from an earlier study of this store and begin with its best, as far as the space has them.",
)
@click.option(
    "--fresh",
    is_flag=True,
    help="Train everything anew, also what a study of this store has trained already (same task, schedule and seed).",
)
@safety_options
@click.option("--resume", metavar="STUDY", help="Go on with a stopped study.")
@click.option("--detach", is_flag=True, help="Only try the task and write the study; `schedsearch worker` trains it.")
@json_option
@click.pass_context
def launch(context: click.Context, /, arguments: tuple[str, ...], as_json: bool, detach: bool, **given: Any) -> None:
    """Search for a schedule and verify it: noise, search, race, confirmation, verdict.

    STUDY.yaml holds options of this command by name. Behind `--` stands the command of a training script that calls
    `schedsearch.attach()`.
    """
    from schedsearch.commands.launch import detach as write
    from schedsearch.commands.launch import launch as run
    from schedsearch.commands.live import LiveView

    study_file, command = _study_file(arguments)
    if command:
        given["task"] = script_reference(command, given["task"])
    options = _launch_options(context, study_file, given)
    if detach:
        name = write(options)
        click.echo(json.dumps({"study": name}) if as_json else name)
        click.echo(f"Train it with: schedsearch worker {name}, and the same storage.", err=True)
        return
    with LiveView(quiet=as_json) as view:
        done = run(options, view.show)
    from schedsearch.commands.results import final_words, result_values

    if as_json:
        emit_json(result_values(options.storage, done))
    else:
        click.echo(final_words(options.storage, done, options.mlflow))


def _study_file(arguments: tuple[str, ...]) -> tuple[Path | None, tuple[str, ...]]:
    """What stands before the options' end: a study file, the command of a script, or both."""
    if not arguments or not arguments[0].endswith((".yaml", ".yml")):
        return None, arguments
    path = Path(arguments[0])
    if not path.is_file():
        raise InvalidInput(f"There is no study file {arguments[0]!r}.")
    return path, arguments[1:]


PAIRS = {"task_options": "task-option", "launcher_options": "launcher-option"}
OF_THIS_MACHINE = (
    "resume", "storage", "mlflow", "output_dir", "workers", "devices", "per_device", "as_json",
    "launcher", "launcher_options",
    "stall_timeout", "checkpoints", "checkpoint_every", "lease",
)  # fmt: skip


def _launch_options(context: click.Context, study_file: Path | None, given: dict[str, Any]) -> Any:
    """What was typed goes before the environment, that before the study file, that before the defaults."""
    from schedsearch.commands.options import LaunchOptions, parse_pairs, read_study_file

    from_file = {} if study_file is None else read_study_file(study_file)
    by_default = {key for key in given if context.get_parameter_source(key) is ParameterSource.DEFAULT}
    if given["resume"] is not None:
        _refuse_with_resume(set(given) - by_default | set(from_file))
    pairs = {key: parse_pairs(given[key], flag) for key, flag in PAIRS.items()}
    values = {**given, **pairs}
    if context.get_parameter_source("confirm_seeds") is ParameterSource.DEFAULT:
        values["confirm_seeds"] = None
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
@click.argument("study", required=False)
@storage_option
@click.option(
    "--devices",
    "--device",
    default="cpu",
    show_default=True,
    help="Devices, comma-separated (`cpu`, `cuda:0`, `0,1`); one worker process each.",
)
@click.option("--per-device", type=click.IntRange(min=1), help="Workers a device, which share its memory evenly.")
@click.option("--threads", type=click.IntRange(min=1), help="Torch threads of each worker.")
@click.option(
    "--log", type=click.Choice(["text", "json"]), default="text", show_default=True, help="How events go to stderr."
)
@click.option(
    "--allow-task",
    multiple=True,
    metavar="PREFIX",
    help="Run only tasks whose name begins like this, such as `my_package.`; others are refused unimported.",
)
@safety_options
def worker(
    study: str | None,
    storage: str,
    devices: str,
    per_device: int | None,
    threads: int | None,
    log: Literal["text", "json"],
    allow_task: tuple[str, ...],
    stall_timeout: float,
    checkpoints: str | None,
    checkpoint_every: float,
    lease: float,
) -> None:
    """Train runs of one study (or of every running study) from this machine until stopped.

    SIGTERM and Ctrl-C write a checkpoint of the run in hand and give it back; a second one does not wait for that.
    """
    from schedsearch.commands.fleet import worker as run
    from schedsearch.commands.options import parse_devices
    from schedsearch.workers.safety import Safety, checkpoint_place

    safety = Safety(stall_timeout, checkpoint_place(checkpoints, storage), checkpoint_every, lease)
    run(storage, study, parse_devices(devices), per_device, threads, safety, log, allow_task)
