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

    return _fit_convex(slope, logits)


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

    return _fit_convex(slope, logits)


def fit_brier(logits: Tensor, target: Tensor) -> Tensor:
    """The temperature ``[M]`` with the lowest Brier score of logits ``[M, N]``."""
    label = (target > 0).to(logits.dtype)

    def probability(inverse: Tensor) -> Tensor:
        return (logits * inverse.to(logits.dtype).unsqueeze(1)).sigmoid()

    def value(inverse: Tensor) -> Tensor:
        return (probability(inverse) - label).square().sum(1, dtype=torch.float64)

    def slope(inverse: Tensor) -> tuple[Tensor, Tensor]:
        p = probability(inverse)
        error, width = p - label, p * (1 - p)
        second = width * logits * logits * (width + error * (1 - 2 * p))
        return (error * width * logits).sum(1, dtype=torch.float64), second.sum(1, dtype=torch.float64)

    # The score has no convexity to build on: a grid finds the valley, Newton's method its bottom.
    grid = torch.linspace(-RANGE, RANGE, 13, dtype=torch.float64, device=logits.device).exp()
    values = torch.stack([value(point.expand(len(logits))) for point in grid])
    best = values.argmin(0)
    start = grid[best]
    found = _newton(slope, grid[(best - 1).clamp(min=0)], grid[(best + 1).clamp(max=12)], start)
    return 1 / torch.where(value(found) <= values.amin(0), found, start)


def _fit_convex(slope: _Slope, logits: Tensor) -> Tensor:
    """The temperature ``[M]`` at the bottom of a loss that is convex in its inverse."""
    low = torch.full((len(logits),), math.exp(-RANGE), dtype=torch.float64, device=logits.device)
    return 1 / _newton(slope, low, 1 / low, torch.ones_like(low))


def _newton(slope: _Slope, low: Tensor, high: Tensor, inverse: Tensor) -> Tensor:
    """The lowest point ``[M]`` between ``low`` and ``high``, from ``inverse`` on; all are inverse temperatures.

    ``slope`` gives the first and second derivative. A step that leaves the bracket is replaced by a bisection.
    """
    rising, falling = slope(low)[0] >= 0, slope(high)[0] <= 0
    ends = torch.where(rising, low, high)
    at_end = rising | falling
    settled = at_end
    for _ in range(40):
        first, second = slope(inverse)
        low, high = torch.where(first < 0, inverse, low), torch.where(first < 0, high, inverse)
        step = inverse - first / second.clamp(min=1e-300)
        new = torch.where((step > low) & (step < high), step, (low * high).sqrt())
        new = torch.where(settled | (first == 0), inverse, new)
        # The error left is of the order of the last step's square. A settled member rests, whatever others do.
        settled = settled | ((new / inverse).log().abs() < 1e-4)
        inverse = new
        if bool(settled.all()):
            break
    return torch.where(at_end, ends, inverse)
