"""`python -m schedsearch.script my_training.py:train`: a training function, called once with its run.

Attached where a study started it, else alone.
"""

import sys

from schedsearch.errors import SchedsearchError
from schedsearch.script.run import attach
from schedsearch.task.loading import training_function


def main() -> int:
    """Exit code 2, and a sentence, where there is no such function; whatever it raises goes through."""
    reference = sys.argv[1]
    sys.argv = [reference]  # the function's own argparse, if it has one, finds no arguments
    try:
        function = training_function(reference)
    except SchedsearchError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 2
    function(attach())
    return 0


if __name__ == "__main__":
    sys.exit(main())
