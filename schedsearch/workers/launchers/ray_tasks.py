"""Workers as Ray tasks: Ray places them, also several on one GPU, and starts those of a lost node again elsewhere."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

import ray

from schedsearch.workers.launchers import refuse_file, remote
from schedsearch.workers.local import Post
from schedsearch.workers.safety import Safety

RETRIES = 10
GRACE_S = 30.0
LAST_LINES = 8


class RayTasks:
    """options: `address` of a cluster (left out: Ray is started on this machine); `num_cpus` and `num_gpus` of each
    worker (by default 1 CPU, and the post's share of a GPU where it is on one), and whatever `ray.remote` takes."""

    def __init__(self, storage: str, safety: Safety, options: Mapping[str, Any]) -> None:
        self._address = options.get("address")
        if self._address is not None:
            refuse_file(storage, "Ray's tasks run on other machines")
        self._storage = storage
        self._safety = remote.packed(safety)
        self._options = {name: value for name, value in options.items() if name != "address"}
        self._tasks: list[Any] = []

    def start(self, study: str, where: Sequence[Post], log_dir: Path) -> None:
        """Submit one task a post."""
        if not ray.is_initialized():
            ray.init(address=self._address, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
        for post in where:
            wanted = {"num_cpus": 1, "num_gpus": _share(post), **self._options}
            serve = ray.remote(max_retries=RETRIES, retry_exceptions=False, **wanted)(remote.serve_here)
            self._tasks.append(serve.remote(self._storage, study, self._safety, post.memory_share))

    def alive(self) -> int:
        """Tasks that run or wait for a place."""
        if not self._tasks:
            return 0
        _, running = ray.wait(self._tasks, num_returns=len(self._tasks), timeout=0)
        return len(running)

    def revive(self) -> None:
        """Ray does that by itself."""

    def last_words(self) -> str:
        """What a task that failed raised."""
        done, _ = ray.wait(self._tasks, num_returns=len(self._tasks), timeout=0) if self._tasks else ([], [])
        for task in done:
            try:
                ray.get(task)
            except Exception as error:
                return "\n".join(str(error).strip().splitlines()[-LAST_LINES:])
        return ""

    def stop(self) -> None:
        """Interrupt what still runs, which writes a checkpoint and gives its run back, and leave Ray."""
        if not ray.is_initialized():
            return
        for task in self._tasks:
            ray.cancel(task, force=False)
        if self._tasks:
            ray.wait(self._tasks, num_returns=len(self._tasks), timeout=GRACE_S)
        ray.shutdown()


def _share(post: Post) -> float:
    return 0.0 if post.device == "cpu" else post.memory_share
