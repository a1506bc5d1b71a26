"""The state of a script's training in files of its run's folder, and everything of it that the script need not name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from schedsearch.errors import InvalidInput
from schedsearch.task.randomness import generator_states, restore_generators


def write_state(path: Path, state: Mapping[str, Any]) -> None:
    """Whole or not at all."""
    new = path.with_suffix(".new")
    torch.save(dict(state), new)
    new.replace(path)


def read_state(path: Path) -> dict[str, Any]:
    """Runs no code that may be in the file."""
    found: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
    return found


def taken_apart(given: Mapping[str, Any], device: str) -> dict[str, Any]:
    """What to write: the states of objects that have one, other values as they are, and the random generators."""
    objects = {name: one.state_dict() for name, one in given.items() if hasattr(one, "state_dict")}
    values = {name: one for name, one in given.items() if name not in objects}
    return {"objects": objects, "values": values, "generators": generator_states(torch.device(device))}


def put_together(state: Mapping[str, Any], objects: Mapping[str, Any], device: str) -> dict[str, Any]:
    """Give the objects their states back, then the generators theirs; the values. Raises InvalidInput for a name under
    which nothing was saved, or an object that was left out."""
    saved = state["objects"]
    if set(saved) != set(objects):
        raise InvalidInput(
            f"`load_checkpoint` must be given the objects that were saved ({', '.join(sorted(saved))}), but got "
            f"{', '.join(sorted(objects)) or 'none'}."
        )
    for name, one in objects.items():
        one.load_state_dict(saved[name])
    restore_generators(state["generators"], device=torch.device(device))
    values: dict[str, Any] = state["values"]
    return values
