"""A character language model on the help topics that come with Python; schedules differ here far beyond noise."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor, nn

from schedsearch.task.builtin.data import shuffled
from schedsearch.task.options import option
from schedsearch.task.splits import Batch, Splits
from schedsearch.task.task import Task

HEADS = 4
START = 0.3
"""Standard deviation of the embeddings at the start."""
THINNING = 3
"""Every how many validation windows one is looked at: validation is looked at 20 times a run."""


class CharLM(Task):
    """About 460,000 characters of 103 kinds (both vary with the Python version); a small transformer and AdamW."""

    base_lr_range = (0.001, 0.1)
    total_updates = 300
    batch_size = 32
    optimizer = "adamw"
    weight_decay = 0.01
    context: int = option(32, "characters seen at once", at_least=2)
    head_width: int = option(8, "of each of the 4 attention heads", at_least=1)
    layers: int = option(2, "transformer layers", at_least=1)

    def model(self) -> nn.Module:
        return Transformer(len(_alphabet()), self.context, HEADS * self.head_width, self.layers)

    def data(self) -> Splits:
        train, validation, test = (_windows(text, self.context) for text in _texts())
        seldom = validation[::THINNING]
        return Splits(*((part[:, :-1], part[:, 1:]) for part in (train, seldom, test)))

    def loss(self, output: Tensor, batch: Batch) -> Tensor:
        return nn.functional.cross_entropy(output.flatten(0, 1), batch[1].flatten())


class Transformer(nn.Module):
    """Post-norm as in Vaswani et al. 2017, causal. Characters (batch, length) to logits (batch, length, characters)."""

    def __init__(self, characters: int, context: int, width: int, layers: int) -> None:
        super().__init__()
        self.character = nn.Embedding(characters, width)
        self.position = nn.Embedding(context, width)
        self.blocks = nn.Sequential(*(Block(width) for _ in range(layers)))
        self.norm = nn.LayerNorm(width)
        self.logits = nn.Linear(width, characters)
        for embedding in (self.character, self.position):
            nn.init.normal_(embedding.weight, std=START)

    def forward(self, characters: Tensor) -> Tensor:
        positions = torch.arange(characters.shape[1], device=characters.device)
        found: Tensor = self.logits(self.norm(self.blocks(self.character(characters) + self.position(positions))))
        return found


class Block(nn.Module):
    """Attention to what came before, then a perceptron; each is added to its input and the sum is normalised."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.after_attention, self.after_perceptron = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.perceptron = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        x = self.after_attention(x + self.out(self._attention(x)))
        changed: Tensor = self.after_perceptron(x + self.perceptron(x))
        return changed

    def _attention(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        q, k, v = self.qkv(x).view(batch, length, 3, HEADS, -1).permute(2, 0, 3, 1, 4)
        found = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return found.transpose(1, 2).reshape(batch, length, width)


@lru_cache(maxsize=1)
def _topics() -> tuple[str, ...]:
    """The texts, each once, in an order of their own."""
    from pydoc_data.topics import topics  # needed by this task only

    return tuple(sorted(set(topics.values())))


@lru_cache(maxsize=1)
def _alphabet() -> dict[str, int]:
    return {character: number for number, character in enumerate(sorted(set("".join(_topics()))))}


@lru_cache(maxsize=1)
def _texts() -> tuple[str, str, str]:
    """Whole topics in a fixed random order: the last tenth of the text tests, the tenth before it validates."""
    topics = _topics()
    order = [topics[row] for row in shuffled(len(topics)).tolist()]
    size, done = sum(map(len, order)), 0
    parts: tuple[list[str], list[str], list[str]] = ([], [], [])
    for topic in order:
        parts[(done >= 0.8 * size) + (done >= 0.9 * size)].append(topic)
        done += len(topic)
    return "".join(parts[0]), "".join(parts[1]), "".join(parts[2])


def _windows(text: str, context: int) -> Tensor:
    """Windows of context + 1 characters that share one character with the next: shape (windows, context + 1)."""
    alphabet = _alphabet()
    return torch.tensor([alphabet[one] for one in text]).unfold(0, context + 1, context)
