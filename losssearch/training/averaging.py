"""The running average of the weights of a population (Polyak and Juditsky 1992; exponential, without its bias)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


def share_of(decay: float, steps: int) -> float:
    """The share of the last of ``steps`` in the average."""
    return (1 - decay) / (1 - decay**steps)


class Average:
    """Exponential averages of weights ``[R, K, P]`` and of a model's buffers ``[R, K, ...]`` over steps.

    After ``t`` steps it is the mean with weights ``decay ** (t - i)`` of what step ``i`` left, so that it owes nothing
    to the weights at the start.
    """

    def __init__(self, weights: Tensor, buffers: Mapping[str, Tensor], decay: float) -> None:
        self.decay, self.steps = decay, 0
        self.weights = weights.clone()
        self.buffers = {name: value.clone() for name, value in buffers.items()}

    @torch.no_grad()
    def step(self, weights: Tensor, buffers: Mapping[str, Tensor]) -> None:
        """Take in what a step has left."""
        self.steps += 1
        share = share_of(self.decay, self.steps)
        self.weights.lerp_(weights, share)
        for name, value in buffers.items():
            if value.is_floating_point():
                self.buffers[name].lerp_(value, share)
            else:  # a count
                self.buffers[name].copy_(value)

    def keep(self, members: Tensor) -> None:
        """Keep only the ``members`` ``[kept]``."""
        self.weights = self.weights[:, members]
        self.buffers = {name: value[:, members] for name, value in self.buffers.items()}
