"""`launch`: a study from here to its verdict.

The workers are started before anything else is imported: they import torch, which takes longest, meanwhile.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from schedsearch.errors import InvalidInput
from schedsearch.workers.local import LocalWorkers, Post, expected_posts

if TYPE_CHECKING:
    from schedsearch.commands.options import LaunchOptions
    from schedsearch.commands.progress import Progress
    from schedsearch.commands.running import Launched
    from schedsearch.workers.launchers import Launcher


MANY_TRIALS = 64


def launch(options: LaunchOptions, watch: Callable[[Progress], None]) -> Launched:
    """Run a study from here to its verdict; `watch` is called every other second with where it stands.

    Raises InvalidInput (nothing was written), NoSuccessfulRun, StudyInterrupted (Ctrl-C or SIGTERM: what is trained is
    kept), or another SchedsearchError.
    """
    launcher = _launcher(options)
    with LocalWorkers(options.storage, options.safety) as workers:
        if options.resume is None:
            workers.rehearse(
                str(options.task), options.all_task_options, _rehearsing(options), sizes=_asks_ahead(options)
            )
        from schedsearch.commands.preparation import prepare, reopen
        from schedsearch.commands.running import run

        study, devices = prepare(options, workers) if options.resume is None else reopen(options, workers)
        if launcher is not None:
            workers.stop()
        return run(options, study, devices, launcher or workers, watch)


def _rehearsing(options: LaunchOptions) -> list[Post]:
    """Those who try the task here: the later workers, or one for workers elsewhere."""
    if options.launcher != "local":
        return expected_posts(("cpu",), 1, 1)
    return expected_posts(options.devices, options.workers, os.cpu_count() or 1, options.per_device)


def _asks_ahead(options: LaunchOptions) -> bool:
    """Whether there are so many candidates that it matters how many runs are trained together."""
    return options.arrays and (options.trials or 0) >= MANY_TRIALS


def _launcher(options: LaunchOptions) -> Launcher | None:
    if options.launcher == "local":
        return None
    from schedsearch.workers.launchers import make_launcher

    return make_launcher(options.launcher, options.storage, options.safety, options.launcher_options)


def detach(options: LaunchOptions) -> str:
    """Try the task on this machine and write the study for workers anywhere to train; returns its name.

    With Slurm the jobs are submitted, too. Raises as `launch` does, and InvalidInput with `resume` or Ray.
    """
    if options.resume is not None:
        raise InvalidInput("`detach` writes a new study; for one that is stopped there is `schedsearch resume`.")
    if options.launcher == "ray":
        raise InvalidInput("`detach` cannot go with `launcher` = ray: its tasks end with the process that began them.")
    launcher = _launcher(options)
    with LocalWorkers(options.storage, options.safety) as workers:
        where = expected_posts(options.devices, 1, 1)
        workers.rehearse(str(options.task), options.all_task_options, where, sizes=_asks_ahead(options))
        from schedsearch.commands.preparation import prepare

        name = prepare(options, workers)[0].name
    if launcher is not None:
        from schedsearch.commands.running import where_elsewhere

        launcher.start(name, where_elsewhere(options), options.output_dir / name / "logs")
    return name
