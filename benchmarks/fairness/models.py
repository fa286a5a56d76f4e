"""The base models that every method is given: a two-layer network, boosted trees and logistic regression."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks.fairness.scenarios import Part, Split

Penalty = Callable[[Tensor, Tensor, Tensor], Tensor]
"""From logits ``[batch]``, labels and one-hot groups of a batch to what is added to cross-entropy."""

BATCH, RATE, EPOCHS = 512, 2e-3, 20


def train_mlp(split: Split, penalty: Penalty | None = None, *, epochs: int = EPOCHS, seed: int = 0) -> nn.Module:
    """Train the network by cross-entropy and a penalty, AdamW, as a practitioner's loop would."""
    torch.manual_seed(seed)
    features, labels = torch.from_numpy(split.train.features), torch.from_numpy(split.train.labels).float()
    group = nn.functional.one_hot(torch.from_numpy(split.train.group), split.groups).float()
    model = nn.Sequential(
        nn.Linear(features.shape[1], 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1), nn.Flatten(0)
    )
    optimiser = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=1e-4)
    for _ in range(epochs):
        for rows in torch.randperm(len(labels)).split(BATCH):
            logits = model(features[rows])
            loss = nn.functional.binary_cross_entropy_with_logits(logits, labels[rows])
            if penalty is not None:
                loss = loss + penalty(logits, labels[rows], group[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    return model


def scores(model: nn.Module, part: Part) -> NDArray[np.float64]:
    """The logits of a part's rows."""
    with torch.no_grad():
        return np.asarray(model(torch.from_numpy(part.features)), dtype=np.float64)


def train_trees(split: Split, seed: int = 0) -> Callable[[Part], NDArray[np.float64]]:
    """Gradient-boosted trees; gives a function from a part to its logits."""
    import lightgbm

    booster = lightgbm.train(
        {"objective": "binary", "learning_rate": 0.05, "num_threads": 1, "seed": seed, "verbose": -1},
        lightgbm.Dataset(split.train.features, split.train.labels),
        num_boost_round=1000,
        valid_sets=[lightgbm.Dataset(split.validation.features, split.validation.labels)],
        callbacks=[lightgbm.early_stopping(30, verbose=False)],
    )
    return lambda part: np.asarray(booster.predict(part.features, raw_score=True), dtype=np.float64)
