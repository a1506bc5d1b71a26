"""The child that tries a task: `python -m schedsearch.training REFERENCE --options JSON --answer FILE`."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from schedsearch.errors import SchedsearchError
from schedsearch.training.preflight import examine


def main() -> None:
    """Write the task's facts, or `{"fault": "one sentence"}`, into the answer file."""
    parser = argparse.ArgumentParser(prog="python -m schedsearch.training", description=__doc__)
    parser.add_argument("reference")
    parser.add_argument("--options", type=json.loads, default={})
    parser.add_argument("--answer", type=Path, required=True)
    given = parser.parse_args()
    try:
        answer: dict[str, Any] = asdict(examine(given.reference, given.options))
    except SchedsearchError as error:
        answer = {"fault": str(error)}
    given.answer.write_text(json.dumps(answer))


if __name__ == "__main__":
    main()
