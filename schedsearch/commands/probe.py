"""`probe`: a learning-rate range test and a startup test of a task, stored where `launch` finds them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import schedsearch
from schedsearch.commands.inspect import require_file_store, store_exists
from schedsearch.evidence.diagnosis import Curve
from schedsearch.evidence.probe import LADDER, read_range_test, startup_run, suggest
from schedsearch.schedule import Constant, Linear, Schedule, Warmup
from schedsearch.store import Probe, Store
from schedsearch.task import Task, load_task
from schedsearch.task.loading import blamed

LOWEST_LR, HIGHEST_LR = 1e-6, 100.0
RANGE_UPDATES = (100, 400)
STARTUP_SHARE, FEWEST_STARTUP_UPDATES = 4, 60
WARMUP = Warmup("linear", 0.1, 0.01)


@dataclass(frozen=True)
class ProbeOptions:
    """What `probe` may be told. device: None is this machine's first; total_updates: the horizon of the study."""

    task: str
    task_options: Mapping[str, Any]
    total_updates: int | None = None
    storage: str = "sqlite:///schedsearch.db"
    seed: int = 0
    device: str | None = None


def probe(options: ProbeOptions, tell: Callable[[str], None]) -> Probe:
    """Run both tests and store what they suggest; `tell` is called with a line before each run.

    Costs one run of at most 400 updates and fourteen of a quarter of the horizon. Raises InvalidTask, or
    SchedsearchError where the task does not train at any LR.
    """
    given = dict(options.task_options)
    if options.total_updates is not None:
        given["total_updates"] = options.total_updates
    if store_exists(options.storage):
        Store.open(options.storage).close()  # a store that cannot be used is refused before anything is trained
    task = load_task(options.task, given)
    runner = _Runner(options.task, task, options.seed, options.device, tell)
    rising = read_range_test(runner.range_test())
    runs = [
        startup_run(base_lr, has_warmup=warm, curve=runner.short_run(base_lr, warm=warm))
        for base_lr in sorted(step * rising.edge_lr for step in LADDER)
        for warm in (True, False)
    ]
    found = suggest(runs)
    with blamed(options.task, "data()"):
        fingerprint = task.fingerprint()
    row = Probe(
        task_fingerprint=fingerprint,
        task=options.task,
        task_options=given,
        total_updates=task.total_updates,
        base_lr_low=found.low,
        base_lr_high=found.high,
        best_lr=found.best_lr,
        edge_lr=rising.edge_lr,
        warmup_matters=found.warmup_matters,
        sentence=found.sentence,
        details={"seed": options.seed, "range_test": asdict(rising), "startup": [asdict(one) for one in runs]},
        code_version=schedsearch.__version__,
    )
    with Store.open(options.storage) as store:
        store.save_probe(row)
    return row


def probed_range(storage: str, task_fingerprint: str) -> tuple[float, float] | None:
    """The base-LR range that a probe of exactly this task suggested; None where there was no probe."""
    if not store_exists(storage):
        return None
    require_file_store(storage)
    with Store.open(storage) as store:
        found = store.probe(task_fingerprint)
    return None if found is None else found.base_lr


class _Runner:
    """Trains the schedules of both tests, one after another, on one device and one seed."""

    def __init__(self, reference: str, task: Task, seed: int, device: str | None, tell: Callable[[str], None]) -> None:
        from schedsearch.training.devices import default_devices

        self._reference, self._task, self._seed, self._tell = reference, task, seed, tell
        self._device = device or default_devices()[0]

    def range_test(self) -> Curve:
        """The LR rises exponentially from 1e-6 to 100: a warm-up that is the whole run."""
        updates = min(max(self._task.total_updates, RANGE_UPDATES[0]), RANGE_UPDATES[1])
        self._tell(f"range test: {updates} updates, LR {LOWEST_LR:g} to {HIGHEST_LR:g}")
        rise = Warmup("exponential", (updates - 1) / updates, LOWEST_LR / HIGHEST_LR)
        return self._curve(Schedule(HIGHEST_LR, Constant(), rise), updates)

    def short_run(self, base_lr: float, *, warm: bool) -> Curve:
        """A linear descent over a quarter of the horizon."""
        updates = max(FEWEST_STARTUP_UPDATES, self._task.total_updates // STARTUP_SHARE)
        self._tell(f"startup test: {updates} updates at base LR {base_lr:.3g}, {'with' if warm else 'without'} warm-up")
        return self._curve(Schedule(base_lr, Linear(), WARMUP if warm else None), updates)

    def _curve(self, schedule: Schedule, updates: int) -> Curve:
        from schedsearch.training.loop import train
        from schedsearch.training.spec import Measurement, RunSpec

        rows: list[Measurement] = []

        def record(new: Sequence[Measurement]) -> None:
            rows.extend(new)

        with blamed(self._reference, "training"):
            spec = RunSpec(schedule, self._seed, updates, self._device)
            outcome = train(self._task, spec, record, lambda: False)
        return Curve(
            total_updates=updates,
            updates=[one.update for one in rows],
            lrs=[one.lr for one in rows],
            train_losses=[one.train_loss for one in rows],
            val_losses=[one.val_loss for one in rows],
            initial_loss=outcome.initial_loss,
            diverged_at=outcome.diverged_at,
        )
