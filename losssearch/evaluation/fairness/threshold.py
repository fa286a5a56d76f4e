"""The best decision threshold among those that satisfy every constraint, over all thresholds there are."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from losssearch.evaluation.fairness.bound import gap_bound
from losssearch.evaluation.fairness.constraint import Constraint
from losssearch.evaluation.fairness.cuts import Cuts, map_cuts
from losssearch.evaluation.fairness.rates import rates_of_counts
from losssearch.evaluation.measure import Quality
from losssearch.evaluation.ordering import central_best

SACRIFICE = 0.1
"""By how much a threshold may be worse than deciding all rows alike, of the difference of the two ways to do so."""


def fit_fair_threshold(
    scores: Tensor,
    target: Tensor,
    group: Tensor,
    *,
    groups: int,
    constraints: Sequence[Constraint],
    quality: Quality,
    sign: float,
    z: float,
) -> Tensor:
    """The threshold ``[M]`` with the highest ``sign * quality`` among those whose bounds satisfy every constraint.

    Where none does, the threshold with the least excess. No threshold decides all rows alike, save where all
    scores are equal; and while there are others, none is taken that is clearly worse than doing so (`sensible`), since
    nobody need give up so much for a limit. Of several optima the median is taken, midway between the neighbouring
    scores. The optimum is exact: the sorted scores give every decision that a threshold can make.

    Args:
        scores: ``[M, N]``, finite.
        target: Labels ``[M, N]``.
        group: Ids ``[M, N]``, int64, in ``[0, groups)``.
        groups: How many groups there are.
        constraints: Of gaps that are functions of counts.
        quality: The metric as a function of counts.
        sign: 1 where the metric is maximised, -1 where it is minimised.
        z: Standard errors of the bounds.
    """
    if scores.shape[1] < 2:
        return scores[:, 0].double()

    def best(cuts: Cuts) -> Tensor:
        value = sign * cuts.quality(quality)
        excess = excess_at(cuts, constraints, z)
        possible = sensible(value, sign * cuts.constants(quality), cuts.possible)
        return cuts.threshold(best_cut(value, excess, possible).unsqueeze(1)).squeeze(1).double()

    return map_cuts(best, scores, target, group, groups, cells=2)


def excess_at(cuts: Cuts, constraints: Sequence[Constraint], z: float) -> Tensor:
    """The largest excess of any constraint's bound at every cut, ``[M, T]``; at most 0 where all are kept."""
    worst: Tensor | None = None
    for constraint in constraints:
        reached = gap_bound(constraint.gap, rates_of_counts(constraint.gap, cuts.counts), z)
        excess = constraint.excess(reached)
        worst = excess if worst is None else torch.maximum(worst, excess)
    return torch.full_like(cuts.possible, -torch.inf, dtype=torch.float64) if worst is None else worst


def sensible(value: Tensor, constants: Tensor, possible: Tensor) -> Tensor:
    """Which cuts ``[M, T]`` may be taken: those possible that are hardly worse than deciding all rows alike.

    Deciding alike has no gap. Its better way is undercut by at most `SACRIFICE` of what its worse way is behind, so
    that no limit is kept at the wrong end of the scores. Where no cut is left, all that are possible are.
    """
    worse, better = constants.aminmax(dim=-1, keepdim=True)
    found = possible & (value >= better - SACRIFICE * (better - worse))
    return torch.where(found.any(-1, keepdim=True), found, possible)


def best_cut(value: Tensor, excess: Tensor, possible: Tensor) -> Tensor:
    """The position ``[M]`` of the highest value among those possible and without excess, else of the least excess."""
    kept = possible & (excess <= 0)
    feasible = kept.any(-1, keepdim=True)
    aim = torch.where(feasible, torch.where(kept, value, -torch.inf), torch.where(possible, -excess, -torch.inf))
    return central_best(aim)
