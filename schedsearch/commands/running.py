"""What `launch` does from the first run on: start the workers, watch them, hand over the results."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from schedsearch.commands.mirroring import MirrorProcess
from schedsearch.commands.options import LaunchOptions
from schedsearch.commands.outputs import Outputs, write_outputs
from schedsearch.commands.progress import Progress, read_progress
from schedsearch.errors import NoSuccessfulRun, SchedsearchError, StudyInterrupted
from schedsearch.store import RunState, Store, Study, StudyState
from schedsearch.workers.launchers import Launcher
from schedsearch.workers.local import Post, posts

POLL_S = 0.2
SHOW_EVERY_S = 2.0


@dataclass(frozen=True)
class Launched:
    """What a finished launch leaves behind."""

    study: str
    outputs: Outputs


def run(
    options: LaunchOptions,
    study: Study,
    devices: tuple[str, ...],
    workers: Launcher,
    watch: Callable[[Progress], None],
) -> Launched:
    """Train and plan a study to its verdict, unless it has one, and write its results."""
    folder = options.output_dir / study.name
    mirror = MirrorProcess(options.storage, study.name, options.mlflow, folder)
    with Store.open(options.storage) as store:
        try:
            if study.state is not StudyState.FINISHED:
                local = posts(devices or ("cpu",), options.workers, os.cpu_count() or 1, options.per_device)
                where = local if options.launcher == "local" else where_elsewhere(options)
                _work(store, study, workers, where, folder / "logs", mirror, watch)
            outputs = write_outputs(store, study.name, folder)
            mirror.finish()
        finally:
            mirror.stop()
    return Launched(study.name, replace(outputs, mlflow_url=mirror.url()))


def where_elsewhere(options: LaunchOptions) -> list[Post]:
    """The posts of workers that an engine places: each on a CPU, or on its share of an accelerator where devices were
    named."""
    each = options.per_device or 1
    on_cpu = all(device == "cpu" for device in options.devices)
    return [Post("cpu" if on_cpu else "cuda", None, 1.0 if on_cpu else 1 / each)] * (options.workers or 1)


def _work(
    store: Store,
    study: Study,
    workers: Launcher,
    where: Sequence[Post],
    log_dir: Path,
    mirror: MirrorProcess,
    watch: Callable[[Progress], None],
) -> None:
    try:
        workers.start(study.name, where, log_dir)
        mirror.start()
        _watch(store, study.name, workers, watch)
    except KeyboardInterrupt:
        store.set_study_state(study.id, StudyState.STOPPED, "interrupted")
        raise StudyInterrupted(
            f"The study {study.name!r} was stopped; go on with `schedsearch launch --resume {study.name}`."
        ) from None
    finally:
        workers.stop()


def _watch(store: Store, name: str, workers: Launcher, watch: Callable[[Progress], None]) -> None:
    shown = -SHOW_EVERY_S
    while True:
        ended = store.study(name).state is not StudyState.RUNNING
        if ended or time.monotonic() - shown > SHOW_EVERY_S:  # a look at all runs costs as much as some updates
            watch(read_progress(store, name))
            shown = time.monotonic()
        if ended:
            break
        workers.revive()
        if workers.alive() == 0:
            _no_worker_left(store, name, workers)
            break
        time.sleep(POLL_S)
    _raise_if_failed(store, name)


def _no_worker_left(store: Store, name: str, workers: Launcher) -> None:
    study = store.study(name)
    if study.state is StudyState.RUNNING:
        store.set_study_state(study.id, StudyState.STOPPED, "no worker left")
        raise SchedsearchError(f"Every worker ended before the study did. Last lines of a log:\n{workers.last_words()}")


def _raise_if_failed(store: Store, name: str) -> None:
    study = store.study(name)
    if study.state is not StudyState.FAILED:
        return
    completed = any(run.state is RunState.COMPLETED for run in store.runs(study.id))
    if not completed:
        raise NoSuccessfulRun(f"The study {name!r} ended without a successful run. {study.reason}")
    raise SchedsearchError(f"The study {name!r} was given up. {study.reason}")
