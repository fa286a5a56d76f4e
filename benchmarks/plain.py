"""One training, written by hand in plain PyTorch, as every rival does it.

The data are tensors in memory, the optimiser is the fused AdamW, the batch is a view of a shuffled copy: what
a practitioner who minds speed would write. No snapshot of the best epoch is kept, though the population
trainer keeps one.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.workload import HIDDEN, WEIGHT_DECAY, Table, Trial


def focal_loss(logits: Tensor, target: Tensor, gamma: float) -> Tensor:
    """Focal loss over classes; logits ``[batch, classes]``, target ``[batch]``."""
    log_p = F.log_softmax(logits, dim=-1).gather(1, target[:, None]).squeeze(1)
    return -((1 - log_p.exp()) ** gamma * log_p).mean()


def binary_focal_loss(logit: Tensor, target: Tensor, gamma: float) -> Tensor:
    """Focal loss of one logit; logit ``[batch, 1]``, target ``[batch]``."""
    log_p = F.logsigmoid(torch.where(target.bool(), logit.squeeze(1), -logit.squeeze(1)))
    return -((1 - log_p.exp()) ** gamma * log_p).mean()


def accuracy(output: Tensor, target: Tensor) -> float:
    """Share of right answers."""
    predicted = output.argmax(1) if output.shape[1] > 1 else (output.squeeze(1) > 0).long()
    return float((predicted == target).float().mean())


def train_once(table: Table, width: int, trial: Trial, epochs: int, batch_size: int, seed: int) -> float:
    """Train; the validation accuracy is measured after each epoch, and the best is given."""
    torch.manual_seed(seed)
    features, target, validation_features, validation_target = table
    sizes = (features.shape[1], *HIDDEN)
    layers = [module for pair in pairwise(sizes) for module in (nn.Linear(*pair), nn.ReLU())]
    model = nn.Sequential(*layers, nn.Linear(sizes[-1], width))
    optimiser = torch.optim.AdamW(model.parameters(), lr=trial.rate, weight_decay=WEIGHT_DECAY, fused=True)
    loss_function: Callable[[Tensor, Tensor, float], Tensor] = focal_loss if width > 1 else binary_focal_loss
    steps, best = len(target) // batch_size, 0.0
    for epoch in range(epochs):
        order = torch.randperm(len(target))[: steps * batch_size]
        batches = zip(features[order].split(batch_size), target[order].split(batch_size), strict=True)
        for step, (batch, labels) in enumerate(batches):
            done = (epoch * steps + step) / (epochs * steps)
            optimiser.param_groups[0]["lr"] = trial.rate * (1 - 0.9 * done)
            optimiser.zero_grad()
            loss_function(model(batch), labels, trial.gamma).backward()
            optimiser.step()
        with torch.inference_mode():
            best = max(best, accuracy(model(validation_features), validation_target))
    return best
