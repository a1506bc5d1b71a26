"""Softmax regression on scikit-learn's digits in NumPy, which imports nothing of schedsearch: it reads one LR an update
from a file and prints what validation shows.

    python examples/bare_script.py                                                    # alone, at LR 0.5
    schedsearch launch --trials 24 --total-updates 60 --base-lr 0.01 10 \
        --metric 'val_loss=validation loss ([0-9.]+)' -- python examples/bare_script.py --lrs {lrs} --seed {seed}
"""

import argparse
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

parser = argparse.ArgumentParser()
parser.add_argument("--lrs", type=Path, help="a file with one LR an update")
parser.add_argument("--seed", type=int, default=0)
given = parser.parse_args()

x, y = load_digits(return_X_y=True)
x, one_hot = np.hstack([x / 16, np.ones((len(x), 1))]), np.eye(10)[y]
draws = np.random.default_rng(given.seed)
weights = 0.01 * draws.normal(size=(65, 10))
rates = [0.5] * 60 if given.lrs is None else [float(line) for line in given.lrs.read_text().splitlines()]

for update, lr in enumerate(rates):
    rows = draws.choice(1300, 64, replace=False)
    scores = x[rows] @ weights
    exponentials = np.exp(scores - scores.max(1, keepdims=True))
    weights -= lr * x[rows].T @ (exponentials / exponentials.sum(1, keepdims=True) - one_hot[rows]) / 64
    if (update + 1) % 20 == 0:
        scores = x[1300:] @ weights
        right = scores[np.arange(len(scores)), y[1300:]]
        largest = scores.max(1)
        loss = (largest + np.log(np.exp(scores - largest[:, None]).sum(1)) - right).mean()
        print(f"update {update}: validation loss {loss:.4f}", flush=True)
