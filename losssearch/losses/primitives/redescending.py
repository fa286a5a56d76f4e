"""M-estimators whose gradient falls again for large residuals: an outlier is forgotten, smoothly.

All are ``r²/2`` near 0; the cutoff c is in standard deviations of the target. They are not convex, so where a training
starts matters, more so the smaller c is.

Example:
    >>> import torch
    >>> import losssearch as ls
    >>> prediction, target = torch.tensor([0.0, 0.0]), torch.tensor([0.5, 30.0])
    >>> ls.terms["cauchy"].module(cutoff=2.0, reduction="none")(prediction, target)
    tensor([0.1212, 10.8377])
    >>> ls.terms["welsch"].module(cutoff=2.0, reduction="none")(prediction, target)
    tensor([0.1212, 2.0000])
"""

from __future__ import annotations

import torch
from torch import Tensor

from losssearch.losses.domains import Float
from losssearch.losses.term import loss_term
from losssearch.losses.traits import Traits


@loss_term(
    reference="Holland and Welsch 1977; Black and Anandan 1996",
    cutoff=Float(0.3, 10.0, default=2.385, log=True),
    traits=Traits(
        argmin="centre",
        problems=("outliers",),
        smooth=True,
        bounded=True,
        probabilistic=True,
        oracle="kornia.losses.cauchy_loss; scipy.optimize.least_squares, loss=cauchy",
    ),
)
def cauchy(prediction: Tensor, target: Tensor, *, cutoff: Tensor) -> Tensor:
    """Grows with the logarithm of the residual: minus the log-likelihood of Cauchy-like tails, of a fixed scale.

    ``c²/2 log(1 + (r/c)²)`` with ``r = t - p``. Shapes: prediction [batch], target [batch] → [batch]. Limits: c → ∞ is
    half of `squared`; c = 2.385 keeps 95 % efficiency on Gaussian residuals of unit variance.
    """
    return cutoff.square() / 2 * torch.log1p(((target - prediction) / cutoff).square())


@loss_term(
    reference="Dennis and Welsch 1978; Holland and Welsch 1977",
    cutoff=Float(0.3, 10.0, default=2.985, log=True),
    traits=Traits(
        argmin="centre", problems=("outliers",), smooth=True, bounded=True, oracle="kornia.losses.welsch_loss"
    ),
)
def welsch(prediction: Tensor, target: Tensor, *, cutoff: Tensor) -> Tensor:
    """Quadratic near 0 and constant far away, without a corner: gross outliers have no influence.

    ``c²/2 (1 - exp(-(r/c)²))`` with ``r = t - p``; also known as the correntropy loss. Shapes: prediction [batch],
    target [batch] → [batch], below c²/2. Limits: c → ∞ is half of `squared`; c = 2.985 keeps 95 % efficiency on
    Gaussian residuals of unit variance.
    """
    return -cutoff.square() / 2 * torch.expm1(-((target - prediction) / cutoff).square())


@loss_term(
    reference="Geman and McClure 1985",
    cutoff=Float(0.3, 10.0, default=3.0, log=True),
    traits=Traits(
        argmin="centre", problems=("outliers",), smooth=True, bounded=True, oracle="kornia.losses.geman_mcclure_loss"
    ),
)
def geman_mcclure(prediction: Tensor, target: Tensor, *, cutoff: Tensor) -> Tensor:
    """Tends to a constant as a ratio does, more slowly than `welsch`: outliers keep a little influence.

    ``r²/2 / (1 + (r/c)²)`` with ``r = t - p``. Shapes: prediction [batch], target [batch] → [batch], below c²/2.
    Limits: c → ∞ is half of `squared`.
    """
    share = ((target - prediction) / cutoff).square()
    return cutoff.square() / 2 * share / (1 + share)
