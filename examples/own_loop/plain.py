"""Train your own network with a loss that remembers each training row, in a plain loop.

Four in ten labels are those of the class that follows. Run it with

    python examples/own_loop/plain.py [--bundle FOLDER] [--epochs 30]

where FOLDER is the ``export`` folder of a search; without it, the loss is early learning at its defaults.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

import losssearch as ls


class Rows(Dataset[tuple[Tensor, Tensor, int]]):
    """Features, label, and the number of the row, which the loss knows it by."""

    def __init__(self, features: Tensor, labels: Tensor) -> None:
        self.features, self.labels = features, labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, row: int) -> tuple[Tensor, Tensor, int]:
        return self.features[row], self.labels[row], row


def noisy_rows(count: int = 600, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Features [count, 20], labels of which four in ten are wrong, and the true labels."""
    generator = torch.Generator().manual_seed(seed)
    true = torch.randint(0, 4, (count,), generator=generator)
    features = torch.randn(count, 20, generator=generator)
    features[torch.arange(count), true] += 3
    wrong = torch.rand(count, generator=generator) < 0.4
    return features, torch.where(wrong, (true + 1) % 4, true), true


def train(loss: nn.Module, features: Tensor, labels: Tensor, epochs: int = 30) -> nn.Module:
    """A network trained with ``loss``, which is told which rows a batch holds and how far the training is."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 4))
    loader = DataLoader(Rows(features, labels), batch_size=64, shuffle=True)
    optimizer = torch.optim.Adam([*model.parameters(), *loss.parameters()], lr=3e-3)
    for epoch in range(epochs):
        for batch, target, index in loader:
            optimizer.zero_grad()
            loss(model(batch), target, index=index, progress=epoch / epochs).backward()
            optimizer.step()
    return model


def main() -> None:
    """Compare the loss with cross-entropy on clean rows."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--epochs", type=int, default=30)
    options = parser.parse_args()
    features, labels, _ = noisy_rows()
    if options.bundle:
        loss: nn.Module = ls.load_loss(options.bundle, rows=len(labels))
    else:
        loss = ls.compose({"parts": [{"term": "early_learning"}]}, classes=4, rows=len(labels))
    clean, _, truth = noisy_rows(seed=1)
    for name, each in (("cross-entropy", ls.compose({"parts": [{"term": "cross_entropy"}]})), ("this loss", loss)):
        model = train(each, features, labels, options.epochs)
        print(f"{name}: {float((model(clean).argmax(1) == truth).float().mean()):.1%} right")


if __name__ == "__main__":
    main()
