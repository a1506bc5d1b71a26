"""Find and verify the learning-rate schedule for your own PyTorch training task."""

from schedsearch.schedule import Schedule

__version__ = "0.1.0"
__all__ = ["Schedule", "__version__"]
