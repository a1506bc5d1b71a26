"""Softmax regression on scikit-learn's digits in NumPy, with no optimizer object anywhere: a training function.

    python -m schedsearch.script examples/numpy_function.py:train                     # once, alone
    schedsearch launch --trials 24 --task examples/numpy_function.py:train            # which schedule is best?
"""

from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

from schedsearch import Run

EPOCHS, BATCH = 3, 64


def probabilities(weights: np.ndarray, x: np.ndarray) -> np.ndarray:
    scores = x @ weights
    exponentials = np.exp(scores - scores.max(1, keepdims=True))
    return exponentials / exponentials.sum(1, keepdims=True)


def train(run: Run) -> None:
    """One training; its best weights go to a file of this run alone."""
    x, y = load_digits(return_X_y=True)
    x, one_hot = np.hstack([x / 16, np.ones((len(x), 1))]), np.eye(10)[y]
    draws = np.random.default_rng(run.seed)
    weights = 0.01 * draws.normal(size=(65, 10))
    batches = 1300 // BATCH
    total = EPOCHS * batches
    for update in range(total):
        if update % batches == 0:
            order = draws.permutation(1300)
        rows = order[update % batches * BATCH :][:BATCH]
        error = probabilities(weights, x[rows]) - one_hot[rows]
        lr = run.lr(update, total_updates=total, default=lambda t: 0.5)
        weights -= lr * x[rows].T @ error / BATCH
        if update % batches == batches - 1:
            true = (probabilities(weights, x[1300:]) * one_hot[1300:]).sum(1)
            run.report(val_loss=float(-np.log(np.maximum(true, 1e-12)).mean()))
            np.save(Path(run.folder) / "weights.npy", weights)
