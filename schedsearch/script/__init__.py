"""A training script of the user's, run as it is: two lines attach it to a study, and alone it trains as before."""

from schedsearch.script.run import REHEARSED, Run, attach

__all__ = ["REHEARSED", "Run", "attach"]
