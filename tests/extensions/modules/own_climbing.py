"""A term with a variable that climbs the loss and an array that never changes, a schedule, and a reduction."""

import math

import torch
from torch import Tensor

import losssearch as ls


@ls.loss_term(
    reference="made up for a test",
    nonnegative=False,
    level=ls.State((), 0.1, "ascent"),
    shift=ls.State((3,), torch.tensor([0.1, 0.2, 0.3]), "frozen"),
)
def own_dual(prediction: Tensor, target: Tensor, *, level: Tensor, shift: Tensor) -> Tensor:
    """A squared error and a penalty whose weight climbs; one value per sample."""
    apart = prediction - target
    return apart.square() + torch.nn.functional.softplus(level) * (apart.abs() - shift.sum())


@ls.schedule(formula="{start}~{end}", start=ls.LEVEL, end=ls.LEVEL)
def own_cosine(progress: Tensor, *, start: Tensor, end: Tensor) -> Tensor:
    """Half a wave from ``start`` to ``end``."""
    return end + (start - end) * (1 + torch.cos(math.pi * progress)) / 2


@ls.reduction(formula="M[{power}]({part})", power=ls.Float(1.0, 8.0, default=2.0))
def own_power(losses: Tensor, sample_weight: Tensor | None, *, power: Tensor) -> Tensor:
    """The power mean of the sizes of the losses; weights count as often as they say."""
    size = (losses.abs() + 1e-6) ** power
    if sample_weight is None:
        return size.mean() ** (1 / power)
    return ((sample_weight * size).sum() / sample_weight.sum().clamp_min(1e-9)) ** (1 / power)
