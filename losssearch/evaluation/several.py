"""Adjustments of several numbers per member: how each changes outputs, and what changes nothing.

A metric names the kind with its `Tuning`, whose fit finds the numbers on validation outputs. A further kind is an entry
of `SEVERAL`, and a name of `losssearch.tasks.view.AdjustmentKind`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor

from losssearch.evaluation.grade_cuts import LIKELIEST, decided_by_cuts
from losssearch.evaluation.record import Fit
from losssearch.evaluation.shift import LEAST_COUNT, fit_quantile
from losssearch.evaluation.survival_curves import NEVER, TIMES, fit_baseline, with_baseline, without_curve


def _nobody(outputs: Tensor) -> Tensor:
    return torch.zeros((), dtype=torch.bool, device=outputs.device)


@dataclass(frozen=True)
class Several:
    """An adjustment by several numbers.

    Args:
        untouched: The numbers that change nothing, one each; where there are as many as columns, one for all.
        apply: ``apply(outputs, numbers)``: outputs ``[..., N]`` or ``[..., N, columns]`` and numbers
            ``[..., count]`` of the same members to adjusted outputs.
        fit: How the numbers are found for a metric that says nothing of it; see `losssearch.evaluation.record.Fit`.
        always: From outputs to the members ``[...]`` that are adjusted even where their loss leaves the decision fixed,
            because without it there is nothing to judge.
    """

    untouched: tuple[float, ...]
    apply: Callable[[Tensor, Tensor], Tensor]
    fit: Fit | None = None
    always: Callable[[Tensor], Tensor] = _nobody

    def neutral(self, numbers: Tensor) -> Tensor:
        """``numbers`` ``[..., count]`` with those that change nothing where there are none."""
        return torch.where(numbers.isnan(), numbers.new_tensor(self.untouched), numbers)


def _scaled(outputs: Tensor, numbers: Tensor) -> Tensor:
    """The first column times the factor, and no less than the floor."""
    factor, floor = numbers[..., None, 0:1], numbers[..., None, 1:2]
    return torch.cat((torch.maximum(outputs[..., :1] * factor, floor), outputs[..., 1:]), -1)


def _shifted(outputs: Tensor, numbers: Tensor) -> Tensor:
    """Each column by its own number; quantiles that would cross are put in order."""
    return (outputs + numbers.unsqueeze(-2)).sort(-1).values


def _pointlike(outputs: Tensor) -> Tensor:
    """Members whose columns are all equal: a prediction without a distribution."""
    return (outputs.amax(-1) == outputs.amin(-1)).all(-1)


_FLOORS = (0.0, 0.02, 0.05, 0.1, 0.2, 0.4)
"""Shares of the rows whose rates are below the floors that are tried."""


def fit_factor_and_floor(outputs: Tensor, target: Tensor, *, weight: Tensor | None = None) -> Tensor:
    """The factor and the floor ``[M, 2]`` of rates ``[M, N, columns]`` with the least Poisson deviance.

    ``target`` ``[M, N, 2]``: counts and exposures. The floor is a quantile of the rates, or next to nothing; the factor
    makes the expected counts add up to those that were seen.
    """
    rate, count, exposure = outputs[..., 0].double(), target[..., 0].double(), target[..., 1].double()
    often = torch.ones_like(count) if weight is None else weight.double()
    seen, found, best = (often * count).sum(-1, keepdim=True), None, None
    ordered = rate.sort(-1).values
    for share in _FLOORS:
        floor = ordered[:, round(share * (rate.shape[-1] - 1))].clamp(min=LEAST_COUNT)[:, None]
        floor = floor if share else torch.full_like(floor, LEAST_COUNT)
        floored = torch.maximum(rate, floor)
        factor = (seen / (often * exposure * floored).sum(-1, keepdim=True)).clamp(min=1e-6)
        mean = (exposure * floored * factor).clamp(min=1e-300)
        deviance = (often * (mean - count * mean.log())).sum(-1, keepdim=True)
        numbers = torch.cat((factor, floor * factor), -1)
        if found is None or best is None:
            found, best = numbers, deviance
        else:
            found, best = torch.where(deviance < best, numbers, found), torch.minimum(deviance, best)
    assert found is not None  # noqa: S101  (there are floors)
    return found


def fit_residual_quantiles(outputs: Tensor, target: Tensor, *, weight: Tensor | None = None) -> Tensor:
    """For each column of quantiles ``[M, N, levels]`` the quantile ``[M, levels]`` of target less column at its level.

    Added to a single prediction, these are split conformal quantiles; added to quantiles, they calibrate these.
    """
    count = outputs.shape[-1]
    levels = [step / (count + 1) for step in range(1, count + 1)]
    found = [fit_quantile(outputs[..., place], target, q=level, weight=weight) for place, level in enumerate(levels)]
    return torch.stack(found, -1)


SEVERAL: Mapping[str, Several] = MappingProxyType(
    {
        "factor_and_floor": Several((1.0, 0.0), _scaled, fit_factor_and_floor),
        "breslow_baseline": Several((1.0, *[NEVER] * TIMES), with_baseline, fit_baseline, without_curve),
        "grade_cuts": Several((LIKELIEST,), decided_by_cuts),
        "residual_quantiles": Several((0.0,), _shifted, fit_residual_quantiles, _pointlike),
    }
)
"""Every kind of adjustment by several numbers."""
