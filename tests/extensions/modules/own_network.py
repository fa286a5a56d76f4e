"""A term with a learned network of two layers."""

import torch
from torch import Tensor

import losssearch as ls


def small(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return 0.3 * torch.randn(shape, generator=generator)


@ls.loss_term(
    reference="made up for a test",
    nonnegative=False,
    hidden=ls.State((6, 2), small),
    bias=ls.State((6,)),
    out=ls.State((6,), small),
)
def own_network(prediction: Tensor, target: Tensor, *, hidden: Tensor, bias: Tensor, out: Tensor) -> Tensor:
    """Squared error and what a network makes of prediction and target; one value per sample."""
    seen = torch.stack((prediction, target), -1)
    return (prediction - target).square() + torch.tanh(seen @ hidden.T + bias) @ torch.tanh(out)
