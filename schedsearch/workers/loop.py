"""The worker: claim a run, train it, finish it; when nothing waits, take a planning step; until the studies end."""

from __future__ import annotations

import logging
import os
import secrets
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial
from types import FrameType
from typing import TYPE_CHECKING

from schedsearch.errors import InvalidTask, LeaseLost, StoreFull
from schedsearch.store import (
    Claim,
    Failure,
    MeasurementRow,
    Phase,
    RunResult,
    RunState,
    Store,
    Study,
    StudyState,
)
from schedsearch.training.wire import Answer, Order
from schedsearch.workers.company import Company
from schedsearch.workers.full_disk import once_there_is_space
from schedsearch.workers.heartbeat import Heartbeat
from schedsearch.workers.passed import LOOKS_AGAIN_AFTER_S, PassedOver
from schedsearch.workers.process import TrainingProcess
from schedsearch.workers.safety import Safety
from schedsearch.workers.turns import turn

if TYPE_CHECKING:
    from schedsearch.workers.planner import Planner

logger = logging.getLogger(__name__)

SHORTEST_WAIT_S = 0.02
WAIT_GROWTH = 1.25
LONGEST_WAIT_S = 1.0
RESULTS = {"completed": RunState.COMPLETED, "diverged": RunState.DIVERGED}
TRIES = {
    Failure.ERROR: 1,  # the same code on the same seed raises again
    Failure.EXIT: 1,
    Failure.MEMORY: 2,  # a neighbour may have taken it: the second time it is alone
    Failure.STALL: 2,
    Failure.CRASH: 3,
    Failure.LOST: 3,
}


