"""Search for a loss for your own segmentation network, in your own training loop.

The data are discs on noise: few pixels belong to them, so plain cross-entropy finds little. Run it with

    python examples/train_function.py [--trials 12] [--workers 2] [--out FOLDER]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import nn

import losssearch as ls


def images(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Noisy images [count, 1, 12, 12] and the masks [count, 12, 12] of the discs on them."""
    generator = torch.Generator().manual_seed(seed)
    centre = torch.randint(3, 9, (count, 2, 1, 1), generator=generator)
    y, x = torch.meshgrid(torch.arange(12), torch.arange(12), indexing="ij")
    mask = (y - centre[:, 0]) ** 2 + (x - centre[:, 1]) ** 2 <= 4
    noise = torch.randn(count, 12, 12, generator=generator)
    return (mask + 0.8 * noise)[:, None], mask.float()


def network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 1, 3, padding=1))


def dice(model: nn.Module, pictures: torch.Tensor, masks: torch.Tensor) -> float:
    """Overlap of predicted and true discs, from 0 to 1."""
    with torch.no_grad():
        found = model(pictures)[:, 0] > 0
    true = masks > 0
    return float(2 * (found & true).sum() / (found.sum() + true.sum()))


def train(loss: nn.Module, trial: ls.TrialHandle) -> None:
    """One training. PyTorch is already seeded with ``trial.seed``; the data are drawn with it here."""
    pictures, masks = (part.to(trial.device) for part in images(128, trial.seed))
    model = network().to(trial.device)
    # A loss may have parameters of its own: pass them to the optimiser in addition to the model's.
    optimiser = torch.optim.Adam([*model.parameters(), *loss.parameters()], lr=trial.rate or 0.02)
    for epoch in range(trial.epochs):
        for batch in torch.randperm(96).split(16):
            output, target = model(pictures[batch]), masks[batch]
            # The loss takes one logit per sample: here each pixel is a sample.
            value = loss(output.flatten(), target.flatten(), progress=trial.progress)
            optimiser.zero_grad()
            value.backward()
            optimiser.step()
        trial.report(epoch + 1, dice(model, pictures[96:], masks[96:]))
        if trial.should_stop():
            break


train.num_cpus = 1  # the resources of a worker for one training; also num_gpus and memory


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=24)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--out", type=Path, default=None)
    asked = parser.parse_args()
    result = ls.search(
        train=train,
        metric="dice",
        task="binary",
        class_prior=(0.91, 0.09),  # share of pixels
        trials=asked.trials,
        epochs=asked.epochs,
        workers=asked.workers,
        out=asked.out,
    )
    print(result.leaderboard[["name", "formula", "validation", "recommended"]].to_string(index=False))
    print(result.verdict)
    print(f"the loss: {result.out / 'export' / 'loss.py'}")


if __name__ == "__main__":
    main()
