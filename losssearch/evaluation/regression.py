"""Metrics of predictions in the target's own unit."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from losssearch.evaluation.measure import Column, Measure, Resampled, divide
from losssearch.evaluation.ordering import argsort, sort

LEAST_COUNT = 1e-6
"""What a predicted count is at the least: a deviance needs it above zero."""


def squared(outputs: Tensor, target: Tensor) -> tuple[Column, ...]:
    """Squared error."""
    return (Column((outputs.double() - target.double()).square()),)


def absolute(outputs: Tensor, target: Tensor) -> tuple[Column, ...]:
    """Absolute error."""
    return (Column((outputs.double() - target.double()).abs()),)


def relative(outputs: Tensor, target: Tensor) -> tuple[Column, ...]:
    """Absolute error by the target's size; a target of 0 counts as the float64 epsilon, as in scikit-learn."""
    return (Column((outputs.double() - target.double()).abs() * relative_weight(target)),)


def relative_weight(target: Tensor) -> Tensor:
    """What an absolute error is multiplied by to make it relative."""
    size = target.double().abs()
    return 1 / torch.where(size == 0, torch.finfo(torch.float64).eps, size)


def pinball(outputs: Tensor, target: Tensor, *, q: float) -> tuple[Column, ...]:
    """Error of a prediction of the ``q``-quantile: ``q`` a unit below the target, ``1 - q`` above."""
    error = target.double() - outputs.double()
    return (Column(torch.maximum(q * error, (q - 1) * error)),)


def poisson_deviance(outputs: Tensor, target: Tensor) -> tuple[Column, ...]:
    """Deviance of a Poisson distribution with the prediction, no less than `LEAST_COUNT`, as its mean; 0 if perfect.

    Targets below zero, such as rounding leaves of a zero, count as zero.
    """
    count, mean = target.double().clamp(min=0), outputs.double().clamp(min=LEAST_COUNT)
    return (Column(2 * (torch.xlogy(count, count / mean) - count + mean)),)


def squared_and_spread(outputs: Tensor, target: Tensor) -> tuple[Column, ...]:
    """Squared error, and the target and its square after centring."""
    centred = target.double() - target.double().mean(-1, keepdim=True)
    return (*squared(outputs, target), Column(centred), Column(centred.square()))


def root_mean(rows: int, total: Tensor) -> Tensor:
    """The root of the mean over rows."""
    return (total / rows).sqrt()


def r2(rows: int, error: Tensor, total: Tensor, total_square: Tensor) -> Tensor:
    """Share of the target's variance that is explained; on a constant target 1 if perfect, else 0."""
    spread = (total_square - total.square() / rows).clamp(min=0)
    constant = (error == 0).double()
    return torch.where(spread == 0, constant, 1 - divide(error, spread))


@dataclass(frozen=True)
class MedianAbsolute(Measure):
    """Median of the absolute errors; the mean of the middle two for an even number of rows."""

    def plain(self, outputs: Tensor, target: Tensor) -> Tensor:
        """See `Measure.plain`."""
        errors = sort((outputs.double() - target.double()).abs())
        rows = errors.shape[-1]
        return (errors[..., (rows - 1) // 2] + errors[..., rows // 2]) / 2

    def resampled(self, outputs: Tensor, target: Tensor) -> Resampled:
        """See `Measure.resampled`."""
        errors = (outputs.double() - target.double()).abs()
        order = argsort(errors)
        errors = errors[order]

        def value(weights: Tensor) -> Tensor:
            drawn = weights[order].cumsum(0)
            half, hair = drawn[-1] / 2, 1e-12 * drawn[-1]  # sums of weights round
            lower, upper = (drawn < half - hair).sum(0), (drawn <= half + hair).sum(0)
            return (errors[lower] + errors[upper]) / 2

        return value
