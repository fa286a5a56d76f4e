"""Metrics of counts: outputs hold the rate and the share of rows that are always zero, targets count and exposure."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from losssearch.evaluation.declaring import metric
from losssearch.evaluation.made import always, mean_of, of_sums
from losssearch.evaluation.measure import Addend
from losssearch.evaluation.several import fit_factor_and_floor
from losssearch.evaluation.shift import LEAST_COUNT
from losssearch.tasks.view import RATE

MOST = 200
"""Counts up to which a ranked probability score is summed."""

_of_counts = partial(metric, task=RATE, tuned=always("factor_and_floor", fit_factor_and_floor))


def _deviance(outputs: Tensor, target: Tensor) -> tuple[Addend, ...]:
    count, exposure = target[..., 0].double(), target[..., 1].double()
    mean = exposure * outputs[..., 0].double().clamp(min=LEAST_COUNT)
    return Addend(2 * (torch.xlogy(count, count / mean) - count + mean)), Addend(exposure)


@_of_counts(computed=of_sums(_deviance), direction="minimize", unit="deviance", low=0.0)
def poisson_deviance(rows: int, total: Tensor, exposure: Tensor) -> Tensor:
    """Poisson deviance of the rates, weighted by exposure."""
    return total / exposure


@_of_counts(computed=mean_of, direction="minimize", unit="counts", low=0.0)
def ranked_probability(outputs: Tensor, target: Tensor) -> tuple[Addend, ...]:
    """The ranked probability score of Poisson counts with the predicted rate and share of rows that are always zero."""
    count, exposure = target[..., 0].double(), target[..., 1].double()
    never = outputs[..., 1].double().clamp(0, 1 - 1e-6)
    mean = exposure * outputs[..., 0].double().clamp(min=LEAST_COUNT) / (1 - never)
    score = torch.zeros_like(mean)
    for number in range(min(MOST, int(count.max()) + 20)):
        below = never + (1 - never) * torch.special.gammaincc(torch.full_like(mean, number + 1.0), mean)
        score = score + (below - (count <= number).double()).square()
    return (Addend(score),)


@metric(task=RATE, direction="maximize", unit="share", low=-1.0, high=1.0, tuned="none")
def gini(outputs: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """How well the order of the rates tells many counts from few: 1 - 2 × the area under the Lorenz curve."""
    order = outputs[:, 0].argsort(stable=True)
    often = torch.ones_like(outputs[:, 0]) if weight is None else weight
    counts, exposure = (often * target[:, 0])[order].cumsum(0), (often * target[:, 1])[order].cumsum(0)
    counts, exposure = counts / counts[-1].clamp(min=1e-12), exposure / exposure[-1]
    below = torch.cat((counts.new_zeros(1), counts[:-1]))
    steps = exposure.diff(prepend=exposure.new_zeros(1))
    return 1 - (steps * (counts + below)).sum()
