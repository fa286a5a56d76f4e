"""The number to add to all predictions of a regression model, best for a metric. All but that of counts are in
closed form.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from losssearch.evaluation.ordering import argsort, sort
from losssearch.evaluation.regression import LEAST_COUNT, relative_weight

PLACES = 17
"""Shifts at which a deviance is read: so many quantiles of the residuals, then as many around the best of them."""

STEPS = 8
"""Newton steps from the best of these."""


def fit_mean(predictions: Tensor, target: Tensor) -> Tensor:
    """Mean residual ``[M]`` of predictions ``[M, N]``: best for rmse and r2."""
    return _residuals(predictions, target).mean(-1)


def fit_quantile(predictions: Tensor, target: Tensor, *, q: float) -> Tensor:
    """The ``q``-quantile of the residuals ``[M]``: best for pinball, and for mae at one half."""
    residuals = sort(_residuals(predictions, target))
    rows = residuals.shape[-1]
    lower = min(max(math.ceil(q * rows) - 1, 0), rows - 1)
    upper = min(math.floor(q * rows), rows - 1)
    return (residuals[:, lower] + residuals[:, upper]) / 2


def fit_relative(predictions: Tensor, target: Tensor) -> Tensor:
    """The median residual ``[M]``, each weighted by one over its target's size: best for mape."""
    residuals = _residuals(predictions, target)
    order = argsort(residuals)
    weights = relative_weight(target).gather(-1, order).cumsum(-1)
    place = (weights < weights[:, -1:] / 2).sum(-1, keepdim=True)
    return residuals.gather(-1, order).gather(-1, place).squeeze(-1)


def fit_shortest_half(predictions: Tensor, target: Tensor) -> Tensor:
    """The middle ``[M]`` of the shortest interval that holds half the residuals: best for medae.

    Least median of squares (Rousseeuw 1984). For an even number of rows, whose median is the mean of two errors,
    it is best for the larger of them.
    """
    residuals = sort(_residuals(predictions, target))
    half = residuals.shape[-1] // 2
    starts, ends = residuals[:, : residuals.shape[-1] - half], residuals[:, half:]
    place = (ends - starts).argmin(-1, keepdim=True)
    return ((starts.gather(-1, place) + ends.gather(-1, place)) / 2).squeeze(-1)


def fit_poisson(predictions: Tensor, target: Tensor) -> Tensor:
    """The shift ``[M]`` that is best, or nearly so, for the Poisson deviance of counts.

    Without predictions below `LEAST_COUNT` the deviance has one valley, and Newton's steps find its ground. Each such
    prediction may add a valley. So it is read at quantiles of the residuals, between the ends of which the best shift
    lies, and at no shift at all; then around the best of these, and the steps begin at the best of all.
    """
    shown, count = predictions.double(), target.double().clamp(min=0)
    residuals = sort(count - shown)
    rows = residuals.shape[-1]
    places = torch.linspace(0, rows - 1, min(PLACES, rows), dtype=torch.float64).round().long()
    coarse = residuals[:, places]
    nothing = torch.zeros_like(coarse[:, 0])
    start = _lowest(shown, count, torch.cat((nothing[:, None], coarse), dim=-1))
    below = torch.where(coarse < start[:, None], coarse, -math.inf).amax(-1)
    above = torch.where(coarse > start[:, None], coarse, math.inf).amin(-1)
    below, above = (torch.where(end.isfinite(), end, start)[:, None] for end in (below, above))
    shares = torch.linspace(0, 1, PLACES, dtype=torch.float64, device=shown.device)[1:-1]
    start = _lowest(shown, count, torch.cat((start[:, None], below + shares * (above - below)), dim=-1))
    shift = start
    for _ in range(STEPS):
        mean = (shown + shift[:, None]).clamp(min=LEAST_COUNT)
        active = mean > LEAST_COUNT
        pull = torch.where(active, count / mean, 0.0)
        slope, bend = (active.double() - pull).sum(-1), (pull / mean).sum(-1)
        shift = torch.where(bend > 0, shift - slope / torch.where(bend > 0, bend, 1.0), shift)
        shift = torch.minimum(torch.maximum(shift, coarse[:, 0]), coarse[:, -1])
    ends = torch.stack((nothing, start, shift), dim=-1)
    return ends.gather(-1, _deviances(shown, count, ends).argmin(-1, keepdim=True)).squeeze(-1)


def _lowest(predictions: Tensor, count: Tensor, shifts: Tensor) -> Tensor:
    """Which of the shifts ``[M, S]`` has the least deviance, ``[M]``; found in float32, which is faster."""
    least = _deviances(predictions.float(), count.float(), shifts.float()).argmin(-1, keepdim=True)
    return shifts.gather(-1, least).squeeze(-1)


def _deviances(predictions: Tensor, count: Tensor, shifts: Tensor) -> Tensor:
    """Half of the mean deviance at each shift, ``[M, S]``, but for what does not depend on the shift."""
    means = ((predictions + shift[:, None]).clamp_(min=LEAST_COUNT) for shift in shifts.unbind(-1))
    return torch.stack([(mean - count * mean.log()).mean(-1) for mean in means], dim=-1)


def _residuals(predictions: Tensor, target: Tensor) -> Tensor:
    return target.double() - predictions.double()
