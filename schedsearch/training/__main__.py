"""`python -m schedsearch.training`: the process that trains for a worker, one run after another.

It reads orders from stdin and answers on what was its stdout (`training/wire.py`); whatever the task prints goes to
stderr. It ends with its worker: as soon as stdin is closed, whatever the task is doing.
"""

from __future__ import annotations

import ctypes
import json
import os
import queue
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import IO, TYPE_CHECKING, Any

from schedsearch.task.script import is_script, read_script
from schedsearch.training import wire

if TYPE_CHECKING:
    from schedsearch.task import Task
    from schedsearch.task.facts import TaskFacts
    from schedsearch.training.checkpoints import Checkpoints
    from schedsearch.training.spec import Measurement, Outcome

PROGRESS_EVERY_S = 1.0
PR_SET_PDEATHSIG = 1
OURS_ALONE = re.compile(r"SCHEDSEARCH_(\w+_)?(STORAGE|DB_URL|MLFLOW|SAFETY|CHECKPOINTS)")


def main() -> None:
    worker = os.getppid()
    orders, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    with open(os.devnull, "rb") as nothing:  # noqa: PTH123 - a descriptor is wanted
        os.dup2(nothing.fileno(), 0)
    for one in (signal.SIGINT, signal.SIGTERM):  # the worker decides what they mean
        signal.signal(one, lambda signum, frame: None)
    _die_with(worker)
    _forget_addresses()
    Trainee(answers).serve(orders)


