"""Terms on a whole distribution of the target: its centre and its spread, its quantiles, or a mixture.

Residuals are in units of the standardised target.

Example:
    >>> import torch
    >>> import losssearch as ls
    >>> mean, scale, target = torch.tensor([0.0, 0.0]), torch.tensor([1.0, 2.0]), torch.tensor([0.0, 2.0])
    >>> ls.terms["gaussian_nll"].module(reduction="none")(mean, scale, target)
    tensor([0.0000, 1.1931])
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from losssearch.losses.domains import Float
from losssearch.losses.term import loss_term
from losssearch.losses.traits import Traits


@loss_term(
    reference="Nix and Weigend 1994, eq. 3",
    nonnegative=False,
    traits=Traits(oracle="torch.nn.GaussianNLLLoss"),
)
def gaussian_nll(mean: Tensor, scale: Tensor, target: Tensor) -> Tensor:
    """The negative log-likelihood of a normal distribution, without its constant.

    ``½ ((t - m) / s)² + ln s``. The best constants are the mean and the standard deviation. Shapes: mean [batch], scale
    [batch], target [batch] → [batch]. Limits: at s = 1 half of `squared`.
    """
    return ((target - mean) / scale).square() / 2 + scale.log()


@loss_term(
    reference="Seitzer et al. 2022, eq. 5; there β is the exponent of the variance",
    nonnegative=False,
    beta=Float(0.0, 1.0, default=0.5),
    traits=Traits(oracle="Seitzer et al. 2022, eq. 5, of torch.nn.GaussianNLLLoss"),
)
def beta_nll(mean: Tensor, scale: Tensor, target: Tensor, *, beta: Tensor) -> Tensor:
    """`gaussian_nll` times the variance to the power β, which has no gradient: rows that are hard to fit still count.

    ``⌊s²⌋^β (½ ((t - m) / s)² + ln s)``. Shapes: mean [batch], scale [batch], target [batch] → [batch]. Limits: β = 0
    is `gaussian_nll`; at β = 1 the slope by the mean is that of half of `squared`.
    """
    weight = torch.exp(2 * beta * scale.detach().log())
    return weight * (((target - mean) / scale).square() / 2 + scale.log())


@loss_term(
    reference="Gneiting et al. 2005, eq. 5",
    traits=Traits(oracle="scoringrules.crps_normal"),
)
def gaussian_crps(mean: Tensor, scale: Tensor, target: Tensor) -> Tensor:
    """The continuous ranked probability score of a normal distribution: like `absolute`, with a spread.

    ``s (ζ (2Φ(ζ) - 1) + 2φ(ζ) - π^-½)`` with ``ζ = (t - m) / s``. The best constants are the mean and the standard
    deviation of normal targets. Shapes: mean [batch], scale [batch], target [batch] → [batch]. Limits: s → 0 is
    `absolute`.
    """
    apart = (target - mean) / scale
    density = torch.exp(-apart.square() / 2) / math.sqrt(2 * math.pi)
    return scale * (apart * torch.erf(apart / math.sqrt(2)) + 2 * density - 1 / math.sqrt(math.pi))


@loss_term(
    reference="Laplace 1774; as a likelihood with a spread, Kendall and Gal 2017, sec. 3",
    nonnegative=False,
    traits=Traits(oracle="scipy.stats.laplace.logpdf", problems=("outliers",)),
)
def laplace_nll(mean: Tensor, spread: Tensor, target: Tensor) -> Tensor:
    """The negative log-likelihood of a Laplace distribution, without its constant.

    ``|t - m| / b + ln b``. The best constants are the median and the mean absolute deviation from it. Shapes: mean
    [batch], spread [batch], target [batch] → [batch]. Limits: at b = 1 it is `absolute`.
    """
    return (target - mean).abs() / spread + spread.log()


@loss_term(
    reference="Lange, Little and Taylor 1989, eq. 1",
    nonnegative=False,
    traits=Traits(oracle="scipy.stats.t.logpdf", problems=("outliers",)),
)
def student_nll(mean: Tensor, scale: Tensor, freedom: Tensor, target: Tensor) -> Tensor:
    """The negative log-likelihood of Student's t: like `gaussian_nll`, but outliers count less.

    ``ln s + ln B(½, ν/2) + ½ ln ν + (ν + 1)/2 ln(1 + ζ²/ν)`` with ``ζ = (t - m) / s``; the degrees of freedom ν are
    learned. Shapes: mean [batch], scale [batch], freedom [batch], target [batch] → [batch]. Limits: ν → ∞ is
    `gaussian_nll` and ½ ln 2π.
    """
    apart, half = (target - mean) / scale, freedom / 2
    constant = torch.lgamma(half) - torch.lgamma(half + 0.5) + freedom.log() / 2 + math.log(math.pi) / 2
    return scale.log() + constant + (half + 0.5) * torch.log1p(apart.square() / freedom)


@loss_term(
    reference="Koenker and Bassett 1978; many quantiles at once, White 2000",
    traits=Traits(oracle="sklearn.metrics.mean_pinball_loss, level by level"),
)
def pinball_grid(quantiles: Tensor, target: Tensor) -> Tensor:
    """The mean pinball loss of the quantiles at 0.05, 0.10, …, 0.95: half of an approximate CRPS.

    ``mean_τ max(τ r, (τ - 1) r)`` with ``r = t - q_τ``. The best constants are the quantiles. Shapes: quantiles [batch,
    levels], target [batch] → [batch]. Limits: where all quantiles are equal, a quarter of `absolute` or more.
    """
    count = quantiles.shape[-1]
    levels = torch.arange(1, count + 1, dtype=quantiles.dtype, device=quantiles.device) / (count + 1)
    residual = target.unsqueeze(-1) - quantiles
    return torch.maximum(levels * residual, (levels - 1) * residual).mean(-1)


@loss_term(
    reference="Bishop 1994, eq. 22",
    nonnegative=False,
    traits=Traits(oracle="scipy.stats.norm.logpdf, component by component"),
)
def gaussian_mixture_nll(
    component_means: Tensor, component_scales: Tensor, component_logits: Tensor, target: Tensor
) -> Tensor:
    """The negative log-likelihood of a mixture of normal distributions: several peaks, skewed or heavy tails.

    ``-ln Σ_k softmax(a)_k exp(-½ ζ_k²) / s_k`` with ``ζ_k = (t - m_k) / s_k``. Shapes: component_means,
    component_scales and component_logits [batch, components], target [batch] → [batch]. Limits: where all components
    are equal it is `gaussian_nll`.
    """
    apart = (target.unsqueeze(-1) - component_means) / component_scales
    likelihood = torch.log_softmax(component_logits, -1) - apart.square() / 2 - component_scales.log()
    return -torch.logsumexp(likelihood, -1)
