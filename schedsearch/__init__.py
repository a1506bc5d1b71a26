"""Find and verify the learning-rate schedule for your own PyTorch training task."""

from schedsearch.schedule import Schedule
from schedsearch.script import Run, attach

__version__ = "0.1.0"
__all__ = ["Run", "Schedule", "__version__", "attach"]
