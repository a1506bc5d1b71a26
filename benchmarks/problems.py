"""The training problems that the searches are compared on: exact noisy quadratics and small real tasks.

A problem turns learning-rate curves into final losses, many at once: `score(lrs, seeds)`. On a quadratic the expected
final loss is exact; a real task trains one model a row, from the initialisation and batch order of its seed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

EXPLODED = 1e6


@dataclass(frozen=True)
class Problem:
    """total_updates: the horizon. base_lr: the range searched. untrained: the loss before training; peers that cannot
    take a divergence are told twice that. evaluation_seeds: how many fresh seeds the true loss is the mean of; 1 where
    it is exact. cheap: many search seeds are affordable."""

    name: str
    title: str
    total_updates: int
    base_lr: tuple[float, float]
    untrained: float
    evaluation_seeds: int
    cheap: bool

    def score(self, lrs: Array, seeds: Sequence[int]) -> Array:
        """What a search is told for lrs (K, T), each trained with its own seed: (K,); NaN where it diverged."""
        raise NotImplementedError

    def truth(self, lrs: Array, seeds: int | None = None) -> Array:
        """Losses on the evaluation seeds, the same for all curves: lrs (K, T) -> (K, seeds)."""
        count = seeds or self.evaluation_seeds
        rows = np.repeat(lrs, count, axis=0)
        return self.score(rows, [10_000 + index % count for index in range(len(rows))]).reshape(len(lrs), count)


# ---- exact noisy quadratics


@dataclass(frozen=True)
class Quadratic(Problem):
    """SGD on sum_i h_i x_i^2 / 2 with gradient noise of variance s_i, whose expected final loss is exact:

        E[x_i^2] <- (1 - lr_t h_i(t))^2 E[x_i^2] + lr_t^2 s_i,     h_i(t) = h_i (1 + sharp exp(-t / sharp_updates))

    so a problem with sharp > 0 is steeper at the start and asks for protection there. Losses are in units of the loss
    at the start. A run whose expected loss exceeds 1e6 at any update has diverged. noise_share: relative noise of the
    scores that a search is told (the truth stays exact).
    """

    curvature: tuple[float, ...] = ()
    start: tuple[float, ...] = ()
    noise: tuple[float, ...] = ()
    sharp: float = 0.0
    sharp_updates: float = 1.0
    noise_share: float = 0.0

    def score(self, lrs: Array, seeds: Sequence[int]) -> Array:
        exact = self.exact(lrs)
        if not self.noise_share:
            return exact
        draws = [_noise_of(curve, seed) for curve, seed in zip(lrs, seeds, strict=True)]
        return exact * np.exp(self.noise_share * np.array(draws))

    def truth(self, lrs: Array, seeds: int | None = None) -> Array:
        return self.exact(lrs)[:, None]

    def exact(self, lrs: Array) -> Array:
        """Expected final loss of lrs (K, T): (K,); NaN where it diverged."""
        chunk = 512
        return np.concatenate([self._chunk(lrs[at : at + chunk]) for at in range(0, len(lrs), chunk)])

    def _chunk(self, lrs: Array) -> Array:
        h, s = np.array(self.curvature), np.array(self.noise)
        square = np.tile(np.square(self.start), (len(lrs), 1))
        unit = 0.5 * float(h @ np.square(self.start))
        steep = 1 + self.sharp * np.exp(-np.arange(lrs.shape[1]) / self.sharp_updates)
        alive = np.ones(len(lrs), dtype=bool)
        with np.errstate(over="ignore", invalid="ignore"):
            for t in range(lrs.shape[1]):
                lr = lrs[:, t : t + 1]
                square *= np.square(1 - lr * (h * steep[t]))
                square += lr * lr * s
                alive &= 0.5 * (square @ h) < EXPLODED * unit
        loss = 0.5 * square @ h / unit
        return np.where(alive, loss, np.nan)


def _noise_of(curve: Array, seed: int) -> float:
    """A standard normal draw that belongs to this curve and seed."""
    return float(np.random.default_rng([seed, int(np.float64(curve.sum()).view(np.uint64))]).standard_normal())


def _quadratic(name: str, title: str, spectrum: Array, start: Array, noise: Array, **more: float) -> Quadratic:
    return Quadratic(
        name=name,
        title=title,
        total_updates=300,
        base_lr=(1e-2, 10.0),
        untrained=1.0,
        evaluation_seeds=1,
        cheap=True,
        curvature=tuple(spectrum),
        start=tuple(start),
        noise=tuple(noise),
        **more,
    )


def _quadratics() -> list[Quadratic]:
    i = np.arange(1, 65)
    power = 1 / i
    wide = np.logspace(-3, 0, 64)
    two = np.concatenate([np.full(8, 1.0), np.logspace(-2.5, -1.0, 56)])
    a = {"spectrum": power, "start": np.ones(64), "noise": 0.6 * power}
    return [
        _quadratic("A", "noisy quadratic A: curvature 1 / i, noise like curvature", **a),
        _quadratic(
            "B", "noisy quadratic B: curvatures over three decades", wide, 1 / np.sqrt(wide) ** 0.5, np.full(64, 0.03)
        ),
        _quadratic(
            "C",
            "noisy quadratic C: a steep and a flat group, 21 times as steep at the start",
            two,
            np.ones(64),
            0.5 * two**1.5,
            sharp=20.0,
            sharp_updates=10.0,
        ),
        _quadratic("A5", "noisy quadratic A, scores with 5 % noise", **a, noise_share=0.05),
    ]


def names() -> list[str]:
    """Every problem, cheapest first."""
    return list(_MAKERS)


def problem(name: str) -> Problem:
    """The problem of this name; data are loaded and made on first use."""
    if name not in _MAKERS:
        raise ValueError(f"There is no problem {name!r}: choose among {', '.join(_MAKERS)}.")
    return _MAKERS[name]()


def _real(name: str) -> Problem:
    from tasks import real_problem

    return real_problem(name)


_MAKERS: dict[str, Callable[[], Problem]] = {
    **{one.name: (lambda one=one: one) for one in _quadratics()},
    **{name: (lambda name=name: _real(name)) for name in ("digits", "mnist1d-mlp", "chars", "mnist1d-conv", "mnist5k")},
}
