"""A LightningModule on MNIST-1D, attached to schedsearch by the lines that end in `# +`.

    python examples/lightning_module.py --epochs 5                                       # alone, as ever
    schedsearch launch --trials 24 -- python examples/lightning_module.py --epochs 5     # which schedule is best?
"""

import argparse
from typing import Any

import lightning
import torch
from mnist1d.data import get_dataset_args, make_dataset
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import schedsearch  # +
from schedsearch.script.adapters.lightning import ReportCallback, schedule_optimizer  # +


class Signals(lightning.LightningModule):
    """Ten kinds of signals, 40 samples each."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv1d(1, 24, 5, stride=2, padding=2),
            nn.ReLU(),
            nn.Conv1d(24, 24, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv1d(24, 24, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(24 * 5, 10),
        )

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        return nn.functional.cross_entropy(self.net(batch[0]), batch[1])

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        found = self.net(batch[0])
        self.log("val_loss", nn.functional.cross_entropy(found, batch[1]))
        self.log("val_accuracy", (found.argmax(1) == batch[1]).float().mean())

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.AdamW(self.parameters(), lr=0.01)
        return schedule_optimizer(run, self, optimizer, default=own)  # +


def own(optimizer: torch.optim.Optimizer) -> Any:
    """The scheduler that was there before: Lightning steps it once an epoch."""
    return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, given.epochs)


parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, default=5)
parser.add_argument("--batch-size", type=int, default=100)
parser.add_argument("--accumulate", type=int, default=1, help="batches an update")
given = parser.parse_args()
run = schedsearch.attach(seed=0)  # +
lightning.seed_everything(run.seed, verbose=False)  # +

data = make_dataset(get_dataset_args())
x, y = torch.tensor(data["x"], dtype=torch.float32)[:, None], torch.tensor(data["y"])
x_test, y_test = torch.tensor(data["x_test"], dtype=torch.float32)[:, None], torch.tensor(data["y_test"])
trainer = lightning.Trainer(
    accelerator="auto",
    max_epochs=given.epochs,
    accumulate_grad_batches=given.accumulate,
    callbacks=[ReportCallback(run)],  # +
    logger=False,
    enable_checkpointing=False,
    enable_progress_bar=False,
    enable_model_summary=False,
)
trainer.fit(
    Signals(),
    DataLoader(TensorDataset(x, y), given.batch_size, shuffle=True),
    DataLoader(TensorDataset(x_test, y_test), 500),
)
print({name: round(float(value), 4) for name, value in trainer.callback_metrics.items()})
