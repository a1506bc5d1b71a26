"""One run: the loop, what ends it, and the devices it can be on."""

from schedsearch.training.loop import train
from schedsearch.training.spec import Measurement, Outcome, RunSpec

__all__ = ["Measurement", "Outcome", "RunSpec", "train"]
