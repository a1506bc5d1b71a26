"""The script's side: `run = attach()`, `run.scheduler(...)`, `run.report(...)`."""

from __future__ import annotations

import atexit
import math
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from schedsearch.errors import InvalidInput
from schedsearch.schedule import Constant, Schedule
from schedsearch.script.letters import BEGIN, STATE, Folder

if TYPE_CHECKING:
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler

REHEARSED, FEWEST_JUDGED = 10, 3
STOPPED_EXIT = 75
BEHIND, AHEAD = 2, 8  # steps of the scheduler; mixed precision skips a few updates at first, but not the steps
APART_SHARE = 0.02
SAME_LR = 1e-5
FAULT_EXIT = 70
TRAIN_LOSSES = ("loss", "train_loss")


def attach(*, seed: int = 0, device: str = "cpu") -> Run:
    """This process's run: of a study where `schedsearch launch -- python script.py` started it, else of its own.

    seed, device: what the script uses when it was started alone.
    """
    return Run(Folder.of_environment(), seed, device)


class Run:
    """One training of a script.

    seed: for initialisation and data order. device: to train on. is_attached: whether a study is listening. In a
    process that torchrun, Accelerate or Lightning started with a rank above 0 the schedule is the same, and nothing is
    reported.
    """

    def __init__(self, folder: Folder | None, seed: int, device: str) -> None:
        self._folder = folder
        self._order = None if folder is None else folder.order()
        self._speaks = folder is not None and _rank() == 0
        self.is_attached = folder is not None
        self.seed = seed if self._order is None else self._order.seed
        self.device = device if self._order is None else self._order.device
        self._watch: _Watch | _ByHand | None = None
        self._losses: list[float] = []
        self._saved_at = time.monotonic()
        self._updates_before = 0

    @property
    def folder(self) -> Path:
        """A folder of this run alone, for files that two runs at once must not share; gone after the run. Started
        alone, the current one."""
        return Path() if self._folder is None else self._folder.path

    @property
    def schedule(self) -> Schedule | None:
        """The schedule of this run; None when started alone, and in a rehearsal."""
        given = None if self._order is None else self._order.schedule
        return None if given is None else Schedule.from_dict(given)

    @property
    def should_stop(self) -> bool:
        """Whether the study asks the script to end now (a worker is shut down); `save_checkpoint` ends it then."""
        return self._folder is not None and self._folder.is_asked_to_stop

    def scheduler(
        self,
        optimizer: Optimizer,
        *,
        total_updates: int,
        updates_per_epoch: int = 1,
        default: Callable[[Optimizer], LRScheduler] | None = None,
    ) -> LRScheduler:
        """The scheduler to step once after every optimizer update.

        total_updates: optimizer updates of the whole training (not batches, where gradients are accumulated).
        default: makes the script's own scheduler, which it gets when it was started alone; left out, the LR is
        constant. Attached, every update is watched: that the LR is the schedule's, and that the scheduler moves with
        the updates; a fault ends the script with a sentence that names it.
        """
        from schedsearch.schedule.torch_adapter import ScheduleLR

        if self._order is None:
            return default(optimizer) if default else _constant(optimizer, total_updates)
        optimizer = _innermost(optimizer)
        schedule = self.schedule
        if schedule is None:
            trained = [one for group in optimizer.param_groups for one in group["params"] if one.requires_grad]
            self._tell_facts(
                total_updates=total_updates,
                updates_per_epoch=updates_per_epoch,
                optimizer=type(optimizer).__name__,
                base_lr=float(optimizer.param_groups[0]["lr"]),
                parameters=sum(one.numel() for one in trained),
            )
            found = _constant(optimizer, total_updates)
        else:
            self._require_horizon(total_updates)
            found = ScheduleLR(optimizer, schedule, total_updates, updates_per_epoch)
        self._watch = _Watch(self, optimizer, found, total_updates, rehearsed=schedule is None)
        return found

    def lr(
        self, update: int, *, total_updates: int, default: Callable[[int], float], updates_per_epoch: int = 1
    ) -> float:
        """The LR of this update (from 0), for loops that set it by hand; ask once before every optimizer update.

        default: the script's own rule, used when it was started alone. Its largest value is where the study looks for
        base LRs, 1.5 decades to either side.
        """
        if self._order is None:
            return default(update)
        if not isinstance(self._watch, _ByHand):
            self._watch = _ByHand(self, total_updates, updates_per_epoch, default)
        return self._watch.lr(update)

    def report(self, **metrics: float) -> None:
        """Measurements of this moment: `loss=` (or `train_loss=`) of an update, and what validation showed.

        The study's score is the last value of its `--metric`. Started alone, nothing happens.
        """
        if self._folder is None or not self._speaks:
            return
        given = {name: float(value) for name, value in metrics.items()}
        self._losses += [value for name, value in given.items() if name in TRAIN_LOSSES]
        values = {name: value for name, value in given.items() if name not in TRAIN_LOSSES}
        if not values and all(math.isfinite(loss) for loss in self._losses[-1:]):
            return
        watch = self._watch
        self._folder.report(
            "report",
            update=max(0, (watch.updates if watch else 0) - 1),
            lr=watch.last_lr if watch else None,
            losses=self._losses,
            metrics=values,
        )
        self._losses = []

    def load_checkpoint(self, **objects: Any) -> dict[str, Any]:
        """Go on where an earlier attempt at this run was stopped: `start = run.load_checkpoint(model=model, ...)`.

        Call it before the loop, after `scheduler`, with the objects that `save_checkpoint` gets (whatever has a
        `state_dict`). Returns the plain values that were saved beside them; {} at the beginning of a run, and alone.
        """
        if self._folder is None or not (self._folder.path / BEGIN).exists():
            return {}
        from schedsearch.script.state import put_together, read_state

        state = read_state(self._folder.path / BEGIN)
        self._updates_before = state["updates"]
        if isinstance(self._watch, _Watch):
            self._watch.go_on(state["updates"], state["scheduler"])
        self._losses = state["losses"]
        if self._speaks:
            self._folder.tell_again(state["reports"])
        return put_together(state, objects, self.device)

    def save_checkpoint(self, **state: Any) -> None:
        """Keep this moment, between two updates: `run.save_checkpoint(model=model, optimizer=optimizer, epoch=epoch)`.

        Objects with a `state_dict`, and plain values; the scheduler and Python's, NumPy's and torch's generators are
        kept by themselves. Cheap to call often: it writes when it is time (`launch --checkpoint-every`), and when the
        study asks to stop, which ends the script here.
        """
        if self._folder is None or self._order is None or self._order.checkpoint_every_s is None or not self._speaks:
            return
        if time.monotonic() - self._saved_at < self._order.checkpoint_every_s and not self.should_stop:
            return
        from schedsearch.script.state import taken_apart, write_state

        watch = self._watch
        about = {
            "updates": watch.updates if watch else 0,
            "scheduler": watch.scheduler_state() if isinstance(watch, _Watch) else {},
            "reports": self._folder.told(),
            "losses": self._losses,
        }
        write_state(self._folder.path / STATE, {**taken_apart(state, self.device), **about})
        self._saved_at = time.monotonic()
        if self.should_stop:
            _leave(STOPPED_EXIT)

    def _tell_facts(self, **facts: Any) -> None:
        if self._folder is not None and self._speaks:
            self._folder.report("facts", **facts)

    def _require_horizon(self, total_updates: int) -> None:
        planned = None if self._order is None else self._order.total_updates
        if total_updates != planned:
            self.fault(
                f"`total_updates` must be {planned}, as when the study began, but is {total_updates} instead."
            )

    def fault(self, text: str) -> NoReturn:
        """End the script with this sentence."""
        if self._folder is not None and self._speaks:
            self._folder.report("fault", text=text)
        _leave(FAULT_EXIT)

    def _rehearsed(self, seconds_per_update: float) -> NoReturn:
        if self._folder is not None and self._speaks:
            self._folder.report("rehearsed", seconds_per_update=seconds_per_update)
        _leave(0)

    def _done(self, updates: int, steps: int) -> None:
        if self._folder is not None and self._speaks:
            self._folder.report("done", updates=updates, steps=steps)


