"""The best adjustment within the constraints where it has one number and no sorted scores: tried on a small grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from losssearch.evaluation.adjustment import Adjustment
from losssearch.evaluation.fairness.bound import bound
from losssearch.evaluation.fairness.constraint import Constraint
from losssearch.evaluation.prior_shift import HIGH, LOW
from losssearch.evaluation.record import Metric

POINTS = 13
"""How many values of the adjustment are tried, besides its unconstrained optimum."""


def choose_on_grid(
    metric: Metric,
    constraints: Sequence[Constraint],
    plain: Adjustment,
    outputs: Tensor,
    target: Tensor,
    group: Tensor,
    groups: int,
    tuned: Tensor | bool,
    z: float,
) -> Adjustment:
    """The adjustment ``[...]`` with the best metric whose bounds satisfy every constraint, else with the least excess.

    Args:
        metric: What is to be good.
        constraints: Of gaps that the adjustment may change.
        plain: The adjustment that is best without constraints: a prior shift or a shift. A grid over ``tau``, or
            over one standard deviation of the residuals to both sides, is tried besides it.
        outputs: ``[..., N]`` or ``[..., N, C]``.
        target: ``[..., N]``.
        group: Ids ``[..., N]``.
        groups: How many groups there are.
        tuned: Members to adjust; the others keep ``plain``.
        z: Standard errors of the bounds.
    """
    only = torch.as_tensor(tuned, device=outputs.device).expand(plain.parameter.shape)
    best = _Best(metric, constraints, outputs, target, group, groups, z)
    best.offer(plain, torch.ones_like(only))
    if plain.kind == "shift":
        spread = (outputs.double() - target.double()).std(-1).nan_to_num(0.0, 0.0)
        steps = torch.linspace(-1, 1, POINTS, dtype=torch.float64).tolist()
        points = [plain.parameter + step * spread for step in steps]
    else:
        steps = torch.linspace(LOW, HIGH, POINTS, dtype=torch.float64).tolist()
        points = [torch.full_like(plain.parameter, step) for step in steps]
    for point in points:
        best.offer(replace(plain, parameter=point), only)
    return best.adjustment


class _Best:
    """The best adjustment offered so far, member by member."""

    def __init__(
        self,
        metric: Metric,
        constraints: Sequence[Constraint],
        outputs: Tensor,
        target: Tensor,
        group: Tensor,
        groups: int,
        z: float,
    ) -> None:
        self._metric, self._constraints = metric, constraints
        self._outputs, self._target, self._group, self._groups, self._z = outputs, target, group, groups, z
        self._adjustment: Adjustment | None = None

    @property
    def adjustment(self) -> Adjustment:
        if self._adjustment is None:
            raise ValueError("nothing was offered")
        return self._adjustment

    def offer(self, adjustment: Adjustment, allowed: Tensor) -> None:
        adjusted = adjustment.apply(self._outputs)
        utility = self._metric.utility(self._metric.function(adjusted, self._target))
        excess = torch.zeros_like(utility)
        for constraint in self._constraints:
            reached = bound(constraint, adjusted, self._target, self._group, self._groups, z=self._z)
            excess = torch.maximum(excess, constraint.excess(reached))
        if self._adjustment is None:
            self._adjustment, self._utility, self._excess = adjustment, utility, excess
            return
        better = allowed & ((excess < self._excess) | ((excess == self._excess) & (utility > self._utility)))
        self._adjustment = adjustment.where(better, self._adjustment)
        self._utility = torch.where(better, utility, self._utility)
        self._excess = torch.where(better, excess, self._excess)
