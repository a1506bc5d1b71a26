"""Training batches without end, from a place that can be told and gone back to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self

import torch

from schedsearch.errors import InvalidTask
from schedsearch.task.randomness import generator_states, kept, restore_generators
from schedsearch.task.splits import Batch, Tensors
from schedsearch.task.tensors import in_memory, to_device


class BatchStream:
    """An iterator over batches, pass after pass.

    Data in memory: every pass has a new permutation drawn from `order`, and its full batches. An iterable of batches is
    walked again and again; what shuffles it draws from the general generators when a pass begins.

    `position` is the pass (by the generators with which it began) and the batches taken from it. `seek` on a new stream
    of the same data goes there: in memory at once, in an iterable by walking the pass again, so that it must give the
    same batches when the generators start alike. Raises InvalidTask when the data is empty.
    """

    def __init__(
        self, train: Tensors | Iterable[Batch], batch_size: int, order: torch.Generator, device: torch.device
    ) -> None:
        self._train = train
        self._batch_size = batch_size
        self._order = order
        self._device = device
        self._began: Mapping[str, Any] = {}
        self._taken = 0
        self._pass: Iterator[Batch] = iter(())
        self._ahead: list[Batch] = []

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Batch:
        if self._ahead:
            return self._ahead.pop()
        batch = next(self._pass, None)
        if batch is None:
            self._begin_pass()
            batch = next(self._pass, None)
        if batch is None:
            raise InvalidTask("The training data is empty.")
        self._taken += 1
        return batch

    def peek(self) -> Batch:
        """The next batch, which is still the next one."""
        self._ahead.append(next(self))
        return self._ahead[-1]

    def position(self) -> dict[str, Any]:
        """Where the stream is, as plain values and tensors."""
        return {"pass": dict(self._began), "taken": self._taken - len(self._ahead)}

    def seek(self, position: Mapping[str, Any]) -> None:
        """Go to a position of a stream like this one. Leaves the general generators as they are."""
        if not position["pass"]:
            return
        with kept(self._device):
            restore_generators(position["pass"], self._order)
            self._begin_pass()
            for _ in range(position["taken"]):
                next(self._pass)
        self._taken = position["taken"]

    def _begin_pass(self) -> None:
        train = self._train
        if in_memory(train):
            self._began = {"order": self._order.get_state()}
            self._pass = _drawn(train, self._batch_size, self._order)
        else:
            self._began = generator_states(self._device)
            self._pass = (to_device(batch, self._device) for batch in train)
        self._taken = 0


def _drawn(train: Tensors, batch_size: int, order: torch.Generator) -> Iterator[Tensors]:
    """One pass over data in memory."""
    examples = len(train[0])
    full = examples - examples % batch_size
    permutation = torch.randperm(examples, generator=order)[:full].to(train[0].device)
    return (tuple(one[rows] for one in train) for rows in permutation.view(-1, batch_size))
