"""The verbs that read one study, or several: status, report, answers, compare, export, sync."""

from __future__ import annotations

import json
from pathlib import Path

import click

from schedsearch.cli.group import cli, emit_json, json_option, mlflow_option, storage_option
from schedsearch.errors import InvalidInput


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
@storage_option
@click.option("--listen", metavar="HOST:PORT", help="Answer Prometheus at http://HOST:PORT/metrics until interrupted.")
def metrics(storage: str, listen: str | None) -> None:
    """Every study's runs, failures, workers and best score, in Prometheus' text format."""
    from schedsearch.commands.metrics import metrics_text, serve_metrics

    if listen is None:
        click.echo(metrics_text(storage), nl=False)
        return
    host, _, port = listen.rpartition(":")
    if not (host and port.isdigit() and int(port) < 65536):
        raise InvalidInput(f"`listen` must be HOST:PORT, such as 127.0.0.1:9464, but is {listen!r} instead.")
    serve_metrics(storage, host, int(port))


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
    type=click.Choice(
        ["json", "csv", "python", "torch", "lightning", "transformers", "timm", "torchtitan", "optax", "keras"]
    ),
    required=True,
    help="A JSON schedule; a table of update and LR; lr(t) in plain Python; a self-contained file for a framework, "
    "in its own classes where they equal the schedule at every update.",
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
        from schedsearch.commands.outputs import write_result

        write_result(output, text)
        click.echo(output)


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
