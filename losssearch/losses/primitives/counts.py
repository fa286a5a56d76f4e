"""Terms on counts: a rate, or its logarithm, times the exposure of each row is the count that is expected.

Example:
    >>> import torch
    >>> import losssearch as ls
    >>> log_rate, exposure, target = torch.tensor([0.0, 0.0]), torch.tensor([1.0, 2.0]), torch.tensor([0.0, 3.0])
    >>> ls.terms["poisson_log_rate"].module(reduction="none")(log_rate, exposure, target)
    tensor([1., 2.])
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from losssearch.losses.domains import Float
from losssearch.losses.term import loss_term
from losssearch.losses.traits import Traits

_STEEP = 30.0
"""Beyond this an exponential continues as its tangent, so that a loss and its gradient stay finite."""


def growth(exponent: Tensor) -> Tensor:
    """The exponential, and its tangent beyond 30."""
    bounded = exponent.clamp(max=_STEEP)
    return bounded.exp() * (1 + exponent - bounded)


@loss_term(
    reference="Legendre 1805; of rates, weighted by exposure",
    traits=Traits(oracle="the squared error of the rate times the exposure, in NumPy"),
)
def rate_squared(rate: Tensor, exposure: Tensor, target: Tensor) -> Tensor:
    """The squared error of the rate, which counts as much as the row was observed.

    ``e (m - y / e)²``. The best constant is the mean rate. Shapes: rate [batch], exposure [batch], target [batch] →
    [batch]. Limits: at e = 1 it is `squared`.
    """
    return exposure * (rate - target / exposure).square()


@loss_term(
    reference="McCullagh and Nelder 1989, sec. 6.2",
    nonnegative=False,
    traits=Traits(oracle="torch.nn.PoissonNLLLoss; scipy.stats.poisson.logpmf"),
)
def poisson_log_rate(log_rate: Tensor, exposure: Tensor, target: Tensor) -> Tensor:
    """The negative log-likelihood of Poisson counts, without what does not depend on the rate.

    ``μ - y η`` with ``μ = e exp η``. The best constant is the logarithm of the mean rate. Shapes: log_rate [batch],
    exposure [batch], target [batch] → [batch]. Limits: with a factor, `tweedie` at p → 1.
    """
    return exposure * growth(log_rate) - target * log_rate


@loss_term(
    reference="Lambert 1992, eq. 1",
    nonnegative=False,
    traits=Traits(oracle="scipy.stats.poisson.logpmf, mixed with a point at zero"),
)
def zero_inflated_poisson(log_rate: Tensor, zero_logit: Tensor, exposure: Tensor, target: Tensor) -> Tensor:
    """The negative log-likelihood of Poisson counts among rows of which some can only be zero.

    With the share of these ``σ(a)``: ``-logaddexp(ln σ(a), ln σ(-a) - μ)`` for zeros, else ``-ln σ(-a) + μ - y ln μ +
    ln y!``. Shapes: log_rate [batch], zero_logit [batch], exposure [batch], target [batch] → [batch]. Limits: a → -∞ is
    `poisson_log_rate` and what does not depend on the rate.
    """
    log_mean, mean = log_rate + exposure.log(), exposure * growth(log_rate)
    never, ever = F.logsigmoid(zero_logit), F.logsigmoid(-zero_logit)
    seen = -ever + mean - target * log_mean + torch.lgamma(target + 1)
    return torch.where(target > 0, seen, -torch.logaddexp(never, ever - mean))


@loss_term(
    reference="Jørgensen 1987; Dunn and Smyth 2005",
    nonnegative=False,
    power=Float(1.05, 1.95, default=1.5),
    traits=Traits(oracle="sklearn._loss.HalfTweedieLoss"),
)
def tweedie(log_rate: Tensor, exposure: Tensor, target: Tensor, *, power: Tensor) -> Tensor:
    """Half the Tweedie deviance, without what does not depend on the rate: between Poisson and gamma.

    ``-y μ^(1-p) / (1-p) + μ^(2-p) / (2-p)`` with ``μ = e exp η``. The best constant is the logarithm of the mean rate.
    Shapes: log_rate [batch], exposure [batch], target [batch] → [batch]. Limits: the slope by η at p → 1 is that of
    `poisson_log_rate`, and at p → 2 that of `gamma_log_rate`.
    """
    log_mean = log_rate + exposure.log()
    return target * growth((1 - power) * log_mean) / (power - 1) + growth((2 - power) * log_mean) / (2 - power)


@loss_term(
    reference="McCullagh and Nelder 1989, sec. 8.3",
    nonnegative=False,
    traits=Traits(oracle="sklearn._loss.HalfGammaLoss"),
)
def gamma_log_rate(log_rate: Tensor, exposure: Tensor, target: Tensor) -> Tensor:
    """Half the gamma deviance, without what does not depend on the rate: relative errors of amounts above 0.

    ``y / μ + ln μ`` with ``μ = e exp η``. The best constant is the logarithm of the mean rate. Shapes: log_rate
    [batch], exposure [batch], target [batch] → [batch]. Limits: without targets above zero it has no minimum.
    """
    log_mean = log_rate + exposure.log()
    return target * growth(-log_mean) + log_mean