class _Watch:
    """Looks at every update of the optimizer: the LR that it uses, and how far the scheduler is."""

    def __init__(
        self, run: Run, optimizer: Optimizer, scheduler: LRScheduler, total_updates: int, *, rehearsed: bool
    ) -> None:
        self._run = run
        self._scheduler = scheduler
        self._last_rehearsed = min(REHEARSED, total_updates - 1) if rehearsed else None
        self._started = time.perf_counter()
        self.updates = 0
        self.last_lr = float(optimizer.param_groups[0]["lr"])
        optimizer.register_step_pre_hook(self._before_update)
        atexit.register(lambda: run._done(self.updates, self.steps))

    def scheduler_state(self) -> dict[str, Any]:
        return dict(self._scheduler.state_dict())

    def go_on(self, updates: int, scheduler_state: dict[str, Any]) -> None:
        """So many updates were made before."""
        self.updates = updates
        self._scheduler.load_state_dict(scheduler_state)

    @property
    def steps(self) -> int:
        """How often the scheduler was stepped."""
        return int(self._scheduler.last_epoch)

    def _before_update(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        self.last_lr = float(optimizer.param_groups[0]["lr"])
        wanted = float(self._scheduler.get_last_lr()[0])
        if not math.isclose(self.last_lr, wanted, rel_tol=SAME_LR, abs_tol=1e-12):
            self._run.fault(
                f"At update {self.updates} the optimizer used LR {self.last_lr:.6g}, but the schedule says "
                f"{wanted:.6g}: something else sets the LR, too."
            )
        self._look_at_pace()
        if self.updates == self._last_rehearsed:
            self._run._rehearsed((time.perf_counter() - self._started) / max(1, self.updates))
        self.updates += 1

    def _look_at_pace(self) -> None:
        """Raises the fault of a scheduler that is stepped too seldom (once an epoch) or too often (once a batch)."""
        if self.updates < FEWEST_JUDGED:
            return
        apart = self.steps - self.updates
        if apart < -max(BEHIND, APART_SHARE * self.updates) or self.steps == 0:
            self._run.fault(
                f"The scheduler was stepped {self.steps} times in {self.updates} updates: "
                "call `scheduler.step()` once after every `optimizer.step()`, not once an epoch."
            )
        if apart > max(AHEAD, APART_SHARE * self.updates):
            self._run.fault(
                f"The scheduler was stepped {self.steps} times in {self.updates} updates: call `scheduler.step()` only "
                "after `optimizer.step()`, not after every batch, where gradients are accumulated."
            )


class _ByHand:
    """A loop that asks for every update's LR and sets it itself."""

    def __init__(self, run: Run, total_updates: int, updates_per_epoch: int, default: Callable[[int], float]) -> None:
        self._run = run
        self._default = default
        self._total = total_updates
        self._lrs: list[float] | None = None
        self._started = time.perf_counter()
        self.updates = run._updates_before
        self.last_lr = 0.0
        if run.schedule is None:
            run._tell_facts(
                total_updates=total_updates,
                updates_per_epoch=updates_per_epoch,
                optimizer="set by hand",
                base_lr=max(float(default(update)) for update in range(total_updates)),
                parameters=0,
            )
        else:
            run._require_horizon(total_updates)
            self._lrs = run.schedule.lrs(total_updates, updates_per_epoch).tolist()
        atexit.register(lambda: run._done(self.updates, self.updates))

    def lr(self, update: int) -> float:
        if update not in (self.updates, self.updates - 1):
            self._run.fault(
                f"run.lr() must be asked once for every update in turn: after {self.updates - 1} "
                f"it was asked for {update}."
            )
        self.updates = update + 1
        if self._lrs is None:
            if update == min(REHEARSED, self._total - 1):
                self._run._rehearsed((time.perf_counter() - self._started) / max(1, update))
            self.last_lr = float(self._default(update))
        else:
            self.last_lr = self._lrs[min(update, len(self._lrs) - 1)]
        return self.last_lr


def _constant(optimizer: Optimizer, total_updates: int) -> LRScheduler:
    from schedsearch.schedule.torch_adapter import ScheduleLR

    lr = float(optimizer.param_groups[0]["lr"])
    if not lr > 0:
        raise InvalidInput(f"The LR of the optimizer must be greater than 0, but is {lr} instead.")
    return ScheduleLR(optimizer, Schedule(lr, Constant()), total_updates)


def _innermost(optimizer: Optimizer) -> Optimizer:
    """The optimizer that does the updates, where a framework such as Accelerate has wrapped it."""
    while hasattr(optimizer, "optimizer"):
        optimizer = optimizer.optimizer
    return optimizer


def _rank() -> int:
    """Of this process; Lightning says it only within a machine, and which machine that is."""
    node = int(os.environ.get("NODE_RANK", "0"))
    return int(os.environ.get("RANK") or node or os.environ.get("LOCAL_RANK", "0"))


def _leave(code: int) -> NoReturn:
    """End this process at once, whatever frameworks would make of an exception."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
