"""Parts that fall slowly, or rise, count more."""

from __future__ import annotations

import torch
from torch import Tensor

from losssearch.losses.balance import balance, per_part
from losssearch.losses.domains import Float
from losssearch.losses.state import State


def next_mean(values: Tensor, *, beta: Tensor, decay: Tensor, mean: Tensor, seen: Tensor) -> Tensor:
    """The running means of the values."""
    return torch.where(seen > 0, decay * mean + (1 - decay) * values, values)


def next_seen(values: Tensor, *, beta: Tensor, decay: Tensor, mean: Tensor, seen: Tensor) -> Tensor:
    """Whether there was a batch."""
    return torch.ones_like(seen)


@balance(
    reference="Heydari et al. 2019, eq. 8, on running means",
    formula="soft_adapt[{beta}]({part})",
    latex=r"\mathrm{softadapt}_{{beta}}\left[{part}\right]",
    beta=Float(1e-3, 1e3, default=0.1, log=True),
    decay=Float(0.0, 0.999, default=0.9),
    mean=State(per_part, 0.0, "update", next_mean, restarts=True),
    seen=State((), 0.0, "update", next_seen, restarts=True),
)
def soft_adapt(values: Tensor, *, beta: Tensor, decay: Tensor, mean: Tensor, seen: Tensor) -> Tensor:
    """Weights ``softmax(beta slope)``, with the slope of each part's running mean from batch to batch.

    With ``decay = 0``, the slope is that of the value itself.
    """
    slope = torch.where(seen > 0, next_mean(values, beta=beta, decay=decay, mean=mean, seen=seen) - mean, 0.0)
    return torch.softmax(beta * slope, 0)
