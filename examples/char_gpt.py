"""A small GPT learns the text of Python's own help, character by character; it sets its LR by hand, as many do.

    python examples/char_gpt.py --max-updates 300                                       # alone, as ever
    schedsearch launch --trials 24 -- python examples/char_gpt.py --max-updates 300     # which schedule is best?

Gradients are accumulated over micro-batches: an update is what the optimizer does, not a batch. Lines that attach it to
schedsearch end in `# +`.
"""

import argparse
import math
from pydoc_data.topics import topics

import torch
from torch import Tensor, nn

import schedsearch  # +

parser = argparse.ArgumentParser()
parser.add_argument("--max-updates", type=int, default=300)
parser.add_argument("--accumulate", type=int, default=2, help="micro-batches an update")
parser.add_argument("--batch-size", type=int, default=16, help="sequences a micro-batch")
parser.add_argument("--block-size", type=int, default=64, help="characters a sequence")
parser.add_argument("--width", type=int, default=64)
parser.add_argument("--layers", type=int, default=2)
parser.add_argument("--heads", type=int, default=4)
parser.add_argument("--lr", type=float, default=3e-3)
given = parser.parse_args()
run = schedsearch.attach(seed=1337)  # +

text = "\n".join(topics[name] for name in sorted(topics))
symbols = {one: index for index, one in enumerate(sorted(set(text)))}
encoded = torch.tensor([symbols[one] for one in text])
training, validation = encoded.tensor_split([int(0.9 * len(encoded))])


class Block(nn.Module):
    """Causal self-attention and a feed-forward net, each with a residual."""

    def __init__(self) -> None:
        super().__init__()
        self.before_attention, self.before_net = nn.LayerNorm(given.width), nn.LayerNorm(given.width)
        self.attention = nn.Linear(given.width, 3 * given.width)
        self.projection = nn.Linear(given.width, given.width)
        self.net = nn.Sequential(
            nn.Linear(given.width, 4 * given.width), nn.GELU(), nn.Linear(4 * given.width, given.width)
        )

    def forward(self, x: Tensor) -> Tensor:
        shape = (len(x), -1, 3, given.heads, given.width // given.heads)
        query, key, value = self.attention(self.before_attention(x)).view(shape).permute(2, 0, 3, 1, 4)
        mixed = nn.functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        x = x + self.projection(mixed.transpose(1, 2).flatten(2))
        return x + self.net(self.before_net(x))


class CharGPT(nn.Module):
    """Logits of the next character at every place."""

    def __init__(self) -> None:
        super().__init__()
        self.characters = nn.Embedding(len(symbols), given.width)
        self.places = nn.Embedding(given.block_size, given.width)
        self.blocks = nn.Sequential(*(Block() for _ in range(given.layers)), nn.LayerNorm(given.width))
        self.head = nn.Linear(given.width, len(symbols), bias=False)

    def forward(self, x: Tensor) -> Tensor:
        places = self.places.weight[: x.shape[1]]
        return self.head(self.blocks(self.characters(x) + places))


def batch(data: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
    starts = torch.randint(len(data) - given.block_size, (given.batch_size, 1), generator=generator)
    places = starts + torch.arange(given.block_size)
    return data[places], data[places + 1]


def loss_of(x: Tensor, y: Tensor) -> Tensor:
    return nn.functional.cross_entropy(model(x).flatten(0, 1), y.flatten())


@torch.no_grad()
def estimate_loss(batches: int = 20) -> float:
    fixed = torch.Generator().manual_seed(0)
    return sum(loss_of(*batch(validation, fixed)).item() for _ in range(batches)) / batches


def get_lr(update: int) -> float:
    """Linear warm-up over the first twentieth, then cosine to a tenth."""
    warmup = max(1, given.max_updates // 20)
    if update < warmup:
        return given.lr * (update + 1) / (warmup + 1)
    progress = (update - warmup) / max(1, given.max_updates - warmup)
    return given.lr * (0.1 + 0.45 * (1 + math.cos(math.pi * progress)))


torch.manual_seed(run.seed)  # +
model = CharGPT()
optimizer = torch.optim.AdamW(model.parameters(), lr=given.lr, betas=(0.9, 0.99), weight_decay=0.1)
for update in range(given.max_updates):
    lr = run.lr(update, total_updates=given.max_updates, default=get_lr)  # +
    for group in optimizer.param_groups:
        group["lr"] = lr
    total_loss = 0.0
    for _ in range(given.accumulate):
        loss = loss_of(*batch(training)) / given.accumulate
        loss.backward()
        total_loss += loss.item()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    run.report(loss=total_loss)  # +
    if (update + 1) % 50 == 0 or update + 1 == given.max_updates:
        val_loss = estimate_loss()
        print(f"update {update}: loss {total_loss:.3f}, validation loss {val_loss:.3f}, LR {lr:.3g}")
        run.report(val_loss=val_loss)  # +
