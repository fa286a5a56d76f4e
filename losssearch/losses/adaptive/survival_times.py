"""Accelerated failure times: a distribution of the logarithm of a time, around the prediction, whose spread is learned.

``target`` is the logarithm of the time, standardised or not. A row without the event counts by the probability that
its time is at least as long as it was followed.

Example:
    The logarithm of the spread is a parameter of the module: pass it to the optimiser.

    >>> import torch
    >>> import losssearch as ls
    >>> loss = ls.terms["aft_logistic"].module(reduction="none")
    >>> loss(torch.zeros(2), torch.zeros(2), torch.tensor([1.0, 0.0])).detach()
    tensor([1.3873, 0.6931])
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from losssearch.losses.state import Learned
from losssearch.losses.term import loss_term
from losssearch.losses.traits import Traits

_SMALLEST_SCALE = 1e-3
"""Keeps the likelihood bounded when a model fits every sample."""

_STEEPEST = 20.0
"""From here on an exponential continues as a straight line, so that a prediction far off has a finite cost."""


def _exponential(value: Tensor) -> Tensor:
    """``e^value``; beyond `_STEEPEST` its tangent there."""
    return torch.exp(value.clamp_max(_STEEPEST)) * (1 + (value - _STEEPEST).clamp_min(0))


def _log_normal_share(value: Tensor) -> Tensor:
    """``log Φ(value)``, as `torch.special.log_ndtr`, which is slow under ``vmap`` and steeper than finite far below."""
    below, above = value.clamp_max(0), value.clamp_min(0)
    tail = torch.log(torch.special.erfcx(-below / math.sqrt(2)) / 2) - below.square() / 2
    return torch.where(value < 0, tail, torch.log1p(-torch.erfc(above / math.sqrt(2)) / 2))


@loss_term(
    reference="Kalbfleisch and Prentice 2002, section 2.2.4: log-normal times",
    nonnegative=False,
    log_scale=Learned(0.0),
    traits=Traits(
        problems=("censoring",),
        convex=True,
        smooth=True,
        probabilistic=True,
        oracle="scipy.stats.norm; lifelines.LogNormalFitter",
    ),
)
def aft_normal(prediction: Tensor, target: Tensor, event: Tensor, *, log_scale: Tensor) -> Tensor:
    """The likelihood of log-normal times: the logarithm of a time is normal around the prediction.

    With ``s = 0.001 + exp(log_scale)`` and ``z = (t - p) / s``: ``z²/2 + log s + log(2π)/2`` with the event,
    ``-log Φ(-z)`` without. Shapes: prediction [batch], target [batch], event [batch] → [batch]; may be negative.
    Limits: at s = 1 and with every event seen, it is half of `squared` and a constant.
    """
    scale = _SMALLEST_SCALE + torch.exp(log_scale)
    z = (target - prediction) / scale
    density = z.square() / 2 + torch.log(scale) + math.log(2 * math.pi) / 2
    return event * density - (1 - event) * _log_normal_share(-z)


@loss_term(
    reference="Kalbfleisch and Prentice 2002, section 2.2.2: Weibull times",
    nonnegative=False,
    log_scale=Learned(0.0),
    traits=Traits(
        problems=("censoring",),
        convex=True,
        smooth=True,
        bounded=True,
        probabilistic=True,
        oracle="scipy.stats.gumbel_l; lifelines.WeibullFitter",
    ),
)
def aft_weibull(prediction: Tensor, target: Tensor, event: Tensor, *, log_scale: Tensor) -> Tensor:
    """The likelihood of Weibull times, whose hazards are proportional as well.

    With ``s = 0.001 + exp(log_scale)`` and ``z = (t - p) / s``: ``e^z - z + log s`` with the event, ``e^z`` without;
    from z = 20 on, ``e^z`` continues as a straight line. Shapes: prediction [batch], target [batch], event [batch] →
    [batch]; may be negative. Limits: at s = 1 the times are exponential.
    """
    scale = _SMALLEST_SCALE + torch.exp(log_scale)
    z = (target - prediction) / scale
    return _exponential(z) + event * (torch.log(scale) - z)


@loss_term(
    reference="Kalbfleisch and Prentice 2002, section 2.2.6: log-logistic times",
    nonnegative=False,
    log_scale=Learned(0.0),
    traits=Traits(
        problems=("censoring",),
        convex=True,
        smooth=True,
        bounded=True,
        probabilistic=True,
        oracle="scipy.stats.logistic; lifelines.LogLogisticFitter",
    ),
)
def aft_logistic(prediction: Tensor, target: Tensor, event: Tensor, *, log_scale: Tensor) -> Tensor:
    """The likelihood of log-logistic times: few rows that last very long or end very early have a bounded influence.

    With ``s = 0.001 + exp(log_scale)`` and ``z = (t - p) / s``: ``log(1 + e^z) + log(1 + e^-z) + log s`` with the
    event, ``log(1 + e^z)`` without. Shapes: prediction [batch], target [batch], event [batch] → [batch]; may be
    negative.
    """
    scale = _SMALLEST_SCALE + torch.exp(log_scale)
    z = (target - prediction) / scale
    return F.softplus(z) + event * (F.softplus(-z) + torch.log(scale))
