"""AdamW over stacked parameters, with a learning rate a member."""

from __future__ import annotations

import math

import torch
from torch import Tensor


class StackedAdam:
    """AdamW (Loshchilov & Hutter 2019, algorithm 2) for parameters ``[R, K, P]``.

    ``rates`` is ``[K]``; ``decay`` is ``[P]``, the weight decay of each column. One fused step serves all
    members, and no member's update reads another's gradient.
    """

    def __init__(self, parameters: Tensor, rates: Tensor, decay: Tensor, clip: float | None = None) -> None:
        self.parameters, self.rates, self.decay, self.clip = parameters, rates, decay, clip
        self.mean = torch.zeros_like(parameters)
        self.square = torch.zeros_like(parameters)
        self._scratch = torch.empty_like(parameters)  # a fresh one a step would cost its page faults each time
        self._decayed = _runs(decay)
        self.steps = 0

    @torch.no_grad()
    def step(self, gradient: Tensor, factor: float) -> None:
        """Move the parameters against ``gradient`` ``[R, K, P]``, at ``factor`` × the members' rates."""
        self.steps += 1
        if self.clip is not None:
            norm = gradient.norm(dim=-1, keepdim=True)
            gradient = gradient * (self.clip / (norm + 1e-12)).clamp(max=1.0)
        rate = (self.rates * factor)[:, None]
        unbiased = math.sqrt(1 - 0.999**self.steps)
        for columns, decay in self._decayed:
            self.parameters[..., columns].mul_(1 - rate * decay)
        self.mean.lerp_(gradient, 0.1)
        self.square.mul_(0.999).addcmul_(gradient, gradient, value=0.001)
        torch.sqrt(self.square, out=self._scratch).add_(1e-8 * unbiased).div_(rate)
        self.parameters.addcdiv_(self.mean, self._scratch, value=-unbiased / (1 - 0.9**self.steps))

    def keep(self, parameters: Tensor, members: Tensor) -> None:
        """Go on with ``parameters`` and the state of ``members`` ``[kept]`` alone."""
        self.parameters = parameters
        self.rates = self.rates[members]
        self.mean, self.square = self.mean[:, members], self.square[:, members]
        self._scratch = torch.empty_like(parameters)


def _runs(decay: Tensor) -> list[tuple[slice, float]]:
    """Neighbouring columns of one weight decay, where there is any, with that decay."""
    values, counts = decay.unique_consecutive(return_counts=True)
    ends = counts.cumsum(0)
    found = zip((ends - counts).tolist(), ends.tolist(), values.tolist(), strict=True)
    return [(slice(start, end), value) for start, end, value in found if value != 0]