@dataclass(frozen=True)
class WorkerOptions:
    """study: serve this one and end with it; None: serve every running study and never end by itself.

    threads: torch threads of this worker (cores divided by workers); None leaves torch's own choice.
    plans_after_s: how long it has had nothing to train before it plans itself; longer where a planner is at work.
    safety: checkpoints, and when a run is taken to hang. memory_share: of an accelerator's memory, that runs may take.
    peers: how many workers were started with this one, itself included.
    looks_again_after_s: how long one that serves every study passes over those whose task it does not have.
    """

    study: str | None
    device: str = "cpu"
    threads: int | None = None
    plans_after_s: float = 0.0
    safety: Safety = field(default_factory=Safety)
    memory_share: float = 1.0
    peers: int = 1
    looks_again_after_s: float = LOOKS_AGAIN_AFTER_S

    @property
    def lease_s(self) -> float:
        """How long a run is held without a word."""
        return self.safety.lease_s


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
    """One process on one device. `run()` returns when its study has ended or a signal asked it to stop.

    The task is trained in a process of its own; `training` is one that has loaded the task already.
    """

    def __init__(self, store: Store, options: WorkerOptions, training: TrainingProcess | None = None) -> None:
        self._store = store
        self._options = options
        self._id = new_worker_id()
        self._stopping = threading.Event()
        self._hurried = threading.Event()
        self._planners: dict[int, Planner] = {}
        self._studies: dict[int, Study] = {}
        self._training = training or TrainingProcess(options.threads, options.safety.stall_timeout_s)
        self._company = Company(store, self._training, options.device, options.lease_s, options.peers)
        self._passed = PassedOver(options.looks_again_after_s)
        self._busy_at = 0.0

    def stop_on_signals(self) -> None:
        """SIGTERM and SIGINT end the run in hand after its update and a checkpoint, give its lease back and end the
        worker; a second signal does not wait for the run."""

        def stop(signum: int, frame: FrameType | None) -> None:
            (self._hurried if self._stopping.is_set() else self._stopping).set()

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)

    def run(self) -> None:
        """Serve until the study ends or a signal comes."""
        try:
            self._serve()
        finally:
            self._training.kill()

    def _serve(self) -> None:
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
        claim = once_there_is_space(self._claim, self._stopping)
        if claim is not None:
            self._train(claim)
            self._busy_at = time.monotonic()
            return True
        if time.monotonic() - self._busy_at < self._options.plans_after_s:
            return False
        return any(self._plan(study) for study in self._running_studies())

    def _plan(self, study: Study) -> bool:
        try:
            return once_there_is_space(self._planner(study).step, self._stopping)
        except LeaseLost:
            sentence = "study %s: the planner's lease was lost; somebody else plans it now"
            logger.warning(sentence, study.name, extra={"study": study.name, "worker": self._id})
            return False

    def _about(self, claim: Claim) -> dict[str, object]:
        """What a log line says about a run beside its message."""
        return {
            "study": self._study(claim.study_id).name,
            "run": claim.run_id,
            "worker": self._id,
            "device": self._options.device,
            "attempt": claim.attempt,
        }

    def _log_end(self, claim: Claim, result: RunResult, spent_s: float) -> None:
        shown = "" if result.score is None else f", score {result.score:.6g}"
        about = {**self._about(claim), "seconds": round(spent_s, 3), "state": result.state.value, "score": result.score}
        logger.info("run %s: %s after %.1f s%s", claim.run_id, result.state.value, spent_s, shown, extra=about)

    @cached_property
    def _only_study(self) -> int | None:
        return None if self._options.study is None else self._store.study(self._options.study).id

    def _claim(self) -> Claim | None:
        if self._passed.is_due:
            self._training.kill()  # it would remember what it found of their tasks
            self._passed.clear()
        return self._store.claim(
            self._id,
            study_id=self._only_study,
            lease_s=self._options.lease_s,
            device=self._options.device,
            without=self._passed.studies,
        )

    def _planner(self, study: Study) -> Planner:
        if study.id not in self._planners:
            from schedsearch.workers.planner import Planner

            self._planners[study.id] = Planner(self._store, study, self._id)
        return self._planners[study.id]

    def _study(self, study_id: int) -> Study:
        if study_id not in self._studies:
            self._studies[study_id] = next(one for one in self._store.studies() if one.id == study_id)
        return self._studies[study_id]

    def _train(self, first: Claim) -> None:
        """Train this run, and together with it what else is quicker so."""
        started = time.monotonic()
        with Heartbeat(self._store, first, self._options.lease_s) as heartbeat:
            claims, answers = self._answers(first, heartbeat)
        rows = [heartbeat.take(run) for run in range(len(claims))]
        self._hand_in(claims, partial(self._conclude_all, claims, answers, rows, time.monotonic() - started))

    @contextmanager
    def _unless_lost(self, claim: Claim) -> Iterator[None]:
        try:
            yield
        except LeaseLost:
            self._log_lost(claim)

    def _log_lost(self, claim: Claim) -> None:
        sentence = "run %s: the lease was lost; somebody else trains it now"
        logger.warning(sentence, claim.run_id, extra=self._about(claim))

    def _answers(self, first: Claim, heartbeat: Heartbeat) -> tuple[list[Claim], list[Answer]]:
        """The runs that were trained, and how each ended; a run that found no memory the last time, alone on the
        device."""

        def should_stop() -> bool:
            return any(one.is_set() for one in (self._stopping, heartbeat.lost, heartbeat.unwanted))

        alone = first.last_failure is Failure.MEMORY
        with turn(self._options.device, alone=alone, should_stop=should_stop) as is_ours:
            if not is_ours:
                return [first], [Answer("interrupted", "The run waited for its device when it was asked to stop.")]
            others = self._company.of(first, self._study(first.study_id), self._order(first), should_stop)
            heartbeat.add(others)
            claims = [first, *others]
            answers = self._training.train(
                [self._order(one) for one in claims],
                lambda run, rows: heartbeat.record(run, [MeasurementRow(**one) for one in rows]),
                should_stop,
                self._hurried.is_set,
            )
            return claims, answers

    def _conclude_together(
        self, claims: Sequence[Claim], answers: Sequence[Answer], rows: Sequence[Sequence[MeasurementRow]]
    ) -> None:
        results = [_result(answer) for answer in answers]
        lost = self._store.finish_together(list(zip(claims, results, rows, strict=True)))
        for claim, result in zip(claims, results, strict=True):
            if claim in lost:
                self._log_lost(claim)
            else:
                self._log_end(claim, result, result.duration_s or 0.0)

    def _take_apart(self, claims: Sequence[Claim], answer: Answer) -> None:
        """Give back runs whose training together did not end in results: each is tried again by itself."""
        if answer.kind == "apart":
            self._company.is_impossible(claims[0])
        for claim in claims:
            with self._unless_lost(claim):
                self._store.release(claim)
        about = {**self._about(claims[0]), "runs": len(claims), "state": answer.kind}
        logger.warning("%d runs trained together are given back: %s", len(claims), answer.reason, extra=about)
        if answer.kind == "refused":
            self._pass_over(claims[0], str(answer.reason))

    def _order(self, claim: Claim) -> Order:
        study, safety = self._study(claim.study_id), self._options.safety
        return Order(
            task=study.task,
            task_options=study.task_options,
            task_fingerprint=study.task_fingerprint,
            schedule=claim.candidate.schedule.to_dict(),
            seed=claim.seed,
            total_updates=claim.total_updates,
            device=self._options.device,
            with_test=claim.phase is Phase.CONFIRM,
            attempt=claim.attempt,
            checkpoints=safety.checkpoints,
            checkpoint_every_s=safety.checkpoint_every_s,
            memory_share=1.0 if claim.last_failure is Failure.MEMORY else self._options.memory_share,
        )

    def _hand_in(self, claims: Sequence[Claim], conclude: Callable[[], None]) -> None:
        """Conclude the runs; while the store's disk is full, hold them as far as that can be written, and try again."""
        try:
            conclude()
        except StoreFull:
            with Heartbeat(self._store, claims[0], self._options.lease_s) as heartbeat:
                heartbeat.add(claims[1:])
                once_there_is_space(conclude, self._stopping)

    def _conclude_all(
        self,
        claims: Sequence[Claim],
        answers: Sequence[Answer],
        rows: Sequence[Sequence[MeasurementRow]],
        spent_s: float,
    ) -> None:
        """Hand the end of a run, or of runs that were trained together, to the store."""
        if len(claims) == 1:
            with self._unless_lost(claims[0]):
                self._conclude(claims[0], answers[0], rows[0], spent_s)
        elif any(one.kind not in RESULTS for one in answers):
            self._take_apart(claims, answers[0])
        else:
            self._conclude_together(claims, answers, rows)

    def _conclude(self, claim: Claim, answer: Answer, rows: Sequence[MeasurementRow], spent_s: float) -> None:
        """Hand the run's end to the store: its result, a lost attempt, or the run itself."""
        if answer.kind in ("interrupted", "refused"):
            self._store.release(claim)
            logger.info("run %s: given back", claim.run_id, extra=self._about(claim))
            if answer.kind == "refused":
                self._pass_over(claim, str(answer.reason))
        elif answer.kind in RESULTS:
            result = _result(answer)
            self._store.finish(claim, result, rows)
            self._log_end(claim, result, spent_s)
        else:
            failure = Failure(answer.kind)
            about = {**self._about(claim), "state": failure.value}
            logger.error("run %s: %s", claim.run_id, answer.reason, extra=about)
            failed = RunResult(
                RunState.FAILED, reason=answer.reason, failure=failure, log_tail=answer.log, duration_s=spent_s
            )
            self._store.fail(claim, failed, rows, TRIES[failure])

    def _pass_over(self, claim: Claim, reason: str) -> None:
        """Serve the other studies, and look at this one again after a while. Raises InvalidTask where it is the only
        one to serve."""
        if self._options.study is not None:
            raise InvalidTask(reason)
        if self._passed.add(claim.study_id, reason):
            study = self._study(claim.study_id).name
            sentence = "study %s: passed over, and looked at again every %g s: %s"
            logger.warning(sentence, study, self._options.looks_again_after_s, reason, extra=self._about(claim))

def _result(answer: Answer) -> RunResult:
    return RunResult(RESULTS[answer.kind], reason=answer.reason, **answer.values)
