"""The best number to add to all predictions of a regression model, by metric. All but that for counts have a
closed form.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from losssearch.evaluation.ordering import argsort, sort

LEAST_COUNT = 1e-6
"""What a predicted count is at the least: a deviance needs it above zero."""

PLACES = 17
"""Shifts at which a deviance is computed: this number of quantiles of the residuals, then as many around the best."""

STEPS = 8
"""Newton steps from the best of these."""


def relative_weight(target: Tensor) -> Tensor:
    """What an absolute error is multiplied by to make it relative."""
    size = target.double().abs()
    return 1 / torch.where(size == 0, torch.finfo(torch.float64).eps, size)


def fit_mean(predictions: Tensor, target: Tensor, *, weight: Tensor | None = None) -> Tensor:
    """Mean residual ``[M]`` of predictions ``[M, N]``: best for rmse and r2."""
    return _mean(_residuals(predictions, target), weight)


def fit_quantile(predictions: Tensor, target: Tensor, *, q: float, weight: Tensor | None = None) -> Tensor:
    """The ``q``-quantile of the residuals ``[M]``: best for pinball, and for mae at one half."""
    if weight is not None:
        ordered, below = _ordered(_residuals(predictions, target), weight)
        share = q * below[:, -1:]
        hair = 1e-12 * below[:, -1:]  # sums of weights round
        return (_at(ordered, (below < share - hair).sum(-1)) + _at(ordered, (below <= share + hair).sum(-1))) / 2
    residuals = sort(_residuals(predictions, target))
    rows = residuals.shape[-1]
    lower = min(max(math.ceil(q * rows) - 1, 0), rows - 1)
    upper = min(math.floor(q * rows), rows - 1)
    return (residuals[:, lower] + residuals[:, upper]) / 2


def fit_relative(predictions: Tensor, target: Tensor, *, weight: Tensor | None = None) -> Tensor:
    """The median residual ``[M]``, each weighted by one over its target's size: best for mape."""
    residuals = _residuals(predictions, target)
    order = argsort(residuals)
    often = relative_weight(target) if weight is None else relative_weight(target) * weight.double()
    weights = often.gather(-1, order).cumsum(-1)
    place = (weights < weights[:, -1:] / 2).sum(-1, keepdim=True)
    return residuals.gather(-1, order).gather(-1, place).squeeze(-1)


def fit_shortest_half(predictions: Tensor, target: Tensor, *, weight: Tensor | None = None) -> Tensor:
    """The middle ``[M]`` of the shortest interval that holds half the residuals: best for medae.

    Least median of squares (Rousseeuw 1984). For an even number of rows, whose median is the mean of two errors,
    it is best for the larger of them.
    """
    if weight is not None:
        return _shortest_weighted(*_ordered(_residuals(predictions, target), weight))
    residuals = sort(_residuals(predictions, target))
    half = residuals.shape[-1] // 2
    starts, ends = residuals[:, : residuals.shape[-1] - half], residuals[:, half:]
    place = (ends - starts).argmin(-1, keepdim=True)
    return ((starts.gather(-1, place) + ends.gather(-1, place)) / 2).squeeze(-1)


