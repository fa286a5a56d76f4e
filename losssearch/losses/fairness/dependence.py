"""Terms on the dependence of a model's output on a sensitive attribute, soft, continuous or one-hot.

They compare all samples of a batch, need no decision and no threshold, and read the attribute's columns as they are.
"""

from __future__ import annotations

import torch
from torch import Tensor

from losssearch.losses.domains import Float
from losssearch.losses.term import loss_term
from losssearch.losses.traits import Traits

_TINY = 1e-8
"""Of a variance or a distance: below it a column says nothing."""

_KERNEL = Float(0.05, 20.0, default=1.0, log=True)
_LIMIT = Float(0.0, 1.0, default=0.0)


def sample_mean(values: Tensor, sample_weight: Tensor | None) -> Tensor:
    """Mean over samples, the first dimension; with weights, ``Σ w v / Σ w``."""
    if sample_weight is None:
        return values.mean(0)
    return sample_weight @ values / sample_weight.sum().clamp_min(_TINY)


def pair_sum(values: Tensor, sample_weight: Tensor | None) -> Tensor:
    """Sum over pairs of samples ``[batch, batch]``, each as often as the product of their weights; a scalar."""
    return values.sum() if sample_weight is None else sample_weight @ values @ sample_weight


def pair_mean(values: Tensor, sample_weight: Tensor | None) -> Tensor:
    """Mean over pairs of samples ``[batch, batch]``; a scalar."""
    return values.mean() if sample_weight is None else sample_mean(sample_mean(values, sample_weight), sample_weight)


def standardised(values: Tensor, sample_weight: Tensor | None) -> Tensor:
    """Columns ``[batch, columns]`` with mean 0 and variance 1; a constant column is 0."""
    centred = values - sample_mean(values, sample_weight)
    variance = sample_mean(centred.square(), sample_weight)
    held = variance > _TINY
    return torch.where(held, centred / torch.where(held, variance, 1.0).sqrt(), 0.0)


def pair_squares(values: Tensor) -> Tensor:
    """Squared distances ``[batch, batch]`` between rows ``[batch, columns]``."""
    return (values[:, None] - values[None]).square().sum(-1)


def doubly_centred(matrix: Tensor, sample_weight: Tensor | None) -> Tensor:
    """A symmetric matrix with the means of its rows and columns taken out."""
    if sample_weight is None:
        return matrix - matrix.mean(0) - matrix.mean(1, keepdim=True) + matrix.mean()
    means = sample_mean(matrix, sample_weight)
    return matrix - means - means[:, None] + sample_mean(means, sample_weight)


def mean_product(scores: Tensor, group: Tensor, sample_weight: Tensor | None) -> Tensor:
    """Mean over samples of the products of each column of ``scores`` with each of ``group``."""
    if sample_weight is None:
        return scores.T @ group / scores.shape[0]
    return (scores.T * sample_weight) @ group / sample_weight.sum().clamp_min(_TINY)


def correlation(scores: Tensor, group: Tensor, sample_weight: Tensor | None) -> Tensor:
    """Mean squared Pearson correlation of the columns of ``scores`` with those of ``group``; a scalar."""
    scores, group = standardised(scores, sample_weight), standardised(group, sample_weight)
    return mean_product(scores, group, sample_weight).square().mean()


def independence(scores: Tensor, group: Tensor, sample_weight: Tensor | None, width: Tensor) -> Tensor:
    """Biased HSIC with Gaussian kernels on standardised columns, as a share of its greatest value; a scalar."""
    centred = []
    for values in (scores, group):
        squares = pair_squares(standardised(values, sample_weight))
        centred.append(doubly_centred(torch.exp(-squares / (2 * values.shape[1] * width.square())), sample_weight))
    sizes = pair_sum(centred[0].square(), sample_weight) * pair_sum(centred[1].square(), sample_weight)
    held = sizes > _TINY
    product = pair_sum(centred[0] * centred[1], sample_weight)
    return torch.where(held, product / torch.where(held, sizes, 1.0).sqrt(), 0.0)


