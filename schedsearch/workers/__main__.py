"""`python -m schedsearch.workers`: what `launch` starts once for each worker. The storage URL comes by environment."""

from __future__ import annotations

import argparse
import logging
import os
import sys

from schedsearch.errors import SchedsearchError
from schedsearch.workers.serve import serve


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m schedsearch.workers")
    parser.add_argument("--study")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int)
    given = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        serve(
            os.environ["SCHEDSEARCH_STORAGE"], study=given.study, device=given.device, threads=given.threads
        )
    except SchedsearchError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
