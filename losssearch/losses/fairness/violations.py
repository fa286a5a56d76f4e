"""How far the rates of groups are apart, as one number; 0 where all are equal.

Each takes rates ``[cells, groups]``, overall rates ``[cells]`` and which cells hold rows ``[cells, groups]``, as
`window.group_rates` gives them.
"""

from __future__ import annotations

import torch
from torch import Tensor

VIOLATIONS = ("gap", "worst_pair", "ratio", "kl", "log_sum_exp", "norm1", "norm2", "norm_inf")

_SHARPNESS = 50.0
"""Of the smooth maximum: with two groups it reads half of a gap of 0.05, and 0.97 of one of 0.2 and more."""
_NEAR_ZERO = 1e-6


def violation_value(name: str, rates: Tensor, overall: Tensor, present: Tensor, *, shares: bool) -> Tensor:
    """The violation ``name``; ``shares``: the rates lie in [0, 1]."""
    if name == "kl":
        return _kl(rates, overall, present, shares)
    function = {
        "gap": _gap,
        "worst_pair": _worst_pair,
        "ratio": _ratio,
        "log_sum_exp": _log_sum_exp,
        "norm1": _norm1,
        "norm2": _norm2,
        "norm_inf": _norm_inf,
    }[name]
    return function(rates, overall, present)


def _gap(rates: Tensor, overall: Tensor, present: Tensor) -> Tensor:
    """Mean distance of a group from the overall rate."""
    return _mean((rates - overall[:, None]).abs(), present)


def _mean(values: Tensor, present: Tensor) -> Tensor:
    held = present.to(values.dtype)
    return (values * held).sum() / held.sum().clamp_min(1)


def _worst_pair(rates: Tensor, overall: Tensor, present: Tensor) -> Tensor:
    """Largest less least rate, in the cell where that is most; fairlearn's ``*_difference``."""
    return (rates.amax(-1) - rates.amin(-1)).amax()


def _ratio(rates: Tensor, overall: Tensor, present: Tensor) -> Tensor:
    """One minus least over largest rate, in the cell where that is most; one minus fairlearn's ``*_ratio``.

    Where rates may be negative, largest less least over the larger of their sizes, which is the same otherwise.
    """
    high, low = rates.amax(-1), rates.amin(-1)
    size = torch.maximum(high.abs(), low.abs())
    counts = size > _NEAR_ZERO
    return torch.where(counts, (high - low) / torch.where(counts, size, 1.0), 0.0).amax()


def _kl(rates: Tensor, overall: Tensor, present: Tensor, shares: bool) -> Tensor:
    """Mean divergence of a group from the overall rate: of Bernoullis, or of normals of unit variance."""
    if not shares:
        return _mean((rates - overall[:, None]).square() / 2, present)
    of_group = rates.clamp(_NEAR_ZERO, 1 - _NEAR_ZERO)
    of_all = overall.clamp(_NEAR_ZERO, 1 - _NEAR_ZERO)[:, None]
    divergence = of_group * (of_group / of_all).log() + (1 - of_group) * ((1 - of_group) / (1 - of_all)).log()
    return _mean(divergence, present)


def _log_sum_exp(rates: Tensor, overall: Tensor, present: Tensor) -> Tensor:
    """`_worst_pair` with smooth extremes, less what they give for equal rates."""
    held = present | ~present.any(-1, keepdim=True)
    high = torch.where(held, _SHARPNESS * rates, -torch.inf).logsumexp(-1)
    low = torch.where(held, -_SHARPNESS * rates, -torch.inf).logsumexp(-1)
    return ((high + low - 2 * held.sum(-1).to(rates.dtype).log()) / _SHARPNESS).amax()


def _norm1(rates: Tensor, overall: Tensor, present: Tensor) -> Tensor:
    return (rates - overall[:, None]).abs().sum()


def _norm2(rates: Tensor, overall: Tensor, present: Tensor) -> Tensor:
    square = (rates - overall[:, None]).square().sum()
    return torch.where(square > 0, torch.where(square > 0, square, 1.0).sqrt(), 0.0)


def _norm_inf(rates: Tensor, overall: Tensor, present: Tensor) -> Tensor:
    return (rates - overall[:, None]).abs().amax()