def distance_correlation(scores: Tensor, group: Tensor, sample_weight: Tensor | None) -> Tensor:
    """Squared distance covariance of standardised columns; a scalar."""
    centred = [
        doubly_centred(distances(standardised(values, sample_weight)), sample_weight) for values in (scores, group)
    ]
    return pair_mean(centred[0] * centred[1], sample_weight)


def distances(values: Tensor) -> Tensor:
    """Distances ``[batch, batch]`` between rows, with a finite slope where two rows are equal."""
    squares = pair_squares(values)
    return torch.where(squares > _TINY, torch.where(squares > _TINY, squares, 1.0).sqrt(), 0.0)


def boundary_covariance(distance: Tensor, group: Tensor, sample_weight: Tensor | None, limit: Tensor) -> Tensor:
    """Largest covariance of a column of ``distance`` with one of ``group``, beyond ``limit``; a scalar."""
    centred = group - sample_mean(group, sample_weight)
    return torch.relu(mean_product(distance, centred, sample_weight).abs().amax() - limit.to(group.dtype))


@loss_term(
    reference="Mary et al. 2019, eq. 3, for the linear correlation",
    per_sample=False,
    scaled=False,
    for_numbers="attribute_correlation_regression",
    traits=Traits(oracle="numpy.corrcoef"),
)
def attribute_correlation(predicted: Tensor, group: Tensor, sample_weight: Tensor | None) -> Tensor:
    """Squared linear correlation of class probabilities, or of predictions, with the sensitive attribute.

    Mean over columns of both of ``corr(p_c, s_g)²``. Shapes: predicted [batch, columns], group [batch, groups] →
    scalar in [0, 1]. Limits: 0 where the outputs do not depend linearly on the attribute.
    """
    return correlation(predicted, group, sample_weight)


@loss_term(
    reference="Gretton et al. 2005, biased HSIC; normalised as Cortes et al. 2012, centred kernel alignment",
    per_sample=False,
    scaled=False,
    for_numbers="hsic_regression",
    width=_KERNEL,
    traits=Traits(oracle="Gretton et al. 2005 with scipy.spatial.distance.cdist"),
)
def hsic(predicted: Tensor, group: Tensor, sample_weight: Tensor | None, *, width: Tensor) -> Tensor:
    """Dependence of any shape between class probabilities, or predictions, and the sensitive attribute, by kernels.

    ``tr(K H L H)`` over the product of the norms, with Gaussian kernels of ``width`` standard deviations. Shapes:
    predicted [batch, columns], group [batch, groups] → scalar in [0, 1]; batch² work.
    """
    return independence(predicted, group, sample_weight, width)


@loss_term(
    reference="Székely et al. 2007, squared distance covariance",
    per_sample=False,
    scaled=False,
    for_numbers="distance_covariance_regression",
    traits=Traits(oracle="Székely et al. 2007 with scipy.spatial.distance.cdist"),
)
def distance_covariance(predicted: Tensor, group: Tensor, sample_weight: Tensor | None) -> Tensor:
    """Dependence of any shape between class probabilities, or predictions, and the sensitive attribute, by distances.

    Mean product of the doubly centred distances of standardised columns. Shapes: predicted [batch, columns], group
    [batch, groups] → scalar; batch² work. Limits: 0 where one of the two is constant.
    """
    return distance_correlation(predicted, group, sample_weight)


@loss_term(
    reference="Zafar et al. 2017, eq. 2",
    per_sample=False,
    scaled=False,
    for_numbers="zafar_covariance_regression",
    limit=_LIMIT,
    traits=Traits(oracle="Zafar et al. 2017 in NumPy"),
)
def zafar_covariance(scores: Tensor, group: Tensor, sample_weight: Tensor | None, *, limit: Tensor) -> Tensor:
    """Covariance of the attribute with the distance to the decision boundary, or the prediction, beyond a limit.

    ``max(|mean_i (s_i - s̄) (z_ic - mean z_i)| - limit, 0)`` for the worst class and column; of a single score, z itself
    is taken. Shapes: scores [batch, columns], group [batch, groups] → scalar.
    """
    distance = scores - scores.mean(-1, keepdim=True) if scores.shape[-1] > 1 else scores
    return boundary_covariance(distance, group, sample_weight, limit)
