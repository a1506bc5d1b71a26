"""Workers as an array of Slurm jobs, through submitit; its local executor serves for a try on one machine."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import submitit

from schedsearch.errors import InvalidInput
from schedsearch.privacy import make_folder
from schedsearch.workers.launchers import refuse_file, remote
from schedsearch.workers.local import Post
from schedsearch.workers.safety import Safety

STORAGE = "SCHEDSEARCH_STORAGE"
ON_THIS_MACHINE = ("local", "debug")
LAST_LINES = 8


class SlurmJobs:
    """options: `cluster` (slurm, or local for processes of this machine); every other one is submitit's own, such as
    slurm_partition, timeout_min, cpus_per_task, gpus_per_node. The storage URL and that of checkpoints travel by
    environment, so that no password lies in a job's files. Slurm's SIGTERM (scancel, preemption, the time limit) makes
    a worker write a checkpoint and give its run back."""

    def __init__(self, storage: str, safety: Safety, options: Mapping[str, Any]) -> None:
        self._cluster = str(options.get("cluster", "slurm"))
        if self._cluster not in ON_THIS_MACHINE:
            refuse_file(storage, "Slurm's jobs run on other machines")
        self._storage = storage
        self._safety = safety
        self._options = {name: value for name, value in options.items() if name != "cluster"}
        self._jobs: list[submitit.Job[None]] = []

    def start(self, study: str, where: Sequence[Post], log_dir: Path) -> None:
        """Submit one job a post as one array. Raises InvalidInput for an option that submitit does not know."""
        os.environ[STORAGE] = self._storage
        os.environ |= self._safety.in_environment()
        make_folder(log_dir)
        executor = submitit.AutoExecutor(folder=log_dir, cluster=self._cluster)
        try:
            executor.update_parameters(name=f"schedsearch-{study}", **self._options)
        except (NameError, ValueError, TypeError, AssertionError) as error:
            raise InvalidInput(f"`launcher_options`: {error}") from error
        with executor.batch():
            self._jobs = [executor.submit(_serve, study, post.memory_share) for post in where]

    def alive(self) -> int:
        """Jobs that run or wait in Slurm's queue."""
        return sum(not job.done() for job in self._jobs)

    def revive(self) -> None:
        """Slurm requeues by itself; a job that failed stays failed."""

    def last_words(self) -> str:
        """The end of the log of a job that failed."""
        failed = next((job for job in self._jobs if job.done() and job.exception() is not None), None)
        return "" if failed is None else "\n".join((failed.stderr() or "").strip().splitlines()[-LAST_LINES:])

    def stop(self) -> None:
        """Cancel what still runs."""
        for job in self._jobs:
            if not job.done():
                job.cancel(check=False)


def _serve(study: str, memory_share: float) -> None:
    remote.serve_here(os.environ[STORAGE], study, remote.packed(Safety.of_environment()), memory_share)
