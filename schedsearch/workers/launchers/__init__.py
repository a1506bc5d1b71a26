"""Engines that run our workers elsewhere than on this machine. The store stays the truth: an engine starts workers and
starts them again, and knows nothing of studies, runs or schedules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

from schedsearch.errors import InvalidInput
from schedsearch.workers.local import Post
from schedsearch.workers.safety import Safety

Engine = Literal["local", "ray", "slurm"]
EXTRAS = {"ray": "ray", "slurm": "submitit"}


class Launcher(Protocol):
    """The workers of one study, wherever they run."""

    def start(self, study: str, where: Sequence[Post], log_dir: Path) -> None:
        """Start one worker a post."""

    def alive(self) -> int:
        """How many workers run, or wait for a place to run."""

    def revive(self) -> None:
        """Start again what died, where the engine does not do that by itself."""

    def last_words(self) -> str:
        """The last lines of a worker that ended with an error; empty when none did."""

    def stop(self) -> None:
        """Ask every worker to stop, and leave none behind."""


def make_launcher(engine: Engine, storage: str, safety: Safety, options: Mapping[str, Any]) -> Launcher:
    """The launcher of this engine. options: the engine's own. Raises InvalidInput where its package is not installed,
    or the database cannot be reached from other machines."""
    try:
        if engine == "ray":
            from schedsearch.workers.launchers.ray_tasks import RayTasks

            return RayTasks(storage, safety, options)
        from schedsearch.workers.launchers.slurm import SlurmJobs

        return SlurmJobs(storage, safety, options)
    except ImportError as error:
        raise InvalidInput(
            f"`launcher` = {engine} needs the package {EXTRAS[engine]}: pip install 'schedsearch[{engine}]' ({error})."
        ) from error


def refuse_file(storage: str, elsewhere: str) -> None:
    """Raises InvalidInput for a database that is a file of this machine."""
    if storage.startswith("sqlite"):
        raise InvalidInput(
            f"`storage` must be a database that other machines reach, because {elsewhere}, but it is an SQLite file."
        )