def _die_with(worker: int) -> None:
    """On Linux the kernel ends this process with its worker, even while the task holds the interpreter's lock."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != worker:
        os._exit(1)


def _forget_addresses() -> None:
    """The task's code has no use for our databases' URLs, which may hold passwords: it may print its environment."""
    for name in [one for one in os.environ if OURS_ALONE.fullmatch(one)]:
        del os.environ[name]


class Trainee:
    """Carries out orders in the main thread, while another thread listens for `stop` and for the end of the worker."""

    def __init__(self, answers: IO[bytes]) -> None:
        self._answers = answers
        self._orders: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._tasks: dict[str, Task] = {}
        self._fingerprints: dict[str, str] = {}

    def serve(self, orders: IO[bytes]) -> None:
        threading.Thread(target=self._listen, args=(orders,), daemon=True).start()
        while True:
            order = self._orders.get()
            if order.pop("kind") == "rehearse":
                self._rehearse(**order)
            else:
                self._train(wire.Order(**order))

    def _listen(self, orders: IO[bytes]) -> None:
        for line in orders:
            order = wire.read(line)
            if order["kind"] == "stop":
                self._stopping.set()
            else:
                self._stopping.clear()
                self._orders.put(order)
        os._exit(0)

    def _rehearse(self, task: str, task_options: Mapping[str, Any]) -> None:
        """Load the task, try it, and say what was found or what is wrong."""
        from schedsearch.errors import SchedsearchError

        try:
            found = self._examined(task, task_options)
        except SchedsearchError as error:
            wire.send(self._answers, "fault", text=str(error))
        except SystemExit as error:
            wire.send(self._answers, "fault", text=_exit_sentence(error))
        else:
            self._fingerprints[_key(task, task_options)] = found.fingerprint
            wire.send(self._answers, "facts", facts=asdict(found))

    def _examined(self, task: str, task_options: Mapping[str, Any]) -> TaskFacts:
        if is_script(task):
            from schedsearch.training.scripts import examine_script

            return examine_script(read_script(task), task_options)
        from schedsearch.training.preflight import examine

        return examine(self._task(task, task_options), task)

    def _task(self, reference: str, options: Mapping[str, Any]) -> Task:
        from schedsearch.task import load_task

        key = _key(reference, options)
        if key not in self._tasks:
            self._tasks[key] = load_task(reference, options)
        return self._tasks[key]

    def _fingerprint(self, reference: str, options: Mapping[str, Any]) -> str:
        key = _key(reference, options)
        if key not in self._fingerprints:
            script = read_script(reference) if is_script(reference) else None
            self._fingerprints[key] = (
                self._task(reference, options).fingerprint() if script is None else script.fingerprint(**options)
            )
        return self._fingerprints[key]

    def _train(self, order: wire.Order) -> None:
        try:
            answer = self._answer(order)
        except SystemExit as error:  # argparse and sys.exit in the task's code
            answer = wire.Answer("exit", _exit_sentence(error))
        except Exception as error:  # whatever the task's code raises is how this run ended
            answer = self._failure(error)
        _give_memory_back(order.device)
        wire.send(self._answers, "ended", answer=asdict(answer))

    def _answer(self, order: wire.Order) -> wire.Answer:
        from schedsearch.errors import InvalidTask, RunInterrupted
        from schedsearch.schedule import Schedule
        from schedsearch.task.loading import refuse_unallowed
        from schedsearch.training.loop import train
        from schedsearch.training.spec import RunSpec
        from schedsearch.training.usage import UsageWatch

        schedule = Schedule.from_dict(order.schedule)
        spec = RunSpec(schedule, order.seed, order.total_updates, order.device, order.with_test)
        try:
            refuse_unallowed(order.task)
            task = None if is_script(order.task) else self._task(order.task, order.task_options)
        except InvalidTask as error:  # it was tried when the study began: this machine lacks something
            return wire.Answer("refused", str(error))
        if self._fingerprint(order.task, order.task_options) != order.task_fingerprint:
            return wire.Answer("refused", f"The task {order.task!r} is another one here than when the study began.")
        usage = UsageWatch(order.device, order.memory_share, is_script=task is None)
        try:
            if task is not None:
                outcome = train(task, spec, self._record, self._polled(), _checkpoints(order))
            else:
                from schedsearch.training.scripts import train_script

                outcome = train_script(
                    read_script(order.task), order.task_options, spec, self._record, self._polled(), _checkpoints(order)
                )
            return wire.Answer(
                outcome.status, outcome.reason, {**_numbers(outcome), **asdict(usage.read())}
            )
        except RunInterrupted as error:
            return wire.Answer("interrupted", str(error))
        finally:
            usage.end()

    def _record(self, measurements: Sequence[Measurement]) -> None:
        wire.send(self._answers, "measured", rows=[asdict(one) for one in measurements])

    def _polled(self) -> Callable[[], bool]:
        """Asked before every update: whether to stop; once a second it tells the worker how far the run is."""
        told_at = time.monotonic()

        def should_stop() -> bool:
            nonlocal told_at
            if time.monotonic() - told_at > PROGRESS_EVERY_S:
                told_at = time.monotonic()
                wire.send(self._answers, "progress")
            return self._stopping.is_set()

        return should_stop

    def _failure(self, error: Exception) -> wire.Answer:
        import traceback

        from schedsearch.errors import SchedsearchError
        from schedsearch.task.loading import told
        from schedsearch.training.usage import is_out_of_memory

        traceback.print_exception(error)
        sys.stderr.flush()
        if is_out_of_memory(error):
            return wire.Answer("memory", told(error))
        return wire.Answer("error", str(error) if isinstance(error, SchedsearchError) else told(error))


def _key(reference: str, options: Mapping[str, Any]) -> str:
    return json.dumps([reference, dict(options)], sort_keys=True)


def _exit_sentence(error: SystemExit) -> str:
    """argparse ends a process with code 2."""
    hint = ": argparse finds no arguments here, a task's are its options (`--task-option`)" if error.code == 2 else ""
    return f"The task ended its process with sys.exit({error.code!r}){hint}."


def _give_memory_back(device: str) -> None:
    """What torch keeps of an accelerator's memory between two runs may be what a neighbour's run needs."""
    if device.startswith("cuda"):
        import torch

        torch.cuda.empty_cache()


def _checkpoints(order: wire.Order) -> Checkpoints | None:
    if order.checkpoints is None:
        return None
    import schedsearch
    from schedsearch.training.checkpoints import Checkpoints, training_key
    from schedsearch.training.places import open_place, training_mark

    mark = training_mark(order.task_fingerprint, order.schedule, order.seed, order.total_updates)
    key = training_key(mark, device=order.device.partition(":")[0], version=schedsearch.__version__)
    return Checkpoints(open_place(order.checkpoints), key, order.attempt, order.checkpoint_every_s)


def _numbers(outcome: Outcome) -> dict[str, Any]:
    values = asdict(outcome)
    return {name: value for name, value in values.items() if name not in ("status", "reason")}


if __name__ == "__main__":
    main()
