"""Lightning: `schedule_optimizer` in `configure_optimizers`, `ReportCallback` in the trainer's callbacks."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from lightning.pytorch import Callback, LightningModule, Trainer, seed_everything

from schedsearch.errors import InvalidInput

if TYPE_CHECKING:
    from torch.optim import Optimizer

    from schedsearch.script.run import Run

__all__ = ["ReportCallback", "schedule_optimizer"]

SEED_VARIABLE = "PL_GLOBAL_SEED"  # what Lightning's seed_everything leaves behind


def schedule_optimizer(
    run: Run, module: LightningModule, optimizer: Optimizer, *, default: Callable[[Optimizer], Any] | None = None
) -> dict[str, Any]:
    """What `configure_optimizers` returns: this optimizer, and a scheduler that Lightning steps after every update.

    default: makes what the module returned as its `lr_scheduler`, a scheduler or Lightning's dictionary of one, which
    it gets when it was started alone; left out, there is none then. Raises InvalidInput where the trainer knows no
    number of updates.
    """
    if not run.is_attached:
        return {"optimizer": optimizer, **({"lr_scheduler": default(optimizer)} if default else {})}
    trainer = module.trainer
    total = trainer.estimated_stepping_batches
    if not math.isfinite(total) or total < 1:
        raise InvalidInput(
            f"The trainer's `estimated_stepping_batches` must be at least 1 and finite, but is {total} instead: "
            "give it `max_steps` or `max_epochs`."
        )
    scheduler = run.scheduler(optimizer, total_updates=int(total), updates_per_epoch=_updates_per_epoch(trainer))
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


class ReportCallback(Callback):
    """Reports the loss of every update and what validation logged, ends the training when the study asks for it.

    The score is what `validation_step` logged under the name of `--metric`; names that begin with `train` are left
    out. Under gradient accumulation the loss of an update is the mean of its batches, as Lightning scales it. The seed
    is the run's: set here where the script set none, and a fault where `seed_everything` was given another one.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._loss = 0.0
        self._updates = 0

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Before data and optimizers are made."""
        if not self._run.is_attached or stage != "fit":
            return
        seed, wanted = os.environ.get(SEED_VARIABLE), self._run.seed
        if seed is None:
            seed_everything(wanted, workers=True, verbose=False)
        elif int(seed) != wanted:
            self._run.fault(f"`seed_everything` must be given run.seed, {wanted}, but was given {seed} instead.")

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """After a batch, and the update where there was one."""
        if not self._run.is_attached:
            return
        loss = outputs.get("loss") if isinstance(outputs, Mapping) else outputs
        self._loss += 0.0 if loss is None else float(loss)
        if trainer.global_step == self._updates:
            return
        self._updates = trainer.global_step
        if loss is not None:
            self._run.report(loss=self._loss)
        self._loss = 0.0
        if self._run.should_stop:
            trainer.should_stop = True

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """After validation, that of the sanity check left out."""
        if trainer.sanity_checking:
            return
        shown = trainer.callback_metrics.items()
        self._run.report(**{name: float(value) for name, value in shown if not name.startswith(("train", "loss"))})


def _updates_per_epoch(trainer: Trainer) -> int:
    batches = trainer.num_training_batches
    return math.ceil(batches / trainer.accumulate_grad_batches) if math.isfinite(batches) else 1
