"""What the process that trains does with an order: try a task, train one run, or several together.

torch and the task are imported with the first order that needs them.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import IO, TYPE_CHECKING, Any

from schedsearch.task.script import is_script, read_script
from schedsearch.training import wire
from schedsearch.training.wire import Answer, Order

if TYPE_CHECKING:
    from schedsearch.task import Task
    from schedsearch.task.facts import TaskFacts, Together
    from schedsearch.training.checkpoints import Checkpoints
    from schedsearch.training.spec import Measurement, Outcome, RunSpec
    from schedsearch.training.usage import Usage

PROGRESS_EVERY_S = 1.0


class Trainee:
    """Carries out orders, and answers by lines on `answers`; `stopping`: to end the training in hand."""

    def __init__(self, answers: IO[bytes], stopping: threading.Event) -> None:
        self._answers = answers
        self._stopping = stopping
        self._tasks: dict[str, Task] = {}
        self._fingerprints: dict[str, str] = {}
        self._sizes: dict[tuple[str, str, int], Together] = {}

    def rehearse(self, task: str, task_options: Mapping[str, Any], sizes: bool) -> None:
        """Load the task, try it, and say what was found or what is wrong. sizes: also how many to train together."""
        from schedsearch.errors import SchedsearchError

        try:
            found = self._examined(task, task_options, sizes)
        except SchedsearchError as error:
            wire.send(self._answers, "fault", text=str(error))
        except SystemExit as error:
            wire.send(self._answers, "fault", text=_exit_sentence(error))
        else:
            self._fingerprints[_key(task, task_options)] = found.fingerprint
            if sizes:
                self._sizes[_key(task, task_options), found.devices[0], found.total_updates] = found.together
            wire.send(self._answers, "facts", facts=asdict(found))

    def size(self, order: Mapping[str, Any]) -> None:
        """Say how many runs like this one to train together: none where anything is in the way of finding out."""
        from schedsearch.task.facts import Together

        one = Order(**order)
        key = _key(one.task, one.task_options), one.device, one.total_updates
        if key not in self._sizes:
            try:
                self._sizes[key] = Together() if self._refusal(one) else self._measured_size(one)
            except Exception:  # whatever it is, a single run will meet it and tell
                self._sizes[key] = Together()
        wire.send(self._answers, "size", together=asdict(self._sizes[key]))

    def train(self, orders: Sequence[Mapping[str, Any]]) -> None:
        """Train these runs, together where they are several, and say how each ended."""
        given = [Order(**one) for one in orders]
        try:
            answers = self._answers_to(given)
        except SystemExit as error:  # argparse and sys.exit in the task's code
            answers = [Answer("exit", _exit_sentence(error))] * len(given)
        except Exception as error:  # whatever the task's code raises is how these runs ended
            answers = [_failure(error)] * len(given)
        _give_memory_back(given[0].device)
        wire.send(self._answers, "ended", answers=[asdict(one) for one in answers])

    def _examined(self, task: str, task_options: Mapping[str, Any], sizes: bool) -> TaskFacts:
        if is_script(task):
            from schedsearch.training.scripts import examine_script

            return examine_script(read_script(task), task_options)
        from schedsearch.training.preflight import examine

        return examine(self._task(task, task_options), task, sizes=sizes)

    def _measured_size(self, order: Order) -> Together:
        from schedsearch.training.array_size import together
        from schedsearch.training.devices import find_device

        task = self._task(order.task, order.task_options)
        return together(task, order.total_updates, find_device(order.device), order.memory_share)

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

    def _answers_to(self, orders: Sequence[Order]) -> list[Answer]:
        from schedsearch.errors import NotBatchable, RunInterrupted
        from schedsearch.training.usage import UsageWatch

        refusal = self._refusal(orders[0])
        if refusal is not None:
            return [Answer("refused", refusal)] * len(orders)
        first = orders[0]
        usage = UsageWatch(first.device, first.memory_share, is_script=is_script(first.task))
        try:
            outcomes = self._outcomes(orders)
            used = usage.read()
            return [Answer(one.status, one.reason, _numbers(one, used, len(orders))) for one in outcomes]
        except NotBatchable as error:
            return [Answer("apart", str(error))] * len(orders)
        except RunInterrupted as error:
            return [Answer("interrupted", str(error))] * len(orders)
        finally:
            usage.end()

    def _refusal(self, order: Order) -> str | None:
        """Why this task cannot be trained here, though it was tried when the study began: this machine lacks something,
        or has another version of it."""
        from schedsearch.errors import InvalidTask
        from schedsearch.task.loading import refuse_unallowed

        try:
            refuse_unallowed(order.task)
            fingerprint = self._fingerprint(order.task, order.task_options)
        except InvalidTask as error:
            return str(error)
        if fingerprint != order.task_fingerprint:
            return f"The task {order.task!r} is another one here than when the study began."
        return None

    def _outcomes(self, orders: Sequence[Order]) -> Sequence[Outcome]:
        first, should_stop = orders[0], self._polled()
        if len(orders) > 1:
            from schedsearch.training.array import train_array

            checkpoints = [one for one in map(_checkpoints, orders) if one is not None]
            task = self._task(first.task, first.task_options)
            return train_array(task, [_spec(one) for one in orders], self._record, should_stop, checkpoints or None)
        if is_script(first.task):
            from schedsearch.training.scripts import train_script

            script, options = read_script(first.task), first.task_options
            record = self._record_first
            return [train_script(script, options, _spec(first), record, should_stop, _checkpoints(first))]
        from schedsearch.training.loop import train

        task = self._task(first.task, first.task_options)
        return [train(task, _spec(first), self._record_first, should_stop, _checkpoints(first))]

    def _record_first(self, measurements: Sequence[Measurement]) -> None:
        self._record(0, measurements)

    def _record(self, run: int, measurements: Sequence[Measurement]) -> None:
        wire.send(self._answers, "measured", run=run, rows=[asdict(one) for one in measurements])

    def _polled(self) -> Callable[[], bool]:
        """Asked before every update: whether to stop; once a second it tells the worker that training goes on."""
        told_at = time.monotonic()

        def should_stop() -> bool:
            nonlocal told_at
            if time.monotonic() - told_at > PROGRESS_EVERY_S:
                told_at = time.monotonic()
                wire.send(self._answers, "progress")
            return self._stopping.is_set()

        return should_stop


def _failure(error: Exception) -> Answer:
    import traceback

    from schedsearch.errors import SchedsearchError
    from schedsearch.task.loading import told
    from schedsearch.training.usage import is_out_of_memory

    traceback.print_exception(error)
    sys.stderr.flush()
    if is_out_of_memory(error):
        return Answer("memory", told(error))
    return Answer("error", str(error) if isinstance(error, SchedsearchError) else told(error))


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


def _spec(order: Order) -> RunSpec:
    from schedsearch.schedule import Schedule
    from schedsearch.training.spec import RunSpec

    schedule = Schedule.from_dict(order.schedule)
    return RunSpec(schedule, order.seed, order.total_updates, order.device, order.with_test)


def _checkpoints(order: Order) -> Checkpoints | None:
    if order.checkpoints is None:
        return None
    import schedsearch
    from schedsearch.training.checkpoints import Checkpoints, training_key
    from schedsearch.training.places import open_place, training_mark

    mark = training_mark(order.task_fingerprint, order.schedule, order.seed, order.total_updates)
    key = training_key(mark, device=order.device.partition(":")[0], version=schedsearch.__version__)
    return Checkpoints(open_place(order.checkpoints), key, order.attempt, order.checkpoint_every_s)


def _numbers(outcome: Outcome, usage: Usage, runs: int) -> dict[str, Any]:
    """Of one of these runs that were trained together: energy in equal shares, memory as the process took it."""
    values = {**asdict(outcome), **asdict(usage), "trained_together": runs}
    if usage.energy_j is not None:
        values["energy_j"] = usage.energy_j / runs
    return {name: value for name, value in values.items() if name not in ("status", "reason")}
