"""Splits as torch sees them: checked, counted, hashed, moved to a device, cut into batches."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeGuard

import torch
from torch import Tensor

from schedsearch.errors import InvalidTask
from schedsearch.task.splits import Batch, Splits, Tensors

EVALUATION_BATCH = 1000


def in_memory(split: Tensors | Iterable[Batch]) -> TypeGuard[Tensors]:
    """True for a tuple of tensors, one row an example."""
    return isinstance(split, tuple) and len(split) > 0 and all(isinstance(one, Tensor) for one in split)


def checked(splits: Any) -> Splits:
    """The splits, if they can be trained on. Raises InvalidTask with every fault."""
    if not isinstance(splits, Splits):
        raise InvalidTask(f"data() must return Splits(train, validation, test), but returned {type(splits).__name__}.")
    faults = [fault for name, split in splits.items() for fault in _faults(name, split)]
    if faults:
        raise InvalidTask(faults)
    return splits


def _faults(name: str, split: Any) -> list[str]:
    if in_memory(split):
        lengths = [len(one) if one.dim() else 0 for one in split]
        if min(lengths) != max(lengths):
            return [f"The {name} data must have as many rows in every tensor, but has {', '.join(map(str, lengths))}."]
        return [] if lengths[0] else [f"The {name} data is empty."]
    if not isinstance(split, Iterable):
        return [f"The {name} data must be a tuple of tensors or an iterable of batches, but is {type(split).__name__}."]
    if isinstance(split, Iterator):
        return [f"The {name} data must be an iterable that can be walked again, but is an iterator that ends."]
    return [f"The {name} data is empty."] if _length(split) == 0 else []


def _length(split: Any) -> int | None:
    return len(split) if hasattr(split, "__len__") else None


def updates_per_epoch(train: Tensors | Iterable[Batch], batch_size: int) -> int:
    """Full batches in one pass over the training data. Raises InvalidTask where there is none, or no way to count."""
    if not in_memory(train):
        length = _length(train)
        if length is None:
            raise InvalidTask("The training data needs a length (`__len__`: batches of one pass), but has none.")
        return length
    if batch_size > len(train[0]):
        raise InvalidTask(
            f"`batch_size` must be at most the {len(train[0])} training examples, but is {batch_size} instead."
        )
    return len(train[0]) // batch_size


def to_device(value: Any, device: torch.device) -> Any:
    """A batch with every tensor in it on the device; tuples, lists and mappings are walked, other values kept."""
    if isinstance(value, Tensor):
        return value.to(device, non_blocking=True)
    if isinstance(value, Mapping):
        return {key: to_device(one, device) for key, one in value.items()}
    if isinstance(value, tuple | list):
        return tuple(to_device(one, device) for one in value)
    return value


def moved(splits: Splits, device: torch.device) -> Splits:
    """The splits with everything that is in memory on the device; iterables are moved batch by batch, later."""

    def move(split: Tensors | Iterable[Batch]) -> Tensors | Iterable[Batch]:
        return tuple(one.to(device) for one in split) if in_memory(split) else split

    return Splits(move(splits.train), move(splits.validation), None if splits.test is None else move(splits.test))


def evaluation_batches(split: Tensors | Iterable[Batch], device: torch.device) -> Iterator[Batch]:
    """Every example once, in order."""
    if in_memory(split):
        for start in range(0, len(split[0]), EVALUATION_BATCH):
            yield tuple(one[start : start + EVALUATION_BATCH] for one in split)
        return
    for batch in split:
        yield to_device(batch, device)


def examples_in(batch: Batch) -> int:
    """The number of examples in a batch: rows of the first tensor found in it, 1 where there is none."""
    if isinstance(batch, Tensor):
        return len(batch) if batch.dim() else 1
    parts = batch.values() if isinstance(batch, Mapping) else batch if isinstance(batch, tuple | list) else ()
    return next((examples_in(one) for one in parts), 1)


def content_digest(splits: Splits) -> str:
    """sha256 of the content in memory. Of an iterable only its type and length can be told: its order may be random."""
    digest = hashlib.sha256()
    for name, split in splits.items():
        digest.update(name.encode())
        if not in_memory(split):
            digest.update(f"{type(split).__qualname__} {_length(split)}".encode())
            continue
        for one in split:
            digest.update(f"{one.dtype} {tuple(one.shape)}".encode())
            digest.update(one.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
