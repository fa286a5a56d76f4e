"""Terms on single numeric predictions. Residuals are in units of the standardised target.

Example:
    >>> import torch
    >>> import losssearch as ls
    >>> prediction, target = torch.tensor([0.0, 0.0]), torch.tensor([0.5, 3.0])
    >>> ls.terms["huber"].module(delta=1.0, reduction="none")(prediction, target)
    tensor([0.1250, 2.5000])
    >>> ls.terms["squared"].module()(prediction, target)
    tensor(4.6250)
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from losssearch.losses.domains import Float
from losssearch.losses.term import loss_term
from losssearch.losses.traits import Traits


@loss_term(
    reference="Legendre 1805",
    traits=Traits(argmin="mean", convex=True, smooth=True, probabilistic=True, oracle="torch.nn.functional.mse_loss"),
)
def squared(prediction: Tensor, target: Tensor) -> Tensor:
    """The squared residual: its best constant is the mean.

    ``(t - p)²``. Shapes: prediction [batch], target [batch] → [batch].
    """
    return (target - prediction).square()


@loss_term(
    reference="Laplace 1774",
    traits=Traits(
        argmin="median",
        problems=("outliers",),
        convex=True,
        bounded=True,
        probabilistic=True,
        oracle="torch.nn.functional.l1_loss",
    ),
)
def absolute(prediction: Tensor, target: Tensor) -> Tensor:
    """The absolute residual: its best constant is the median.

    ``|t - p|``. Shapes: prediction [batch], target [batch] → [batch].
    """
    return (target - prediction).abs()


@loss_term(
    reference="Huber 1964",
    delta=Float(0.05, 5.0, default=1.0, log=True),
    traits=Traits(
        argmin="centre",
        problems=("outliers",),
        convex=True,
        smooth=True,
        bounded=True,
        probabilistic=True,
        oracle="scipy.special.huber",
    ),
)
def huber(prediction: Tensor, target: Tensor, *, delta: Tensor) -> Tensor:
    """Quadratic for residuals within δ, linear beyond: efficient and robust.

    ``r² / 2`` where ``|r| <= δ``, else ``δ (|r| - δ / 2)``. Shapes: prediction [batch], target [batch]
    → [batch]. Limits: δ → ∞ is half of `squared`; over δ, δ → 0 is `absolute`.
    """
    residual = target - prediction
    bounded = torch.clamp(residual, -delta, delta)
    return bounded * (residual - bounded / 2)


@loss_term(
    reference="Green 1990; logistic-like M-estimator",
    traits=Traits(
        argmin="centre",
        problems=("outliers",),
        convex=True,
        smooth=True,
        bounded=True,
        probabilistic=True,
        oracle="numpy.log, numpy.cosh",
    ),
)
def log_cosh(prediction: Tensor, target: Tensor) -> Tensor:
    """A smooth `huber`: quadratic near 0, linear far away, with no corner to tune.

    ``log cosh(t - p)``. Shapes: prediction [batch], target [batch] → [batch].
    """
    residual = target - prediction
    # log cosh r = r + log(1 + e^-2r) - log 2 holds for either sign and never overflows
    return residual - F.logsigmoid(2 * residual) - math.log(2)


@loss_term(
    reference="Koenker and Bassett 1978",
    quantile=Float(0.01, 0.99, default=0.5),
    traits=Traits(
        argmin="quantile",
        problems=("outliers", "costs"),
        convex=True,
        bounded=True,
        probabilistic=True,
        oracle="sklearn.metrics.mean_pinball_loss",
    ),
)
def quantile(prediction: Tensor, target: Tensor, *, quantile: Tensor) -> Tensor:
    """The pinball loss: its best constant is the quantile τ.

    ``max(τ r, (τ - 1) r)`` with ``r = t - p``. Shapes: prediction [batch], target [batch] → [batch].
    Limits: τ = 0.5 is half of `absolute`.
    """
    residual = target - prediction
    return torch.maximum(quantile * residual, (quantile - 1) * residual)


@loss_term(
    reference="Newey and Powell 1987",
    aliases=("expectile",),
    asymmetry=Float(0.01, 0.99, default=0.5),
    traits=Traits(
        argmin="expectile",
        problems=("costs",),
        convex=True,
        smooth=True,
        probabilistic=True,
        oracle="scipy.stats.expectile",
    ),
)
def asymmetric_squared(prediction: Tensor, target: Tensor, *, asymmetry: Tensor) -> Tensor:
    """Squared residuals with a separate weight for each sign: its best constant is an expectile.

    ``a r²`` where the prediction is too low (r = t - p >= 0), else ``(1 - a) r²``. Shapes: prediction
    [batch], target [batch] → [batch]. Limits: a = 0.5 is half of `squared`.
    """
    residual = target - prediction
    cost = residual.square()
    return torch.where(residual >= 0, asymmetry * cost, (1 - asymmetry) * cost)


@loss_term(
    reference="Beaton and Tukey 1974",
    cutoff=Float(0.3, 10.0, default=4.685, log=True),
    traits=Traits(
        argmin="centre", problems=("outliers",), smooth=True, bounded=True, oracle="Beaton and Tukey 1974 in NumPy"
    ),
)
def tukey_biweight(prediction: Tensor, target: Tensor, *, cutoff: Tensor) -> Tensor:
    """Quadratic near 0 and constant beyond the cutoff, so that gross outliers have no influence.

    ``c²/6 (1 - (1 - (r/c)²)³)`` where ``|r| <= c``, else ``c²/6``. Shapes: prediction [batch], target
    [batch] → [batch]. Limits: c → ∞ is half of `squared`; c = 4.685 keeps 95 % efficiency on Gaussian
    residuals of unit variance.
    """
    share = ((target - prediction) / cutoff).square().clamp_max(1)
    return cutoff.square() / 6 * share * (3 - 3 * share + share.square())


@loss_term(
    reference="Vapnik 1995, chapter 6: support vector regression",
    epsilon=Float(0.0, 2.0, default=0.1),
    traits=Traits(
        argmin="centre",
        problems=("outliers",),
        convex=True,
        bounded=True,
        probabilistic=True,
        oracle="sklearn.svm.LinearSVR, its objective",
    ),
)
def epsilon_insensitive(prediction: Tensor, target: Tensor, *, epsilon: Tensor) -> Tensor:
    """The absolute residual beyond a tube of width ε, within which nothing costs: errors that small do not matter.

    ``max(0, |t - p| - ε)``. Shapes: prediction [batch], target [batch] → [batch]. Limits: ε = 0 is `absolute`.
    """
    return ((target - prediction).abs() - epsilon).clamp_min(0)
