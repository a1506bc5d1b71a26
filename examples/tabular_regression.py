"""How far does a car go on a gallon? A regression on a table of 392 cars, attached by the lines that end in `# +`.

    python examples/tabular_regression.py                                       # alone, as ever
    schedsearch launch --trials 24 -- python examples/tabular_regression.py     # which schedule is best?
"""

import argparse

import numpy as np
import torch
from mlxtend.data import autompg_data
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR

import schedsearch  # +

parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, default=30)
parser.add_argument("--batch-size", type=int, default=32)
parser.add_argument("--lr", type=float, default=0.01)
given = parser.parse_args()
run = schedsearch.attach(seed=0)  # +

columns, miles = autompg_data()
origins = np.eye(3)[columns[:, 6].astype(int) - 1]  # America, Europe, Japan
table = np.hstack([columns[:, :6], origins]).astype(np.float32)
shuffled = np.random.default_rng(0).permutation(len(table))
train, validation = shuffled[:300], shuffled[300:]
table = (table - table[train].mean(0)) / table[train].std(0)
x, y = torch.from_numpy(table), torch.tensor(miles, dtype=torch.float32)
center, scale = y[train].mean(), y[train].std()

torch.manual_seed(run.seed)  # +
model = nn.Sequential(nn.Linear(9, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1), nn.Flatten(0))
optimizer = torch.optim.AdamW(model.parameters(), lr=given.lr, weight_decay=0.01)
steps = len(train) // given.batch_size
total = given.epochs * steps
scheduler = run.scheduler(optimizer, total_updates=total, default=lambda one: CosineAnnealingLR(one, total))  # +

for epoch in range(given.epochs):
    order = torch.randperm(len(train))
    for step in range(steps):
        rows = train[order[step * given.batch_size : (step + 1) * given.batch_size].numpy()]
        loss = nn.functional.huber_loss(model(x[rows]), (y[rows] - center) / scale)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        run.report(loss=loss.item())  # +
    with torch.no_grad():
        error = model(x[validation]) * scale + center - y[validation]
    rmse = error.square().mean().sqrt().item()
    if (epoch + 1) % 5 == 0 or epoch + 1 == given.epochs:
        print(f"epoch {epoch}: root mean squared error {rmse:.3f} miles per gallon")
    run.report(val_loss=rmse, mean_absolute_error=error.abs().mean().item())  # +
