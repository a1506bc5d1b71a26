"""A schedule handed over for Keras: a LearningRateSchedule that is saved with its model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from schedsearch.report.exports.settings import Curve
from schedsearch.report.exports.text import python_file
from schedsearch.schedule import Schedule

HEAD = '''"""{title}

Found for {total_updates} optimizer updates; it stretches to any other number. For Keras 3 on any backend:

    optimizer = keras.optimizers.AdamW(TrainedSchedule(total_updates))   # steps_per_epoch * epochs

Keras counts optimizer updates itself; past the last update the last value is held. Learning rates are float32, rounded
once. Import this file before a saved model is loaded. Run this file to check it against the learning rates that were
trained.

{transfer}"""

'''

IMPORTS = """
import math

import keras
import numpy as np
from keras import ops
"""

USE = '''

@keras.saving.register_keras_serializable(package="schedsearch")
class TrainedSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """The learning rate over `total_updates` optimizer updates."""

    def __init__(self, total_updates: int = TOTAL_UPDATES) -> None:
        self.total_updates = total_updates
        self._lrs = np.array([lr(t, total_updates) for t in range(total_updates)], dtype="float32")

    def __call__(self, step):
        update = ops.minimum(ops.cast(step, "int32"), self.total_updates - 1)
        return ops.take(ops.convert_to_tensor(self._lrs), update)

    def get_config(self) -> dict[str, int]:
        return {"total_updates": self.total_updates}


def check() -> None:
    """Raise ValueError unless this file gives the learning rates that were trained, as a function and in Keras."""
    check_values()
    schedule = TrainedSchedule()
    for t in range(min(TOTAL_UPDATES, 10_000)):
        present = float(ops.convert_to_numpy(schedule(t)))
        if not math.isclose(present, lr(t), rel_tol=1e-6, abs_tol=1e-12 * BASE_LR):
            raise ValueError(f"The schedule is at {present} in update {t}, but lr gives {lr(t)}.")


if __name__ == "__main__":
    check()
    print(f"{len(TEST_VALUES)} learning rates of {TOTAL_UPDATES} updates agree; the schedule follows them.")
'''


def export_keras(
    schedule: Schedule, total_updates: int, updates_per_epoch: int | None, provenance: Mapping[str, Any]
) -> str:
    """The text of a Python module with the class `TrainedSchedule(total_updates=T)` for Keras 3.

    It looks up the closed form, computed in float64, so that float32 moves no drop to another update. Raises
    InvalidSchedule for an impossible horizon.
    """
    return python_file(Curve(schedule, total_updates, updates_per_epoch), provenance, HEAD, IMPORTS, USE)
