"""An ordinary training script of scikit-learn's digits, attached to schedsearch by the five lines that end in `# +`.

    python examples/digits_script.py --epochs 4                                       # alone, as ever
    schedsearch launch --trials 24 -- python examples/digits_script.py --epochs 4     # which schedule is best?
"""

import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR
from torch.utils.data import DataLoader, TensorDataset

import schedsearch  # +

parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, default=4)
given = parser.parse_args()
run = schedsearch.attach(seed=0)  # +

torch.manual_seed(run.seed)
x, y = load_digits(return_X_y=True)
x, y = torch.tensor(x, dtype=torch.float32) / 16, torch.tensor(y)
training, validation = TensorDataset(x[:1300], y[:1300]), (x[1300:], y[1300:])
batches = DataLoader(training, batch_size=64, shuffle=True, drop_last=True)
model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
total = given.epochs * len(batches)
scheduler = run.scheduler(optimizer, total_updates=total, default=lambda one: CosineAnnealingLR(one, total))  # +

for epoch in range(given.epochs):
    for inputs, labels in batches:
        loss = nn.functional.cross_entropy(model(inputs), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        run.report(loss=loss.item())  # +
    with torch.no_grad():
        val_loss = nn.functional.cross_entropy(model(validation[0]), validation[1]).item()
    print(f"epoch {epoch}: validation loss {val_loss:.4f}")
    run.report(val_loss=val_loss)  # +
