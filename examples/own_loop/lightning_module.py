"""The same with Lightning: the batch brings the numbers of its rows, the module knows how far the training is.

pip install lightning
python examples/own_loop/lightning_module.py
"""

from __future__ import annotations

from typing import Any

import lightning
import torch
from plain import Rows, noisy_rows
from torch import Tensor, nn
from torch.utils.data import DataLoader

import losssearch as ls


class Classifier(lightning.LightningModule):
    """The loss is a submodule: it moves to the device, and a checkpoint holds what it remembers."""

    def __init__(self, rows: int) -> None:
        super().__init__()
        self.model = nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 4))
        self.loss = ls.compose({"parts": [{"term": "early_learning"}]}, classes=4, rows=rows)

    def training_step(self, batch: Any, _: int) -> Tensor:
        features, target, index = batch
        progress = self.current_epoch / (self.trainer.max_epochs or 1)
        return self.loss(self.model(features), target, index=index, progress=progress)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=3e-3)


def main() -> None:
    """Train with wrong labels, and count what is right of clean rows."""
    features, labels, _ = noisy_rows()
    module = Classifier(len(labels))
    trainer = lightning.Trainer(max_epochs=30, logger=False, enable_checkpointing=False)
    trainer.fit(module, DataLoader(Rows(features, labels), batch_size=64, shuffle=True))
    clean, _, truth = noisy_rows(seed=1)
    print(f"{float((module.model(clean).argmax(1) == truth).float().mean()):.1%} right")


if __name__ == "__main__":
    main()
