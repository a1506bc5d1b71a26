"""`launch`: a study from here to its verdict.

The workers are started before anything else is imported: they import torch, which takes longest, meanwhile.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from schedsearch.errors import InvalidInput
from schedsearch.workers.local import LocalWorkers, expected_posts

if TYPE_CHECKING:
    from schedsearch.commands.options import LaunchOptions
    from schedsearch.commands.progress import Progress
    from schedsearch.commands.running import Launched


def launch(options: LaunchOptions, watch: Callable[[Progress], None]) -> Launched:
    """Run a study from here to its verdict; `watch` is called every other second with where it stands.

    Raises InvalidInput (nothing was written), NoSuccessfulRun, StudyInterrupted (Ctrl-C or SIGTERM: what is trained is
    kept), or another SchedsearchError.
    """
    with LocalWorkers(options.storage, options.safety) as workers:
        if options.resume is None:
            where = expected_posts(options.devices, options.workers, os.cpu_count() or 1, options.per_device)
            workers.rehearse(str(options.task), options.all_task_options, where)
        from schedsearch.commands.preparation import prepare, reopen
        from schedsearch.commands.running import run

        study, devices = prepare(options, workers) if options.resume is None else reopen(options, workers)
        return run(options, study, devices, workers, watch)


def detach(options: LaunchOptions) -> str:
    """Try the task on this machine and write the study for workers anywhere to train; returns its name.

    Raises as `launch` does, and InvalidInput with `resume`.
    """
    if options.resume is not None:
        raise InvalidInput("`detach` writes a new study; for one that is stopped there is `schedsearch resume`.")
    with LocalWorkers(options.storage, options.safety) as workers:
        workers.rehearse(str(options.task), options.all_task_options, expected_posts(options.devices, 1, 1))
        from schedsearch.commands.preparation import prepare

        return prepare(options, workers)[0].name
