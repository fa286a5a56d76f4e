"""The figures by which members are pruned, read from the device in one transfer, because each transfer waits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from losssearch.training.members import Members


@dataclass(frozen=True)
class Summary:
    """Where ``K`` members × ``R`` replicas are after an epoch; all on the CPU."""

    scores: Tensor
    """``[K]``, see `Members.scores`."""
    standing: Tensor
    """``[K]``, see `Members.standing`."""
    stopped: Tensor
    """``[K]``, bool: see `Members.stopped`."""
    rates: Tensor
    """``[K]``: learning rates."""
    best: Tensor
    """``[R, K]``: utilities, float64."""
    best_epoch: Tensor
    """``[R, K]``, integers."""
    diverged: Tensor
    """``[R, K]``, bool."""
    learned: Tensor
    """``[R, K, L]``, float32: what the losses had learned at the best epoch."""
    details: Tensor | None
    """``[R, K, F]``: what the judge said in addition."""

    def take(self, chosen: Sequence[int]) -> Summary:
        """The same of the ``chosen`` members alone."""
        places = list(chosen)
        return Summary(
            self.scores[places],
            self.standing[places],
            self.stopped[places],
            self.rates[places],
            self.best[:, places],
            self.best_epoch[:, places],
            self.diverged[:, places],
            self.learned[:, places],
            None if self.details is None else self.details[:, places],
        )


@torch.no_grad()
def summary(members: Members, epoch: int, patience: int) -> Summary:
    """The present state of ``members`` after ``epoch``."""
    found = [
        members.scores(),
        members.standing(),
        members.stopped(epoch, patience),
        members.optimiser.rates,
        members.best,
        members.best_epoch,
        members.diverged,
        members.split(members.best_flat)[1],
        *([] if members.details is None else [members.details]),
    ]
    # float64 holds each of these types as it is
    packed = torch.cat([tensor.double().flatten() for tensor in found]).cpu()
    pieces = packed.split([tensor.numel() for tensor in found])
    scores, standing, stopped, rates, best, best_epoch, diverged, learned, *details = (
        piece.view(tensor.shape).to(tensor.dtype) for piece, tensor in zip(pieces, found, strict=True)
    )
    return Summary(scores, standing, stopped, rates, best, best_epoch, diverged, learned, *(details or [None]))
