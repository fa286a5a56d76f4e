"""The same with skorch: the numbers of rows travel next to the features, and `get_loss` hands them to the loss.

pip install skorch
python examples/own_loop/skorch_net.py
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from plain import noisy_rows
from skorch import NeuralNetClassifier
from torch import Tensor, nn

import losssearch as ls


class Network(nn.Module):
    """``index`` is for the loss alone."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 4))

    def forward(self, features: Tensor, index: Tensor) -> Tensor:
        return self.layers(features)


class Net(NeuralNetClassifier):
    def get_loss(self, y_pred: Tensor, y_true: Tensor, X: Any = None, training: bool = False) -> Tensor:  # noqa: N803
        self.criterion_.train(training)  # what is validated is not remembered
        progress = len(self.history) / self.max_epochs
        return self.criterion_(y_pred, y_true, index=X["index"], progress=min(progress, 1.0))


def main() -> None:
    """Train with wrong labels, and count what is right of clean rows."""
    features, labels, _ = noisy_rows()
    loss = ls.compose({"parts": [{"term": "early_learning"}]}, classes=4, rows=len(labels))
    net = Net(
        Network, criterion=lambda: loss, optimizer=torch.optim.Adam, lr=3e-3, max_epochs=30, batch_size=64,
        train_split=None, iterator_train__shuffle=True, verbose=0,
    )  # fmt: skip
    net.fit({"features": features.numpy(), "index": np.arange(len(labels))}, labels.numpy())
    clean, _, truth = noisy_rows(seed=1)
    scores = net.forward({"features": clean.numpy(), "index": np.arange(len(truth))})
    print(f"{float((scores.argmax(1) == truth).float().mean()):.1%} right")


if __name__ == "__main__":
    main()
