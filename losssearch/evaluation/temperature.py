"""The temperature that logits are divided by, so that their probabilities fit the labels (Guo et al. 2017).

It is sought in ``[exp(-3), exp(3)]``.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

RANGE = 3.0
"""Bound on the absolute logarithm of a temperature."""

_Slope = Callable[[Tensor], tuple[Tensor, Tensor]]


def fit_binary_log_loss(logits: Tensor, target: Tensor) -> Tensor:
    """The temperature ``[M]`` with the lowest log loss of logits ``[M, N]``."""
    label = (target > 0).to(logits.dtype)

    def slope(inverse: Tensor) -> tuple[Tensor, Tensor]:
        p = (logits * inverse.to(logits.dtype).unsqueeze(1)).sigmoid()
        first = ((p - label) * logits).sum(1, dtype=torch.float64)
        return first, (p * (1 - p) * logits * logits).sum(1, dtype=torch.float64)

    return _newton(slope, len(logits), logits.device)


def fit_multiclass_log_loss(logits: Tensor, target: Tensor) -> Tensor:
    """The temperature ``[M]`` with the lowest log loss of logits ``[M, N, C]``."""
    logits = logits - logits.mean(-1, keepdim=True)
    of_label = logits.gather(-1, target.long().unsqueeze(-1)).squeeze(-1)

    def slope(inverse: Tensor) -> tuple[Tensor, Tensor]:
        p = (logits * inverse.to(logits.dtype)[:, None, None]).softmax(-1)
        weighted = p * logits
        expected = weighted.sum(-1)
        variance = (weighted * logits).sum(-1) - expected.square()
        return (expected - of_label).sum(1, dtype=torch.float64), variance.sum(1, dtype=torch.float64)

    return _newton(slope, len(logits), logits.device)


def fit_brier(logits: Tensor, target: Tensor) -> Tensor:
    """The temperature ``[M]`` with the lowest Brier score of logits ``[M, N]``."""
    label = (target > 0).to(logits.dtype)

    def value(log_temperature: Tensor) -> Tensor:
        p = (logits * (-log_temperature).exp().to(logits.dtype).unsqueeze(1)).sigmoid()
        return (p - label).square().sum(1, dtype=torch.float64)

    # The score has no convexity to build on: a grid finds the valley, golden sections its bottom.
    grid = torch.linspace(-RANGE, RANGE, 13, dtype=torch.float64, device=logits.device)
    best = torch.stack([value(point.expand(len(logits))) for point in grid]).argmin(0)
    return _golden(value, grid[(best - 1).clamp(min=0)], grid[(best + 1).clamp(max=12)]).exp()


def _newton(slope: _Slope, members: int, device: torch.device) -> Tensor:
    """Newton's method on the inverse temperature, in which the log loss is convex, kept inside a bracket."""
    low = torch.full((members,), math.exp(-RANGE), dtype=torch.float64, device=device)
    high = torch.full_like(low, math.exp(RANGE))
    rising, falling = slope(low)[0] >= 0, slope(high)[0] <= 0
    ends = torch.where(rising, low, high)
    at_end = rising | falling
    inverse = torch.ones_like(low)
    for _ in range(40):
        first, second = slope(inverse)
        low, high = torch.where(first < 0, inverse, low), torch.where(first < 0, high, inverse)
        step = inverse - first / second.clamp(min=1e-300)
        new = torch.where((step > low) & (step < high), step, (low * high).sqrt())
        new = torch.where(first == 0, inverse, new)
        moved = (new / inverse).log().abs().masked_fill(at_end, 0.0)
        inverse = new
        # The error left is of the order of the last step's square.
        if float(moved.max()) < 1e-4:
            break
    return 1 / torch.where(at_end, ends, inverse)


def _golden(value: Callable[[Tensor], Tensor], low: Tensor, high: Tensor) -> Tensor:
    """The lowest point between ``low`` and ``high`` ``[M]``, to about 1e-4."""
    ratio = (math.sqrt(5) - 1) / 2
    left, right = high - ratio * (high - low), low + ratio * (high - low)
    at_left, at_right = value(left), value(right)
    for _ in range(18):
        smaller = at_left < at_right
        low, high = torch.where(smaller, low, left), torch.where(smaller, right, high)
        kept, at_kept = torch.where(smaller, left, right), torch.where(smaller, at_left, at_right)
        fresh = torch.where(smaller, high - ratio * (high - low), low + ratio * (high - low))
        at_fresh = value(fresh)
        left, right = torch.where(smaller, fresh, kept), torch.where(smaller, kept, fresh)
        at_left, at_right = torch.where(smaller, at_fresh, at_kept), torch.where(smaller, at_kept, at_fresh)
    return (low + high) / 2
