"""Tuning after training for a metric that is only known by its values: the best point of a grid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from losssearch.evaluation.adjustment import Adjustment
from losssearch.evaluation.measure import Measure
from losssearch.evaluation.ordering import central_best, sort
from losssearch.evaluation.prior_shift import HIGH, LOW, log_prior
from losssearch.evaluation.temperature import RANGE
from losssearch.tasks.view import AdjustmentKind

WORST = 1e300
"""What stands for infinity, and with a minus sign for no value."""

POINTS = 33
"""How many values are tried, besides no change at all."""


@dataclass(frozen=True)
class OnGrid:
    """The best value ``[M]`` for a measure, ``sign`` -1 where less is better.

    A threshold is tried at quantiles of the scores, a shift at quantiles of the residuals, a temperature and a prior
    shift over their ranges.
    """

    kind: AdjustmentKind
    measure: Measure
    sign: float

    def __call__(
        self, outputs: Tensor, target: Tensor, class_prior: Tensor | None = None, *, weight: Tensor | None = None
    ) -> Tensor:
        """See `losssearch.evaluation.record.Fit`."""
        prior = None if class_prior is None else log_prior(class_prior)
        points = self._points(outputs, target)
        found = []
        for point in points.unbind(-1):
            moved = Adjustment(self.kind, point, prior).apply(outputs)
            measure = self.measure
            found.append(measure.plain(moved, target) if weight is None else measure.weighed(moved, target, weight))
        utility = (self.sign * torch.stack(found, -1).double()).nan_to_num(-WORST, posinf=WORST, neginf=-WORST)
        return points.gather(-1, central_best(utility).unsqueeze(-1)).squeeze(-1)

    def _points(self, outputs: Tensor, target: Tensor) -> Tensor:
        """The values to try ``[M, POINTS + 1]``, in ascending order."""
        members = len(outputs)
        like: dict[str, Any] = {"dtype": torch.float64, "device": outputs.device}
        if self.kind == "temperature":
            grid = torch.linspace(-RANGE, RANGE, POINTS, **like).exp().expand(members, -1)
            untouched = 1.0
        elif self.kind == "prior_shift":
            grid, untouched = torch.linspace(LOW, HIGH, POINTS, **like).expand(members, -1), 0.0
        else:
            values = outputs if self.kind == "threshold" else target.double() - outputs.double()
            grid, untouched = _between(sort(values.double())), 0.0
        return torch.cat((grid, torch.full((members, 1), untouched, **like)), -1).sort(-1).values


def _between(ordered: Tensor) -> Tensor:
    """`POINTS` values ``[M, POINTS]`` midway between neighbours of the ascending ``ordered`` ``[M, N]``."""
    rows = ordered.shape[-1]
    places = torch.linspace(0, max(0, rows - 2), POINTS, dtype=torch.float64).round().long().to(ordered.device)
    return (ordered[:, places] + ordered[:, (places + 1).clamp(max=rows - 1)]) / 2
