"""The worker: claim a run, train it, finish it; when nothing waits, take a planning step; until the studies end."""

from __future__ import annotations

import logging
import os
import secrets
import signal
import socket
import threading
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from schedsearch.errors import LeaseLost, RunInterrupted
from schedsearch.store import Claim, MeasurementRow, RunResult, RunState, Store, Study, StudyState
from schedsearch.workers.heartbeat import Heartbeat

if TYPE_CHECKING:
    from schedsearch.task import Task
    from schedsearch.training import Measurement, Outcome
    from schedsearch.workers.planner import Planner

logger = logging.getLogger(__name__)

LEASE_S = 30.0
SHORTEST_WAIT_S = 0.02
WAIT_GROWTH = 1.25
LONGEST_WAIT_S = 1.0


@dataclass(frozen=True)
class WorkerOptions:
    """study: serve this one and end with it; None: serve every running study and never end by itself.

    threads: torch threads of this worker (cores divided by workers); None leaves torch's own choice.
    plans_after_s: how long it has had nothing to train before it plans itself; longer where a planner is at work.
    """

    study: str | None
    device: str = "cpu"
    threads: int | None = None
    lease_s: float = LEASE_S
    plans_after_s: float = 0.0


def new_worker_id() -> str:
    """Host, process and a random part: a restarted process is never taken for the one before."""
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"


def set_on_signals(stopping: threading.Event) -> None:
    """Set this event on SIGTERM and on SIGINT."""

    def stop(signum: int, frame: FrameType | None) -> None:
        stopping.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)


class Worker:
    """One process on one device. `run()` returns when its study has ended or a signal asked it to stop."""

    def __init__(self, store: Store, options: WorkerOptions) -> None:
        self._store = store
        self._options = options
        self._id = new_worker_id()
        self._stopping = threading.Event()
        self._planners: dict[int, Planner] = {}
        self._tasks: dict[int, Task] = {}
        self._busy_at = 0.0

    def adopt(self, study: str, task: Task) -> None:
        """Train this study with a task that is loaded already."""
        self._tasks[self._store.study(study).id] = task

    def stop_on_signals(self) -> None:
        """SIGTERM and SIGINT end the run in hand within one update, give its lease back and end the worker."""
        set_on_signals(self._stopping)

    def run(self) -> None:
        """Serve until the study ends or a signal comes."""
        wait_s = SHORTEST_WAIT_S
        self._busy_at = time.monotonic()
        while not self._stopping.is_set():
            if self._serve_once():
                wait_s = SHORTEST_WAIT_S
                continue
            if self._options.study is not None and not self._running_studies():
                return
            self._stopping.wait(wait_s)
            wait_s = min(WAIT_GROWTH * wait_s, LONGEST_WAIT_S)

    def _running_studies(self) -> list[Study]:
        if self._options.study is not None:
            studies: Sequence[Study] = [self._store.study(self._options.study)]
        else:
            studies = self._store.studies()
        return [study for study in studies if study.state is StudyState.RUNNING]

    def _serve_once(self) -> bool:
        claim = self._claim()
        if claim is not None:
            self._train(claim)
            self._busy_at = time.monotonic()
            return True
        if time.monotonic() - self._busy_at < self._options.plans_after_s:
            return False
        return any(self._plan(study) for study in self._running_studies())

    def _plan(self, study: Study) -> bool:
        try:
            return self._planner(study).step()
        except LeaseLost:
            logger.warning("study %s: the planner's lease was lost; somebody else plans it now", study.name)
            return False

    def _claim(self) -> Claim | None:
        study_id = None if self._options.study is None else self._store.study(self._options.study).id
        return self._store.claim(
            self._id, study_id=study_id, lease_s=self._options.lease_s, device=self._options.device
        )

    def _planner(self, study: Study) -> Planner:
        if study.id not in self._planners:
            from schedsearch.workers.planner import Planner

            self._planners[study.id] = Planner(self._store, study, self._id)
        return self._planners[study.id]

    def _task(self, study_id: int) -> Task:
        if study_id not in self._tasks:
            import torch

            from schedsearch.task import load_task

            if self._options.threads is not None:
                torch.set_num_threads(self._options.threads)
            study = next(one for one in self._store.studies() if one.id == study_id)
            self._tasks[study_id] = load_task(study.task, study.task_options)
        return self._tasks[study_id]

    def _train(self, claim: Claim) -> None:
        try:
            with Heartbeat(self._store, claim, self._options.lease_s) as heartbeat:
                result = self._result(claim, heartbeat)
            self._store.finish(claim, result, heartbeat.take())
        except RunInterrupted:
            self._give_back(claim)
        except LeaseLost:
            logger.warning("run %s: the lease was lost; somebody else trains it now", claim.run_id)

    def _give_back(self, claim: Claim) -> None:
        try:
            self._store.release(claim)
        except LeaseLost:
            logger.warning("run %s: the lease was lost before it could be given back", claim.run_id)

    def _result(self, claim: Claim, heartbeat: Heartbeat) -> RunResult:
        from schedsearch.store import Phase
        from schedsearch.training import RunSpec, train

        started = time.monotonic()
        try:
            spec = RunSpec(
                schedule=claim.candidate.schedule,
                seed=claim.seed,
                total_updates=claim.total_updates,
                device=self._options.device,
                with_test=claim.phase is Phase.CONFIRM,
            )
            outcome = train(
                self._task(claim.study_id),
                spec,
                lambda measurements: heartbeat.record([_row(one) for one in measurements]),
                lambda: self._stopping.is_set() or heartbeat.lost.is_set(),
            )
        except RunInterrupted:
            raise
        except Exception as error:  # the user's code: whatever it raises is the result of this run, not of the worker
            logger.exception("run %s: the task failed", claim.run_id)
            return RunResult(state=RunState.FAILED, reason=_where(error), duration_s=time.monotonic() - started)
        return _from_outcome(outcome)


def _row(one: Measurement) -> MeasurementRow:
    return MeasurementRow(
        update=one.update, lr=one.lr, train_loss=one.train_loss, val_loss=one.val_loss, metrics=one.metrics
    )


def _from_outcome(outcome: Outcome) -> RunResult:
    return RunResult(
        state=RunState.COMPLETED if outcome.status == "completed" else RunState.DIVERGED,
        score=outcome.score,
        test_score=outcome.test_score,
        updates_done=outcome.updates_done,
        initial_loss=outcome.initial_loss,
        diverged_at=outcome.diverged_at,
        reason=outcome.reason,
        duration_s=outcome.duration_s,
    )


def _where(error: BaseException) -> str:
    """The exception and the line that raised it, as one sentence for the store."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({Path(last.filename).name}:{last.lineno})"
