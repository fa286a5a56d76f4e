"""Terms on amounts and counts, whose target has a meaningful zero: errors count relative to the target's size.

Targets are standardised, so the terms read ``zero``, the position of the target's own zero among them; a size
``|t - zero|`` is in standard deviations of the target.

Example:
    >>> import torch
    >>> import losssearch as ls
    >>> prediction, target = torch.tensor([1.0, 2.0]), torch.tensor([2.0, 4.0])
    >>> ls.terms["relative_absolute"].module(power=1.0, reduction="none")(prediction, target, torch.tensor(0.0))
    tensor([0.5000, 0.5000])
"""

from __future__ import annotations

import torch
from torch import Tensor

from losssearch.losses.domains import Float
from losssearch.losses.term import loss_term
from losssearch.losses.traits import Traits


@loss_term(
    reference="de Myttenaere et al. 2016, Mean absolute percentage error for regression models",
    power=Float(0.0, 1.0, default=1.0),
    floor=Float(0.001, 1.0, default=0.02, log=True),
    traits=Traits(
        argmin="weighted median",
        problems=("outliers",),
        convex=True,
        bounded=True,
        oracle="sklearn.metrics.mean_absolute_percentage_error",
    ),
)
def relative_absolute(prediction: Tensor, target: Tensor, zero: Tensor, *, power: Tensor, floor: Tensor) -> Tensor:
    """The absolute error relative to the target's size: a tenth too much costs the same at every size.

    ``|t - p| / max(|t - zero|, floor)^power``; the floor limits the effect of targets close to zero. Shapes: prediction
    [batch], target [batch], zero scalar → [batch]. Limits: power = 1 is the absolute percentage error of targets beyond
    the floor, in units of the target's own scale; power = 0 is `absolute`.
    """
    size = torch.maximum((target - zero).abs(), floor.to(target.dtype))
    return (target - prediction).abs() * size**-power


@loss_term(
    reference="McCullagh and Nelder 1989, chapter 9: quasi-likelihood with variance max(mean, floor)",
    floor=Float(0.01, 1.0, default=0.05, log=True),
    traits=Traits(argmin="mean", smooth=True, oracle="sklearn.metrics.mean_poisson_deviance; scipy.integrate.quad"),
)
def poisson(prediction: Tensor, target: Tensor, zero: Tensor, *, floor: Tensor) -> Tensor:
    """For counts and amounts whose spread grows with their mean: half the Poisson deviance.

    With ``y = t - zero`` and mean ``m = p - zero``: ``∫_y^m (s - y) / max(s, floor) ds``, which above the floor is
    ``m - y - y log(m / y)`` and below it a squared error, so that means and targets at or below zero have finite
    values and slopes. The best constant is the mean everywhere. Shapes: prediction [batch], target [batch], zero
    scalar → [batch]. Limits: floor → 0 is half the Poisson deviance; times the floor, floor → ∞ is half of `squared`.
    """
    floor = floor.to(target.dtype)
    mean, count = prediction - zero, target - zero
    high, least = torch.maximum(mean, floor), torch.maximum(count, floor)
    low, rest = torch.minimum(mean, floor), torch.minimum(count, floor)
    above = high - least - count * torch.log(high / least)
    return above + (low - rest) * (low + rest - 2 * count) / (2 * floor)


def symmetric_log(amount: Tensor, unit: Tensor) -> Tensor:
    """``log(1 + |a| / unit)`` with the sign of the amount a."""
    return amount.sign() * torch.log1p(amount.abs() / unit)


@loss_term(
    reference="the root mean squared logarithmic error of forecasting; symmetric: Webber 2013, bi-symmetric log",
    unit=Float(0.005, 5.0, default=0.1, log=True),
    traits=Traits(
        argmin="log mean",
        problems=("outliers",),
        smooth=True,
        bounded=True,
        oracle="sklearn.metrics.mean_squared_log_error",
    ),
)
def log_error(prediction: Tensor, target: Tensor, zero: Tensor, *, unit: Tensor) -> Tensor:
    """The squared difference of logarithms: for amounts that range over orders of magnitude.

    ``(L(p - zero) - L(t - zero))²`` with ``L(a) = sign(a) log(1 + |a| / unit)``, so that amounts far below ``unit`` are
    compared by their difference and larger ones by their ratio. Shapes: prediction [batch], target [batch], zero
    scalar → [batch]. Limits: times unit², unit → ∞ is `squared`.
    """
    unit = unit.to(target.dtype)
    return (symmetric_log(prediction - zero, unit) - symmetric_log(target - zero, unit)).square()
