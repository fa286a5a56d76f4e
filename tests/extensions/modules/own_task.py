"""A kind of task with two target columns and two heads, means and logarithms of variances, its terms and its metric."""

import torch
from torch import Tensor

import losssearch as ls


@ls.loss_term(reference="Nix and Weigend 1994, eq. 3", nonnegative=False, floor=ls.Float(1e-3, 1.0, default=0.01))
def own_likelihood(mean: Tensor, log_variance: Tensor, target: Tensor, *, floor: Tensor) -> Tensor:
    """Negative log-likelihood of normals, one value per sample; mean, log_variance and target [batch, 2]."""
    variance = log_variance.exp() + floor
    return ((target - mean).square() / variance + variance.log()).sum(-1) / 2


@ls.loss_term(reference="least squares")
def own_squares(mean: Tensor, target: Tensor) -> Tensor:
    """Squared error of both means, one value per sample; mean and target [batch, 2]."""
    return (target - mean).square().sum(-1)


@ls.metric(direction="minimize", task="own_pair")
def own_deviance(outputs: Tensor, target: Tensor) -> Tensor:
    """Twice the mean negative log-likelihood of both columns, in the target's own units."""
    mean, log_variance = outputs[:, :2], outputs[:, 2:].clamp(-20, 20)
    return ((target - mean).square() / log_variance.exp() + log_variance).sum(-1).mean()


def own_unit(outputs: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
    """Means and logarithms of variances of standardised targets, in the targets' own units."""
    means = outputs[..., :2].double() * scale + mean
    return torch.cat((means, outputs[..., 2:] + 2 * scale.log().expand_as(means)), -1)


ls.task_kind(
    "own_pair",
    target=ls.Numbers(columns=2),
    heads={"mean": 2, "log_variance": 2},
    menu=["own_likelihood", "own_squares"],
    metric="own_deviance",
    own_unit=own_unit,
)
