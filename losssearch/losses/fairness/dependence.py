"""Terms on the dependence of a model's output on a sensitive attribute, soft, continuous or one-hot.

They compare all samples of a batch, need no decision and no threshold, and read the attribute's columns as they are.
"""

from __future__ import annotations

import torch
from torch import Tensor

from losssearch.losses.domains import Float
from losssearch.losses.term import loss_term

_TINY = 1e-8
"""Of a variance or a distance: below it a column says nothing."""

_KERNEL = Float(0.05, 20.0, default=1.0, log=True)
_LIMIT = Float(0.0, 1.0, default=0.0)


def standardised(values: Tensor) -> Tensor:
    """Columns ``[batch, columns]`` with mean 0 and variance 1; a constant column is 0."""
    centred = values - values.mean(0)
    variance = centred.square().mean(0)
    held = variance > _TINY
    return torch.where(held, centred / torch.where(held, variance, 1.0).sqrt(), 0.0)


def pair_squares(values: Tensor) -> Tensor:
    """Squared distances ``[batch, batch]`` between rows ``[batch, columns]``."""
    return (values[:, None] - values[None]).square().sum(-1)


def doubly_centred(matrix: Tensor) -> Tensor:
    """A square matrix with the means of its rows and columns taken out."""
    return matrix - matrix.mean(0) - matrix.mean(1, keepdim=True) + matrix.mean()


def correlation(scores: Tensor, group: Tensor) -> Tensor:
    """Mean squared Pearson correlation of the columns of ``scores`` with those of ``group``; a scalar."""
    return (standardised(scores).T @ standardised(group) / scores.shape[0]).square().mean()


def independence(scores: Tensor, group: Tensor, width: Tensor) -> Tensor:
    """Biased HSIC with Gaussian kernels on standardised columns, as a share of its greatest value; a scalar."""
    centred = [
        doubly_centred(torch.exp(-pair_squares(standardised(values)) / (2 * values.shape[1] * width.square())))
        for values in (scores, group)
    ]
    sizes = centred[0].square().sum() * centred[1].square().sum()
    held = sizes > _TINY
    return torch.where(held, (centred[0] * centred[1]).sum() / torch.where(held, sizes, 1.0).sqrt(), 0.0)


def distance_correlation(scores: Tensor, group: Tensor) -> Tensor:
    """Squared distance covariance of standardised columns; a scalar."""
    centred = [doubly_centred(distances(standardised(values))) for values in (scores, group)]
    return (centred[0] * centred[1]).mean()


def distances(values: Tensor) -> Tensor:
    """Distances ``[batch, batch]`` between rows, with a finite slope where two rows are equal."""
    squares = pair_squares(values)
    return torch.where(squares > _TINY, torch.where(squares > _TINY, squares, 1.0).sqrt(), 0.0)


def boundary_covariance(distance: Tensor, group: Tensor, limit: Tensor) -> Tensor:
    """Largest covariance of a column of ``distance`` with one of ``group``, beyond ``limit``; a scalar."""
    centred = group - group.mean(0)
    return torch.relu((distance.T @ centred / distance.shape[0]).abs().amax() - limit.to(group.dtype))


@loss_term(
    reference="Mary et al. 2019, eq. 3, for the linear correlation",
    shift_invariant=True,
    per_sample=False,
    scaled=False,
)
def attribute_correlation(logits: Tensor, group: Tensor) -> Tensor:
    """Squared linear correlation of class probabilities with the sensitive attribute.

    Mean over classes and columns of ``corr(p_c, s_g)²``. Shapes: logits [batch, classes], group [batch, groups] →
    scalar in [0, 1]. Limits: 0 where the outputs do not depend linearly on the attribute.
    """
    return correlation(torch.softmax(logits, -1), group)


@loss_term(reference="Mary et al. 2019, eq. 3, for the linear correlation", per_sample=False, scaled=False)
def attribute_correlation_regression(prediction: Tensor, group: Tensor) -> Tensor:
    """Squared linear correlation of predictions with the sensitive attribute.

    Mean over columns of ``corr(ŷ, s_g)²``. Shapes: prediction [batch], group [batch, groups] → scalar in [0, 1].
    """
    return correlation(prediction[:, None], group)


@loss_term(
    reference="Gretton et al. 2005, biased HSIC; normalised as Cortes et al. 2012, centred kernel alignment",
    shift_invariant=True,
    per_sample=False,
    scaled=False,
    width=_KERNEL,
)
def hsic(logits: Tensor, group: Tensor, *, width: Tensor) -> Tensor:
    """Dependence of any shape between class probabilities and the sensitive attribute, by kernels.

    ``tr(K H L H)`` over the product of the norms, with Gaussian kernels of ``width`` standard deviations. Shapes:
    logits [batch, classes], group [batch, groups] → scalar in [0, 1]; batch² work.
    """
    return independence(torch.softmax(logits, -1), group, width)


@loss_term(
    reference="Gretton et al. 2005, biased HSIC; normalised as Cortes et al. 2012, centred kernel alignment",
    per_sample=False,
    scaled=False,
    width=_KERNEL,
)
def hsic_regression(prediction: Tensor, group: Tensor, *, width: Tensor) -> Tensor:
    """Dependence of any shape between predictions and the sensitive attribute, by kernels.

    As `hsic`. Shapes: prediction [batch], group [batch, groups] → scalar in [0, 1]; batch² work.
    """
    return independence(prediction[:, None], group, width)


@loss_term(
    reference="Székely et al. 2007, squared distance covariance", shift_invariant=True, per_sample=False, scaled=False
)
def distance_covariance(logits: Tensor, group: Tensor) -> Tensor:
    """Dependence of any shape between class probabilities and the sensitive attribute, by distances.

    Mean product of the doubly centred distances of standardised columns. Shapes: logits [batch, classes], group
    [batch, groups] → scalar; batch² work. Limits: 0 where one of the two is constant.
    """
    return distance_correlation(torch.softmax(logits, -1), group)


@loss_term(reference="Székely et al. 2007, squared distance covariance", per_sample=False, scaled=False)
def distance_covariance_regression(prediction: Tensor, group: Tensor) -> Tensor:
    """Dependence of any shape between predictions and the sensitive attribute, by distances.

    As `distance_covariance`. Shapes: prediction [batch], group [batch, groups] → scalar; batch² work.
    """
    return distance_correlation(prediction[:, None], group)


@loss_term(reference="Zafar et al. 2017, eq. 2", shift_invariant=True, per_sample=False, scaled=False, limit=_LIMIT)
def zafar_covariance(logits: Tensor, group: Tensor, *, limit: Tensor) -> Tensor:
    """Covariance of the attribute with the distance to the decision boundary, beyond a limit.

    ``max(|mean_i (s_i - s̄) (z_ic - mean z_i)| - limit, 0)`` for the worst class and column. Shapes: logits [batch,
    classes], group [batch, groups] → scalar.
    """
    return boundary_covariance(logits - logits.mean(-1, keepdim=True), group, limit)


@loss_term(reference="Zafar et al. 2017, eq. 2, for predictions", per_sample=False, scaled=False, limit=_LIMIT)
def zafar_covariance_regression(prediction: Tensor, group: Tensor, *, limit: Tensor) -> Tensor:
    """Covariance of the attribute with the prediction, beyond a limit.

    As `zafar_covariance`. Shapes: prediction [batch], group [batch, groups] → scalar.
    """
    return boundary_covariance(prediction[:, None], group, limit)
