"""Terms on pairs of samples: alike samples are to be treated alike, whatever their group."""

from __future__ import annotations

import torch
from torch import Tensor

from losssearch.losses.domains import Float
from losssearch.losses.fairness.dependence import pair_mean
from losssearch.losses.term import loss_term
from losssearch.losses.traits import Traits

_LIPSCHITZ = Float(0.01, 10.0, default=0.5, log=True)
_WIDTH = Float(0.05, 5.0, default=0.5, log=True)


def lipschitz_excess(apart: Tensor, distance: Tensor, sample_weight: Tensor | None, lipschitz: Tensor) -> Tensor:
    """Mean over pairs of how far outputs ``apart`` exceed ``lipschitz`` times the distance, squared; a scalar."""
    return pair_mean(torch.relu(apart - lipschitz * distance).square(), sample_weight)


def change_by_group(
    squares: Tensor, distance: Tensor, group: Tensor, sample_weight: Tensor | None, width: Tensor
) -> Tensor:
    """Mean of ``squares`` over pairs of different groups, near ones first; a scalar, 0 without such pairs."""
    # Soft memberships differ by what they do not share; of one-hot ones the product is 1 or 0.
    different = (1 - group @ group.T).clamp(0, 1)
    if sample_weight is not None:
        different = different * sample_weight * sample_weight[:, None]
    # As a share of the nearest pair's weight: far from all others a sample would have no weight at all.
    closeness = -distance.square() / (2 * width.square())
    nearest = torch.where(different > 0, closeness, -torch.inf).amax()
    held = nearest > -torch.inf
    weight = torch.where(held, different * torch.exp(closeness - torch.where(held, nearest, 0.0)).clamp_max(1.0), 0.0)
    return (weight * squares).sum() / torch.where(held, weight.sum(), 1.0)


@loss_term(
    reference="Dwork et al. 2012, definition 2.1",
    per_sample=False,
    scaled=False,
    for_numbers="individual_fairness_regression",
    lipschitz=_LIPSCHITZ,
    traits=Traits(oracle="Dwork et al. 2012 with scipy.spatial.distance.cdist"),
)
def individual_fairness(
    predicted: Tensor, distance: Tensor, sample_weight: Tensor | None, *, lipschitz: Tensor
) -> Tensor:
    """Class probabilities, or predictions, that differ by more than the features of two samples allow.

    Mean over pairs of ``max(d(p_i, p_j) - L d_ij, 0)²`` with the total variation between probabilities, or the absolute
    difference of predictions. Shapes: predicted [batch, columns], distance [batch, batch] → scalar; batch² work.
    Limits: 0 for a constant model.
    """
    apart = (predicted[:, None] - predicted[None]).abs().sum(-1)
    return lipschitz_excess(apart / 2 if predicted.shape[-1] > 1 else apart, distance, sample_weight, lipschitz)


@loss_term(
    reference="Berk et al. 2017, individual fairness, section 2, with near pairs in place of equal targets",
    per_sample=False,
    scaled=False,
    for_numbers="flip_consistency_regression",
    width=_WIDTH,
    traits=Traits(oracle="Zemel et al. 2013 with scipy.spatial.distance.cdist"),
)
def flip_consistency(
    predicted: Tensor, group: Tensor, distance: Tensor, sample_weight: Tensor | None, *, width: Tensor
) -> Tensor:
    """How much class probabilities, or predictions, change between near samples of different groups.

    Stands for what would change if a sample's group were flipped: mean of ``|p_i - p_j|²`` over pairs of different
    groups, weighted by ``exp(-d²/2w²)``. Shapes: predicted [batch, columns], group [batch, groups], distance
    [batch, batch] → scalar; batch² work.
    """
    squares = (predicted[:, None] - predicted[None]).square().sum(-1)
    return change_by_group(squares, distance, group, sample_weight, width)
