"""The trade-off of a metric and a gap over all thresholds, and the area that a front dominates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from losssearch.errors import OptionError
from losssearch.evaluation.fairness.bound import gap_bound
from losssearch.evaluation.fairness.constraint import Constraint
from losssearch.evaluation.fairness.counts import check_groups
from losssearch.evaluation.fairness.cuts import Cuts, all_cuts, map_cuts
from losssearch.evaluation.fairness.rates import gap_value, rates_of_counts
from losssearch.evaluation.measure import Quality


@dataclass(frozen=True)
class Front:
    """For every member the best threshold at each limit, ``[..., L]``, float64.

    ``utility`` (larger is better) is -inf where no threshold satisfies the limit; ``gap`` is the gap itself there,
    ``threshold`` the one to apply; both are nan there. All is nan for a member with a non-finite score.
    """

    limits: tuple[float, ...]
    utility: Tensor
    gap: Tensor
    threshold: Tensor


def frontier(
    constraint: Constraint,
    scores: Tensor,
    target: Tensor,
    group: Tensor,
    groups: int,
    *,
    quality: Quality,
    sign: float,
    limits: Sequence[float],
    z: float,
) -> Front:
    """The best metric at each limit of one gap, over all thresholds of every member.

    Args:
        constraint: Its gap is what is limited, in its direction; its own limit plays no part.
        scores: Binary logits ``[..., N]``; N at least 2.
        target: Labels ``[..., N]``; leading dimensions broadcast, as do those of ``group``.
        group: Ids ``[..., N]``, int64, in ``[0, groups)``.
        groups: How many groups there are.
        quality: The metric as a function of counts.
        sign: 1 where the metric is maximised, -1 where it is minimised.
        limits: On the bound of the gap.
        z: Standard errors of the bound.

    Raises:
        OptionError: Where ids or shapes do not fit, or the gap is no function of decisions.
    """
    gap, rows = constraint.gap, target.shape[-1]
    check_groups(group, groups, rows)
    if not gap.counted or scores.shape[-1] != rows or rows < 2:
        raise OptionError(f"a front needs a gap of decisions and at least two rows, got {gap.name} and {rows} rows")
    lead = scores.shape[:-1]
    flat = scores.detach().reshape(-1, rows)
    labels, ids = (other.expand(*lead, rows).reshape(-1, rows) for other in (target, group))
    finite = flat.isfinite().all(-1)

    def best(cuts: Cuts) -> Tensor:
        utility = sign * cuts.quality(quality)
        found = rates_of_counts(gap, cuts.counts)
        value, reached = gap_value(gap, found), gap_bound(gap, found, z)
        utility.masked_fill_(~cuts.possible, -torch.inf)
        points = []
        for limit in limits:
            kept = reached <= limit if constraint.op == "<=" else reached >= limit
            top, cut = torch.where(kept, utility, -torch.inf).max(-1)
            place = cut.unsqueeze(1)
            chosen = torch.stack((value.gather(1, place), cuts.threshold(place).double())).squeeze(-1)
            points.append(torch.stack((top, *torch.where(top.isfinite(), chosen, torch.nan))))
        return torch.stack(points, -1).movedim(0, 1)

    points = map_cuts(best, flat.nan_to_num(0.0, 0.0, 0.0), labels, ids, groups, cells=2)
    points[~finite] = torch.nan
    utility, value, threshold = points.movedim(1, 0).reshape(3, *lead, len(limits))
    return Front(tuple(limits), utility, value, threshold)


def undominated(
    constraint: Constraint,
    scores: Tensor,
    target: Tensor,
    group: Tensor,
    groups: int,
    *,
    quality: Quality,
    sign: float,
) -> Tensor:
    """All thresholds of one member that no other beats in both metric and gap, smallest gap first.

    Arguments as for `frontier`, without leading dimensions: scores, target and group are ``[N]``. Gives rows of
    threshold, utility and gap, ``[P, 3]``, float64; none if a score is not finite.

    Raises:
        OptionError: Where ids or shapes do not fit, or the gap is no function of decisions.
    """
    gap, rows = constraint.gap, target.shape[-1]
    check_groups(group, groups, rows)
    if not gap.counted or scores.shape != target.shape or rows < 2:
        raise OptionError(f"a front needs a gap of decisions and at least two rows, got {gap.name} and {rows} rows")
    if not bool(scores.isfinite().all()):
        return torch.empty(0, 3, dtype=torch.float64)
    cuts = all_cuts(scores.detach()[None], target[None], group[None], groups)
    utility = (sign * cuts.quality(quality)).masked_fill(~cuts.possible, -torch.inf)[0]
    value = gap_value(gap, rates_of_counts(gap, cuts.counts))[0]
    utility = torch.where(utility.isfinite() & value.isfinite(), utility, -torch.inf)
    order = (-utility).argsort(stable=True)
    order = order[value[order].argsort(stable=True)]  # by rising gap, then falling utility
    best = utility[order].cummax(0).values
    before = torch.nn.functional.pad(best[:-1], (1, 0), value=-torch.inf)
    chosen = order[utility[order] > before]
    return torch.stack((cuts.threshold(chosen[None])[0].double(), utility[chosen], value[chosen]), -1)


def pareto(points: Tensor) -> Tensor:
    """Which points ``[P, 2]`` of (utility, gap) no other beats in both: boolean ``[P]``.

    Utility is better when larger, the gap when smaller. Of equal points the first counts; nan never does.
    """
    known = points.isfinite().all(-1)
    utility, gap = points.unbind(-1)
    # By falling utility, then rising gap: a point is on the front where its gap is below all before it.
    order = sorted(known.nonzero().squeeze(1).tolist(), key=lambda i: (-float(utility[i]), float(gap[i])))
    front = torch.zeros(len(points), dtype=torch.bool)
    lowest = torch.inf
    for index in order:
        if float(gap[index]) < lowest:
            lowest = float(gap[index])
            front[index] = True
    return front


def hypervolume(points: Tensor, box: tuple[float, float, float]) -> float:
    """The share of a box that points dominate: 1 is the best utility at no gap.

    Args:
        points: ``[P, 2]``: utility, larger is better, and gap, smaller is better.
        box: Lowest and highest utility, and highest gap, all of which bound the box; the lowest gap is 0.

    Raises:
        OptionError: For a box without area.
    """
    low, high, widest = box
    if not (low < high and widest > 0):
        raise OptionError(f"a box needs low < high and a gap above 0, got {box}")
    points = points[pareto(points)]
    order = points[:, 1].argsort()
    area, reached = 0.0, low
    for utility, gap in points[order].tolist():
        top = min(utility, high)
        if gap < widest and top > reached:
            area += (top - reached) * (widest - max(gap, 0.0))
            reached = top
    return area / ((high - low) * widest)
