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

SAMPLE = 128
"""Rows that a first guess of a temperature is made on."""

BLIND = 8
"""Steps between two looks at who has settled, on a device that has to be waited for; on the CPU each step looks."""

_Slope = Callable[[Tensor], tuple[Tensor, Tensor]]


def fit_binary_log_loss(logits: Tensor, target: Tensor, *, weight: Tensor | None = None) -> Tensor:
    """The temperature ``[M]`` with the lowest log loss of logits ``[M, N]``."""
    label = (target > 0).to(logits.dtype)

    def slope(inverse: Tensor) -> tuple[Tensor, Tensor]:
        p = (logits * inverse.to(logits.dtype).unsqueeze(1)).sigmoid()
        return _total((p - label) * logits, weight), _total(p * (1 - p) * logits * logits, weight)

    return _fit_convex(slope, logits)


def fit_multiclass_log_loss(logits: Tensor, target: Tensor, *, weight: Tensor | None = None) -> Tensor:
    """The temperature ``[M]`` with the lowest log loss of logits ``[M, N, C]``."""
    # Classes first: sums over them are then sums of long rows. Less the largest, so that nothing overflows.
    below = (logits - logits.amax(-1, keepdim=True)).movedim(-1, 0).contiguous()
    of_label = below.gather(0, target.long().unsqueeze(0)).squeeze(0)
    low = torch.full((len(logits),), math.exp(-RANGE), dtype=torch.float64, device=logits.device)
    start = torch.ones_like(low)
    rows = below.shape[2]
    if rows >= 8 * SAMPLE:
        # A good start, found on few rows, leaves little to do on all of them.
        stride = rows // SAMPLE
        few = None if weight is None else weight[:, ::stride]
        start = _cubic(below[..., ::stride].contiguous(), of_label[:, ::stride], low, 1 / low, start, few)
    return 1 / _cubic(below, of_label, low, 1 / low, start, weight)


def _total(values: Tensor, weight: Tensor | None) -> Tensor:
    """The sum over rows ``[M]`` of ``values`` ``[M, N]``, each as often as ``weight`` ``[M, N]`` says."""
    return values.sum(1, dtype=torch.float64) if weight is None else (values.double() * weight).sum(1)


def _cubic(
    below: Tensor, of_label: Tensor, low: Tensor, high: Tensor, inverse: Tensor, weight: Tensor | None
) -> Tensor:
    """The bottom ``[M]`` of the log loss of ``below`` ``[C, M, N]``, convex in the inverse temperature.

    Halley's method, whose error shrinks with its cube; a step that leaves the bracket is replaced by a bisection, one
    that leaves the range by its end. A member that has settled rests, and is left out once that is looked at.
    """
    ends = low[0], high[0]
    low, high, inverse = low.clone(), high.clone(), inverse.clone()
    members = torch.arange(len(inverse), device=inverse.device)
    settled = torch.zeros_like(members, dtype=torch.bool)
    for step_number in range(1, 61):
        x = inverse[members]
        first, second, third = _moments(below, of_label, x, weight)
        low[members] = torch.where(first < 0, x, low[members])
        high[members] = torch.where(first < 0, high[members], x)
        safe = second.clamp(min=1e-300)
        newton = first / safe
        bend = 1 - 0.5 * newton * third / safe
        step = x - newton / torch.where(bend > 0.5, bend, 1.0)
        step = step.clamp(*ends)
        inside = (step > low[members]) & (step < high[members])
        at_end = ((x == ends[0]) & (first >= 0)) | ((x == ends[1]) & (first <= 0))
        # An end of the range may be stepped on once: whether the bottom lies beyond shows there.
        untried = ((step == ends[0]) & (first > 0)) | ((step == ends[1]) & (first < 0))
        new = torch.where(inside | untried, step, (low[members] * high[members]).sqrt())
        new = torch.where((first == 0) | at_end | settled, x, new)
        inverse[members] = new
        settled = settled | ~((new / x).log().abs() >= 1e-3)
        if not _looks(step_number, inverse):
            continue
        moving = (~settled).nonzero()[:, 0]
        if not len(moving):
            break
        if len(moving) < len(members):
            members, below, of_label = members[moving], below[:, moving], of_label[moving]
            settled, weight = settled[moving], None if weight is None else weight[moving]
    return inverse


def _looks(step: int, values: Tensor) -> bool:
    """Whether it is worth waiting for the device, after ``steps`` steps, to see which members have converged."""
    return values.device.type == "cpu" or step % BLIND == 0


def _moments(below: Tensor, of_label: Tensor, inverse: Tensor, weight: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """The first three derivatives ``[M]`` of the log loss by the inverse temperature ``[M]``."""
    powers = below * inverse.to(below.dtype)[:, None]
    powers.exp_()
    total = powers.sum(0)
    means = []
    for _ in range(3):
        powers.mul_(below)
        means.append(powers.sum(0).div_(total))
    mean, square, cube = means
    variance = square - mean.square()
    skew = cube - mean * (3 * variance + mean.square())
    return _total(mean - of_label, weight), _total(variance, weight), _total(skew, weight)


def fit_brier(logits: Tensor, target: Tensor, *, weight: Tensor | None = None) -> Tensor:
    """The temperature ``[M]`` with the lowest Brier score of logits ``[M, N]``."""
    label = (target > 0).to(logits.dtype)

    def probability(inverse: Tensor) -> Tensor:
        return (logits * inverse.to(logits.dtype).unsqueeze(1)).sigmoid()

    def value(inverse: Tensor) -> Tensor:
        return _total((probability(inverse) - label).square(), weight)

    def slope(inverse: Tensor) -> tuple[Tensor, Tensor]:
        p = probability(inverse)
        error, width = p - label, p * (1 - p)
        second = width * logits * logits * (width + error * (1 - 2 * p))
        return _total(error * width * logits, weight), _total(second, weight)

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
    for step_number in range(1, 41):
        first, second = slope(inverse)
        low, high = torch.where(first < 0, inverse, low), torch.where(first < 0, high, inverse)
        step = inverse - first / second.clamp(min=1e-300)
        new = torch.where((step > low) & (step < high), step, (low * high).sqrt())
        new = torch.where(settled | (first == 0), inverse, new)
        # The error left is of the order of the last step's square. A settled member rests, whatever others do.
        settled = settled | ((new / inverse).log().abs() < 1e-4)
        inverse = new
        if _looks(step_number, inverse) and bool(settled.all()):
            break
    return torch.where(at_end, ends, inverse)