def fit_poisson(predictions: Tensor, target: Tensor, *, weight: Tensor | None = None) -> Tensor:
    """The shift ``[M]`` that is best, or nearly so, for the Poisson deviance of counts.

    Without predictions below `LEAST_COUNT` the deviance has one valley, and Newton's steps find its ground. Each such
    prediction may add a valley. So it is read at quantiles of the residuals, between the ends of which the best shift
    lies, and at no shift at all; then around the best of these, and the steps begin at the best of all.
    """
    shown, count = predictions.double(), target.double().clamp(min=0)
    residuals = sort(count - shown)
    rows = residuals.shape[-1]
    if weight is None:
        places = torch.linspace(0, rows - 1, min(PLACES, rows), dtype=torch.float64, device=shown.device).round().long()
        coarse = residuals[:, places]
    else:
        residuals, below = _ordered(count - shown, weight)
        shares = torch.linspace(0, 1, PLACES, dtype=torch.float64, device=shown.device)
        wanted = (shares * (below[:, -1:] - 1).clamp(min=0)).round()
        coarse = residuals.gather(-1, torch.searchsorted(below, wanted, right=True).clamp(max=rows - 1))
    nothing = torch.zeros_like(coarse[:, 0])
    often = torch.ones_like(count) if weight is None else weight.double()
    start = _lowest(shown, count, torch.cat((nothing[:, None], coarse), dim=-1), weight)
    below = torch.where(coarse < start[:, None], coarse, -math.inf).amax(-1)
    above = torch.where(coarse > start[:, None], coarse, math.inf).amin(-1)
    below, above = (torch.where(end.isfinite(), end, start)[:, None] for end in (below, above))
    shares = torch.linspace(0, 1, PLACES, dtype=torch.float64, device=shown.device)[1:-1]
    start = _lowest(shown, count, torch.cat((start[:, None], below + shares * (above - below)), dim=-1), weight)
    shift = start
    for _ in range(STEPS):
        mean = (shown + shift[:, None]).clamp(min=LEAST_COUNT)
        active = mean > LEAST_COUNT
        pull = torch.where(active, count / mean, 0.0)
        slope, bend = (often * (active.double() - pull)).sum(-1), (often * pull / mean).sum(-1)
        shift = torch.where(bend > 0, shift - slope / torch.where(bend > 0, bend, 1.0), shift)
        shift = torch.minimum(torch.maximum(shift, coarse[:, 0]), coarse[:, -1])
    ends = torch.stack((nothing, start, shift), dim=-1)
    return ends.gather(-1, _deviances(shown, count, ends, weight).argmin(-1, keepdim=True)).squeeze(-1)


def _lowest(predictions: Tensor, count: Tensor, shifts: Tensor, weight: Tensor | None) -> Tensor:
    """Which of the shifts ``[M, S]`` has the least deviance, ``[M]``; found in float32, which is faster."""
    often = None if weight is None else weight.float()
    least = _deviances(predictions.float(), count.float(), shifts.float(), often).argmin(-1, keepdim=True)
    return shifts.gather(-1, least).squeeze(-1)


def _deviances(predictions: Tensor, count: Tensor, shifts: Tensor, weight: Tensor | None) -> Tensor:
    """Half of the mean deviance at each shift, ``[M, S]``, but for what does not depend on the shift."""
    means = ((predictions + shift[:, None]).clamp_(min=LEAST_COUNT) for shift in shifts.unbind(-1))
    return torch.stack([_mean(mean - count * mean.log(), weight) for mean in means], dim=-1)


def _mean(values: Tensor, weight: Tensor | None) -> Tensor:
    return values.mean(-1) if weight is None else (values * weight).sum(-1) / weight.sum(-1, dtype=torch.float64)


def _ordered(residuals: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Residuals ``[M, N]`` in ascending order, and how much the rows up to each weigh together."""
    order = argsort(residuals)
    return residuals.gather(-1, order), weight.double().gather(-1, order).cumsum(-1)


def _at(ordered: Tensor, place: Tensor) -> Tensor:
    return ordered.gather(-1, place.clamp(max=ordered.shape[-1] - 1).unsqueeze(-1)).squeeze(-1)


def _shortest_weighted(ordered: Tensor, below: Tensor) -> Tensor:
    """As `fit_shortest_half`: the shortest interval that holds more than half of the weight."""
    before = torch.nn.functional.pad(below[:, :-1], (1, 0))
    half = below[:, -1:] / 2
    # From each row on, the first that brings more than half, as rows N // 2 further on do without weights.
    reach = torch.searchsorted(below, before + half * (1 + 1e-12), right=True)
    possible = reach < ordered.shape[-1]
    ends = ordered.gather(-1, reach.clamp(max=ordered.shape[-1] - 1))
    place = torch.where(possible, ends - ordered, torch.inf).argmin(-1)
    return (_at(ordered, place) + _at(ends, place)) / 2


def _residuals(predictions: Tensor, target: Tensor) -> Tensor:
    return target.double() - predictions.double()
