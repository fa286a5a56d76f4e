"""AdamW over stacked parameters, with a learning rate a member."""

from __future__ import annotations

import torch
from torch import Tensor

from losssearch.training.anew import Anew

BETAS, EPSILON = (0.9, 0.999), 1e-8


class StackedAdam:
    """AdamW (Loshchilov & Hutter 2019, algorithm 2) for parameters ``[R, K, P]``.

    ``rates`` is ``[K]``; ``decay`` is ``[P]``, the weight decay of each column. No member's update reads
    another's gradient. ``still`` ``[K, P]`` marks what stays to the bit as it starts.

    PyTorch's fused step knows one rate. Adam moves parameters by as many rates as it moves parameters over
    their rate at a rate of one: so these are what is stepped, all members in one call.
    """

    def __init__(
        self, parameters: Tensor, rates: Tensor, decay: Tensor, clip: float | None = None, still: Tensor | None = None
    ) -> None:
        self._still, self._start = still, None if still is None else parameters.clone()
        self.parameters, self.rates, self.decay, self.clip = parameters, rates, decay, clip
        self.mean = torch.zeros_like(parameters)
        self.square = torch.zeros_like(parameters)
        self._over_rate = parameters / rates[:, None]
        self._decayed = _runs(decay)
        self._steps = torch.zeros((), device=parameters.device)

    @torch.no_grad()
    def step(self, gradient: Tensor, factor: float, anew: Anew | None = None) -> None:
        """Move the parameters against ``gradient`` ``[R, K, P]``, at ``factor`` × the members' rates.

        ``anew``: members that count steps of their own, this one included, since `restart`.
        """
        self._steps += 1
        if self.clip is not None:
            norm = gradient.norm(dim=-1, keepdim=True)
            gradient = gradient * (self.clip / (norm + 1e-12)).clamp(max=1.0)
        for columns, decay in self._decayed:
            self._over_rate[..., columns].mul_(1 - (factor * decay) * self.rates[:, None])
        before = None
        if anew is not None:
            before = tuple(state[:, anew.members] for state in (self._over_rate, self.mean, self.square))
        # What `torch.optim.AdamW(fused=True)` calls, without its bookkeeping around each parameter.
        torch._fused_adamw_(
            [self._over_rate],
            [gradient],
            [self.mean],
            [self.square],
            [],
            [self._steps],
            lr=factor,
            beta1=BETAS[0],
            beta2=BETAS[1],
            weight_decay=0.0,
            eps=EPSILON,
            amsgrad=False,
            maximize=False,
        )
        if before is not None and anew is not None:
            self._step_anew(before, gradient[:, anew.members], factor, anew)
        torch.mul(self._over_rate, self.rates[:, None], out=self.parameters)
        if self._still is not None and self._start is not None:  # weight decay and rounding would move it
            self.parameters.copy_(torch.where(self._still, self._start, self.parameters))

    def restart(self, members: Tensor) -> None:
        """Start anew with the ``members`` ``[k]``, whose parameters are what they start from."""
        self._over_rate[:, members] = self.parameters[:, members] / self.rates[members, None]
        self.mean[:, members], self.square[:, members] = 0.0, 0.0

    def _step_anew(self, before: tuple[Tensor, ...], gradient: Tensor, factor: float, anew: Anew) -> None:
        """The same step for those that have started anew, of their state ``before`` it."""
        (over_rate, mean, square), own, (first, second) = before, anew.members, BETAS
        steps = anew.steps[:, None]
        mean = mean.lerp(gradient, 1 - first)
        square = (square * second).addcmul_(gradient, gradient, value=1 - second)
        reach = square.sqrt() / (1 - second**steps).sqrt().to(square) + EPSILON
        over_rate = over_rate.addcdiv(mean * (factor / (1 - first**steps)).to(mean), reach, value=-1)
        self._over_rate[:, own], self.mean[:, own], self.square[:, own] = over_rate, mean, square

    def keep(self, parameters: Tensor, members: Tensor) -> None:
        """Keep only ``parameters`` and the state of ``members`` ``[kept]``."""
        self.parameters = parameters
        self.rates, self._over_rate = self.rates[members], self._over_rate[:, members]
        self.mean, self.square = self.mean[:, members], self.square[:, members]
        if self._still is not None and self._start is not None:
            self._still, self._start = self._still[members], self._start[:, members]


def _runs(decay: Tensor) -> list[tuple[slice, float]]:
    """Neighbouring columns of one weight decay, where there is any, with that decay."""
    values, counts = decay.unique_consecutive(return_counts=True)
    ends = counts.cumsum(0)
    found = zip((ends - counts).tolist(), ends.tolist(), values.tolist(), strict=True)
    return [(slice(start, end), value) for start, end, value in found if value != 0]
