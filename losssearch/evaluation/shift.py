"""The number to add to all predictions of a regression model, best for a metric. Each optimum is in closed form."""

from __future__ import annotations

import math

from torch import Tensor

from losssearch.evaluation.ordering import argsort, sort
from losssearch.evaluation.regression import relative_weight


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


def _residuals(predictions: Tensor, target: Tensor) -> Tensor:
    return target.double() - predictions.double()
