"""A schedule handed over for Lightning: the PyTorch scheduler, stepped once an update."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from schedsearch.report.exports.pytorch import CHECK, MAIN, scheduler_text
from schedsearch.report.exports.settings import Curve
from schedsearch.report.exports.text import python_file
from schedsearch.schedule import Schedule

HEAD = '''"""{title}

Found for {total_updates} optimizer updates; it stretches to any other number. For Lightning (`lightning` or
`pytorch_lightning`, automatic optimization), whose Trainer steps the scheduler after every optimizer update, also under
gradient accumulation; needs PyTorch only:

    class Model(TrainedSchedule, LightningModule):     # its `configure_optimizers` gives one optimizer
        ...

or, at the end of a `configure_optimizers` of your own:

    return {{"optimizer": optimizer, "lr_scheduler": lr_scheduler_config(optimizer, total_updates)}}

The first parameter group trains at `lr(t)`, whatever learning rate the optimizer was made with; the other groups keep
their ratio to it. Past the last update the last value is held. Run this file to check it against the learning rates
that were trained.

{transfer}"""

'''

CONFIG = '''

def lr_scheduler_config(optimizer: Optimizer, total_updates: int = TOTAL_UPDATES) -> dict[str, Any]:
    """What Lightning takes as `lr_scheduler`: stepped after every optimizer update, not after every epoch."""
    scheduler = make_scheduler(optimizer, total_updates)
    return {"scheduler": scheduler, "interval": "step", "frequency": 1}


class TrainedSchedule:
    """A mix-in to stand before LightningModule, over the Trainer's own number of optimizer updates.

    The `configure_optimizers` of the module below gives one optimizer and no scheduler. Raises ValueError for a
    Trainer without an end (max_steps = -1 and max_epochs = -1).
    """

    def configure_optimizers(self) -> dict[str, Any]:
        optimizer = super().configure_optimizers()
        total_updates = self.trainer.estimated_stepping_batches
        if not math.isfinite(total_updates):
            raise ValueError("The Trainer must have an end: set `max_steps` or `max_epochs`.")
        return {"optimizer": optimizer, "lr_scheduler": lr_scheduler_config(optimizer, int(total_updates))}
'''


def export_lightning(
    schedule: Schedule, total_updates: int, updates_per_epoch: int | None, provenance: Mapping[str, Any]
) -> str:
    """The text of a Python module with `lr_scheduler_config(optimizer, total_updates=T)` and the mix-in
    `TrainedSchedule` around what `export_torch` gives. Raises InvalidSchedule for an impossible horizon."""
    curve = Curve(schedule, total_updates, updates_per_epoch)
    imports, make = scheduler_text(curve)
    imports = imports.replace("\nimport torch\n", "from typing import Any\n\nimport torch\n")
    return python_file(curve, provenance, HEAD, imports, "".join([make, CONFIG, CHECK, MAIN]))
