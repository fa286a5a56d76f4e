"""Metrics of predictions in the target's own unit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from losssearch.errors import OptionError
from losssearch.evaluation.declaring import metric
from losssearch.evaluation.made import Made, Oracle, Tuning, always, mean_of, of_sums
from losssearch.evaluation.measure import Addend, Measure, Resampled, divide
from losssearch.evaluation.ordering import argsort, sort
from losssearch.evaluation.record import Fit
from losssearch.evaluation.shift import (
    LEAST_COUNT,
    fit_mean,
    fit_poisson,
    fit_quantile,
    fit_relative,
    fit_shortest_half,
    relative_weight,
)
from losssearch.losses.domains import Float
from losssearch.tasks.view import PREDICTION


def _oracle(name: str, **numbers: str) -> Oracle:
    return Oracle(f"sklearn.metrics.{name}", "predictions", numbers=numbers)


_error = partial(metric, direction="minimize", task=PREDICTION, unit="units of the target", low=0.0)


def squared(outputs: Tensor, target: Tensor) -> tuple[Addend, ...]:
    """Squared error."""
    return (Addend((outputs.double() - target.double()).square()),)


@_error(computed=of_sums(squared), tuned=always("shift", fit_mean), oracle=_oracle("root_mean_squared_error"))
def rmse(rows: int, total: Tensor) -> Tensor:
    """Root of the mean squared error."""
    return (total / rows).sqrt()


@_error(computed=mean_of, tuned=always("shift", partial(fit_quantile, q=0.5)), oracle=_oracle("mean_absolute_error"))
def mae(outputs: Tensor, target: Tensor) -> tuple[Addend, ...]:
    """Mean absolute error."""
    return (Addend((outputs.double() - target.double()).abs()),)


@_error(
    name="medae",
    computed=lambda measure, view: measure(view.columns),
    tuned=always("shift", fit_shortest_half),
    oracle=_oracle("median_absolute_error"),
)
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


@_error(
    unit="share of the target",
    nonzero=True,
    computed=mean_of,
    tuned=always("shift", fit_relative),
    oracle=_oracle("mean_absolute_percentage_error"),
)
def mape(outputs: Tensor, target: Tensor) -> tuple[Addend, ...]:
    """Mean absolute error relative to the target's size; a target of 0 counts as the float64 epsilon."""
    return (Addend((outputs.double() - target.double()).abs() * relative_weight(target)),)


@_error(
    unit="deviance",
    lowest=0.0,
    grain=LEAST_COUNT,
    computed=mean_of,
    tuned=always("shift", fit_poisson),
    oracle=_oracle("mean_poisson_deviance"),
)
def poisson_deviance(outputs: Tensor, target: Tensor) -> tuple[Addend, ...]:
    """Mean deviance of a Poisson distribution whose mean is the prediction, at least `LEAST_COUNT`; 0 if perfect.

    Targets below zero, such as rounding leaves of a zero, count as zero.
    """
    count, mean = target.double().clamp(min=0), outputs.double().clamp(min=LEAST_COUNT)
    return (Addend(2 * (torch.xlogy(count, count / mean) - count + mean)),)


def squared_and_spread(outputs: Tensor, target: Tensor) -> tuple[Addend, ...]:
    """Squared error, and the target and its square after centring."""
    centred = target.double() - target.double().mean(-1, keepdim=True)
    return (*squared(outputs, target), Addend(centred), Addend(centred.square()))


@metric(
    direction="maximize",
    task=PREDICTION,
    unit="share of variance",
    high=1.0,
    computed=of_sums(squared_and_spread),
    tuned=always("shift", fit_mean),
    oracle=_oracle("r2_score"),
)
def r2(rows: int, error: Tensor, total: Tensor, total_square: Tensor) -> Tensor:
    """Share of the target's variance that is explained; on a constant target 1 if perfect, else 0."""
    spread = (total_square - total.square() / rows).clamp(min=0)
    constant = (error == 0).double()
    return torch.where(spread == 0, constant, 1 - divide(error, spread))


def _check_quantile(q: float) -> None:
    if not 0 < q < 1:
        raise OptionError(f"pinball needs a quantile q between 0 and 1, both excluded; got q={q:g}")


def _quantile_aimed(q: float) -> Mapping[str, float]:
    return {"q": q}


def _best_quantile(made: Made) -> Fit:
    return partial(fit_quantile, q=made.numbers["q"])


@_error(
    computed=mean_of,
    tuned=Tuning("shift", _best_quantile),
    oracle=_oracle("mean_pinball_loss", alpha="q"),
    check=_check_quantile,
    aims=_quantile_aimed,
    q=Float(0.0, 1.0, default=0.9),
)
def pinball(outputs: Tensor, target: Tensor, *, q: float) -> tuple[Addend, ...]:
    """Mean error of a prediction of the ``q``-quantile: ``q`` a unit below the target, ``1 - q`` above."""
    error = target.double() - outputs.double()
    return (Addend(torch.maximum(q * error, (q - 1) * error)),)
