"""`python -m schedsearch.workers`: what `launch` starts once for each worker, and with `--plan` once for the planner.

The storage URL and the safety come by environment. With `--rehearse` it starts a process that trains, lets it try the
task before anything else is imported here, writes what it found, and waits for one line on stdin that names the study;
without that line it ends.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from schedsearch.errors import InvalidTask, SchedsearchError
from schedsearch.workers import logs
from schedsearch.workers.safety import Safety

if TYPE_CHECKING:
    from collections.abc import Mapping

    from schedsearch.workers.process import TrainingProcess

PATIENCE_S = 10.0  # of workers beside a planner: so long idle, they plan themselves


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m schedsearch.workers")
    parser.add_argument("--study")
    parser.add_argument("--plan", metavar="PLANNER_ID")
    parser.add_argument("--plans-at-once", action="store_true")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--memory-share", type=float, default=1.0)
    parser.add_argument("--peers", type=int, default=1)
    parser.add_argument("--log", choices=["text", "json"], default="text")
    parser.add_argument("--rehearse", metavar="TASK")
    parser.add_argument("--sizes", action="store_true")
    parser.add_argument("--options", type=json.loads, default={})
    parser.add_argument("--facts", type=Path)
    given = parser.parse_args(namespace=argparse.Namespace(safety=Safety.of_environment()))
    logs.set_up(given.log)
    try:
        if given.plan:
            return _plan(given)
        return _rehearse_and_serve(given) if given.rehearse else _serve(given, None)
    except SchedsearchError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return error.exit_code


def _plan(given: argparse.Namespace) -> int:
    from schedsearch.workers.serve import plan

    plan(os.environ["SCHEDSEARCH_STORAGE"], given.study, given.plan)
    return 0


def _serve(given: argparse.Namespace, training: TrainingProcess | None) -> int:
    from schedsearch.workers.loop import WorkerOptions
    from schedsearch.workers.serve import serve

    options = WorkerOptions(
        given.study,
        given.device,
        given.threads,
        plans_after_s=0.0 if given.plans_at_once else PATIENCE_S,
        safety=given.safety,
        memory_share=given.memory_share,
        peers=given.peers,
    )
    serve(os.environ["SCHEDSEARCH_STORAGE"], options, training)
    return 0


def _rehearse_and_serve(given: argparse.Namespace) -> int:
    from schedsearch.workers.process import TrainingProcess

    training = TrainingProcess(given.threads, given.safety.stall_timeout_s)
    training.rehearse(given.rehearse, given.options, sizes=given.sizes)
    import schedsearch.workers.serve  # noqa: F401 - while the task is tried

    try:
        found, exit_code = training.facts(), 0
    except InvalidTask as error:
        found, exit_code = {"fault": str(error)}, error.exit_code
    _write(given.facts, found)
    orders = sys.stdin.readline()
    if not orders or exit_code:
        training.kill()
        return exit_code if orders else 0
    told = json.loads(orders)
    for name in ("study", "device", "memory_share", "peers"):
        setattr(given, name, told[name])
    _log_to(Path(told["log"]))
    return _serve(given, training)


def _write(answer: Path, found: Mapping[str, Any]) -> None:
    """Whole or not at all: it is read as soon as it is there."""
    unfinished = answer.with_suffix(".part")
    unfinished.write_text(json.dumps(found))
    unfinished.replace(answer)


def _log_to(path: Path) -> None:
    """From here on, whatever this process prints goes to this file."""
    with path.open("ab") as log:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
            os.dup2(log.fileno(), stream.fileno())


def _leave(code: int) -> None:
    """End this process at once. Everything it wrote is in the store; taking down an interpreter that holds torch takes
    longer than a short run."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    _leave(main())
