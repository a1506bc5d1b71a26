"""Hugging Face Transformers: `ScheduledTrainer` where `Trainer` stood, or `ReportCallback` alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sized
from typing import TYPE_CHECKING, Any, cast

from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

if TYPE_CHECKING:
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler

    from schedsearch.script.run import Run

__all__ = ["ReportCallback", "ScheduledTrainer"]

SPEEDS = ("_runtime", "_per_second", "_time")


class ReportCallback(TrainerCallback):
    """Reports the loss that the trainer logs and what it evaluates, ends the training when the study asks for it.

    `eval_loss` is reported as `val_loss`, every other `eval_*` under its own name. The loss is the mean since the
    trainer logged last: `logging_steps=1` shows every update's. A loss that is not finite is reported as it is, for a
    run that diverged is to end. A `TrainingArguments.seed` other than the run's is a fault.
    """

    def __init__(self, run: Run) -> None:
        self._run = run

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Before the first update."""
        if not self._run.is_attached:
            return
        args.logging_nan_inf_filter = False
        if args.seed != self._run.seed:
            self._run.fault(
                f"`seed` of TrainingArguments must be run.seed, {self._run.seed}, but is {args.seed} instead."
            )

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """After an update."""
        if self._run.should_stop:
            control.should_training_stop = True

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """The training loss, where this is one."""
        if logs and "loss" in logs:
            self._run.report(loss=logs["loss"])

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: Mapping[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """What an evaluation found, how fast it was left out."""
        found = {name: value for name, value in (metrics or {}).items() if name.startswith("eval_")}
        shown = {name: value for name, value in found.items() if not name.endswith(SPEEDS)}
        if "eval_loss" in shown:
            shown["val_loss"] = shown.pop("eval_loss")
        self._run.report(**shown)


class ScheduledTrainer(Trainer):
    """A Trainer whose scheduler is the run's, one step an optimizer update; started alone it is a plain Trainer.

    run: of `attach()`. Everything else goes to Trainer, or to the next class: `class Mine(ScheduledTrainer, Other)`
    does the same for a trainer of your own. Attached, a scheduler that was handed in is left out.
    """

    def __init__(self, *args: Any, run: Run, **kwargs: Any) -> None:
        self._run = run
        super().__init__(*args, **kwargs)
        self.add_callback(ReportCallback(run))

    def create_scheduler(self, num_training_steps: int, optimizer: Optimizer | None = None) -> LRScheduler:
        """The scheduler for that many optimizer updates."""
        if not self._run.is_attached:
            return super().create_scheduler(num_training_steps, optimizer)
        used: Any = optimizer or self.optimizer
        epoch = self._updates_per_epoch(num_training_steps)
        made = self._run.scheduler(used, total_updates=num_training_steps, updates_per_epoch=epoch)
        self.lr_scheduler = cast(Any, made)  # Trainer names it after its own
        return made

    def _updates_per_epoch(self, total_updates: int) -> int:
        if self.args.max_steps <= 0:
            return max(1, round(total_updates / self.args.num_train_epochs))
        if not isinstance(self.train_dataset, Sized):
            return 1
        examples = self.get_total_train_batch_size(self.args)  # of one update
        return max(1, math.ceil(len(self.train_dataset) / examples))
