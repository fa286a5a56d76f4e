"""The running average of the weights of a population (Polyak and Juditsky 1992; exponential, without its bias)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from losssearch.training.anew import Anew


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
    def step(self, weights: Tensor, buffers: Mapping[str, Tensor], anew: Anew | None = None) -> None:
        """Take in what a step has left; what ``anew`` members had before they started anew counts no more."""
        self.steps += 1
        share = share_of(self.decay, self.steps)
        averaged = {name: self.buffers[name] for name, value in buffers.items() if value.is_floating_point()}
        before = {} if anew is None else {name: value[:, anew.members] for name, value in averaged.items()}
        mean = None if anew is None else self.weights[:, anew.members]
        self.weights.lerp_(weights, share)
        for name, value in buffers.items():
            if value.is_floating_point():
                self.buffers[name].lerp_(value, share)
            else:  # a count
                self.buffers[name].copy_(value)
        if anew is not None and mean is not None:
            own, shares = anew.members, (1 - self.decay) / (1 - self.decay**anew.steps)
            self.weights[:, own] = _moved(mean, weights[:, own], shares)
            for name, value in before.items():
                self.buffers[name][:, own] = _moved(value, buffers[name][:, own], shares)

    def keep(self, members: Tensor) -> None:
        """Keep only the ``members`` ``[kept]``."""
        self.weights = self.weights[:, members]
        self.buffers = {name: value[:, members] for name, value in self.buffers.items()}


def _moved(mean: Tensor, value: Tensor, shares: Tensor) -> Tensor:
    """Means ``[R, k, ...]`` moved toward values by the share of each member ``[k]``."""
    return mean.lerp(value, shares.to(mean).view(-1, *[1] * (mean.dim() - 2)))
