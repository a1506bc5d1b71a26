"""Find and verify the learning-rate schedule for your own PyTorch training task."""

from typing import TYPE_CHECKING, Any

from schedsearch.schedule import Schedule
from schedsearch.script import Run, attach

if TYPE_CHECKING:
    from schedsearch.api import Study, find_schedule, open_study

__version__ = "0.1.0"
__all__ = ["Run", "Schedule", "Study", "__version__", "attach", "find_schedule", "open_study"]


def __getattr__(name: str) -> Any:
    """`find_schedule`, `open_study` and `Study` on first use: they import what a training script has no need of."""
    if name in ("Study", "find_schedule", "open_study"):
        from schedsearch import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
