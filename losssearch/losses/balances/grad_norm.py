"""Parts are weighed so that their gradients at the outputs are of like size."""

from __future__ import annotations

import torch
from torch import Tensor

from losssearch.losses.balance import balance, per_part
from losssearch.losses.domains import Float
from losssearch.losses.state import State


def next_weights(
    values: Tensor, norms: Tensor, *, asymmetry: Tensor, rate: Tensor, weights: Tensor, first: Tensor, seen: Tensor
) -> Tensor:
    """A step of the weights down the distance of the gradients to what they should be, for a sum of P."""
    own = norms / norms.mean().clamp_min(1e-30)
    left = values / torch.where(seen * first > 0, first, torch.where(values > 0, values, 1.0))
    pace = left / left.mean().clamp_min(1e-30)
    sizes = weights * own
    slope = torch.sign(sizes - sizes.mean() * pace.clamp_min(1e-30) ** asymmetry) * own
    moved = (weights - rate * slope).clamp_min(1e-3)
    return values.shape[0] * moved / moved.sum()


def next_first(
    values: Tensor, norms: Tensor, *, asymmetry: Tensor, rate: Tensor, weights: Tensor, first: Tensor, seen: Tensor
) -> Tensor:
    """The values of the first batch."""
    return torch.where(seen > 0, first, values)


def next_seen(
    values: Tensor, norms: Tensor, *, asymmetry: Tensor, rate: Tensor, weights: Tensor, first: Tensor, seen: Tensor
) -> Tensor:
    """Whether there was a batch."""
    return torch.ones_like(seen)


@balance(
    reference="Chen et al. 2018, algorithm 1, at the outputs",
    formula="grad_norm[{asymmetry}]({part})",
    latex=r"\mathrm{gradnorm}_{{asymmetry}}\left[{part}\right]",
    needs_nonnegative=True,
    asymmetry=Float(0.0, 3.0, default=0.5),
    rate=Float(1e-4, 0.5, default=0.025, log=True),
    weights=State(per_part, 1.0, "update", next_weights, restarts=True),
    first=State(per_part, 0.0, "update", next_first, restarts=True),
    seen=State((), 0.0, "update", next_seen, restarts=True),
)
def grad_norm(
    values: Tensor, norms: Tensor, *, asymmetry: Tensor, rate: Tensor, weights: Tensor, first: Tensor, seen: Tensor
) -> Tensor:
    """Weights that make the gradients of all parts equally large, and larger for parts that have fallen little.

    The norms are those of the gradients at the outputs, over their mean. ``asymmetry = 0``: equally large.
    """
    return weights
