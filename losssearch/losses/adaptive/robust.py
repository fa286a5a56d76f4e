"""Robust regression that learns how heavy the tails of the residuals are.

Example:
    The shape and the scale are parameters of the module: pass them to the optimiser.

    >>> import losssearch as ls
    >>> [name for name, _ in ls.terms["general_robust"].module().named_parameters()]
    ['shape', 'log_scale']
"""

from __future__ import annotations

import torch
from torch import Tensor

from losssearch.losses.state import Learned
from losssearch.losses.term import loss_term
from losssearch.losses.traits import Traits

_SHAPE_LOW, _SHAPE_HIGH = 0.01, 1.99
"""The open range of the shape: at 0 and 2 the formula has removable singularities."""

_SMALLEST_SCALE = 1e-3
"""Keeps the likelihood bounded when a model fits every sample."""

_NODES, _REACH = 64, 16.0
"""Trapezoid rule for the partition function, after x = sinh(u), u in [0, 16]."""


def _rho(x: Tensor, shape: Tensor) -> Tensor:
    """Barron's loss for unit scale; expm1 and log1p keep it exact near 0."""
    width = 2 - shape
    return width / shape * torch.expm1(shape / 2 * torch.log1p(x.square() / width))


def _log_partition(shape: Tensor) -> Tensor:
    """``log ∫ exp(-rho(x)) dx``: within 1e-6 of adaptive quadrature, its derivative within 2e-5.

    The integrand is analytic and the substitution makes its tails fall at least exponentially, so few
    nodes suffice; the derivative with respect to the shape is that of the sum.
    """
    u = torch.linspace(0, _REACH, _NODES + 1, dtype=shape.dtype, device=shape.device)
    weight = torch.cosh(u) * (_REACH / _NODES)
    half = torch.where(u == 0, 0.5, 1.0).to(shape.dtype)
    return torch.log(2 * (half * weight * torch.exp(-_rho(torch.sinh(u), shape))).sum())


@loss_term(
    reference="Barron 2019, A general and adaptive robust loss function",
    nonnegative=False,
    shape=Learned(0.0),
    log_scale=Learned(0.0),
    traits=Traits(
        argmin="centre",
        problems=("outliers",),
        convex=True,
        smooth=True,
        bounded=True,
        probabilistic=True,
        oracle="Barron 2019 with scipy.special.k1",
    ),
)
def general_robust(prediction: Tensor, target: Tensor, *, shape: Tensor, log_scale: Tensor) -> Tensor:
    """Negative log-likelihood of a family from near-Cauchy to near-Gaussian residuals, both shape and scale learned.

    ``ρ(r / c, α) + log c + log Z(α)`` with
    ``ρ(x, α) = (2 - α)/α ((x²/(2 - α) + 1)^(α/2) - 1)``, ``α = 0.01 + 1.98 σ(shape)``,
    ``c = 0.001 + exp(log_scale)``. Shapes: prediction [batch], target [batch] → [batch]; may be negative.
    Limits: α = 1 is the smooth absolute ``sqrt(x² + 1) - 1``; α → 2 is ``x² / 2``, α → 0 is
    ``log(x²/2 + 1)``.
    """
    alpha = _SHAPE_LOW + (_SHAPE_HIGH - _SHAPE_LOW) * torch.sigmoid(shape)
    scale = _SMALLEST_SCALE + torch.exp(log_scale)
    return _rho((target - prediction) / scale, alpha) + torch.log(scale) + _log_partition(alpha)
