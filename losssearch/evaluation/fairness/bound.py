"""Confidence bounds of a gap.

The bound of a difference is the largest, over cells and pairs of groups, of ``g + z sqrt(v_a + v_b)``. As the
largest of bounds it covers the largest true gap as often as one bound covers one gap, whatever the number of
pairs; only a promise about the gap *observed* on new, finite rows is one about every pair at once.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import torch
from torch import Tensor

from losssearch.errors import OptionError
from losssearch.evaluation.fairness.constraint import Constraint
from losssearch.evaluation.fairness.counts import check_groups
from losssearch.evaluation.fairness.gaps import Gap
from losssearch.evaluation.fairness.rates import Rates, rates
from losssearch.evaluation.measure import divide
from losssearch.evaluation.members import map_members


def gap_bound(gap: Gap, found: Rates, z: float | Tensor) -> Tensor:
    """The pessimistic end of a gap ``[...]``: an upper bound for ``<=``, a lower one for ``>=``.

    Args:
        gap: Says how rates are compared.
        found: Rates ``[C, G, ...]``.
        z: Standard errors, at least 0; at 0 the bound is the gap itself.
    """
    if gap.compare == "worst":
        margin = z * found.variance.sqrt()
        if gap.operator == ">=":
            return torch.where(found.known, found.rate - margin, torch.inf).amin(1).amin(0)
        return torch.where(found.known, found.rate + margin, -torch.inf).amax(1).amax(0)
    whole = bool(found.known.all())
    ratio = gap.compare == "ratio"
    groups = found.rate.shape[1]
    # A ratio is bounded on the logarithm, where its standard error is that of a difference.
    spread = divide(found.variance, found.rate.square(), 0.0) if ratio else found.variance
    worst: Tensor | None = None
    for a in range(groups):
        for b in range(a + 1, groups):
            error = z * (spread[:, a] + spread[:, b]).sqrt_()
            if ratio:
                lower = torch.minimum(found.rate[:, a], found.rate[:, b])
                upper = torch.maximum(found.rate[:, a], found.rate[:, b])
                reached = divide(lower, upper, 1.0) * (-error).exp()
            else:
                reached = error.add_((found.rate[:, a] - found.rate[:, b]).abs_())
            if not whole:
                none = 1.0 if ratio else 0.0
                reached = torch.where(found.known[:, a] & found.known[:, b], reached, none)
            reached = reached.amin(0) if ratio else reached.amax(0)
            if worst is None:
                worst = reached
            else:
                worst = torch.minimum(worst, reached) if ratio else torch.maximum(worst, reached)
    if worst is None:
        raise OptionError(f"fairness compares groups, so there must be at least two; got {groups}")
    return worst


def bound(
    constraint: Constraint, outputs: Tensor, target: Tensor, group: Tensor, groups: int, *, z: float = 1.0
) -> Tensor:
    """The confidence bound of the constraint's gap for every member, ``[...]``, float64.

    Arguments and errors are those of `losssearch.evaluation.fairness.rates.value`; ``z`` those of `gap_bound`.
    """
    check_groups(group, groups, target.shape[-1])

    def one(outputs: Tensor, target: Tensor, group: Tensor) -> Tensor:
        return gap_bound(constraint.gap, rates(constraint.gap, outputs, target, group, groups, spread=z > 0), z)

    return map_members(one, outputs, target, group, class_axis=constraint.class_axis)


def comparisons(gap: Gap, found: Rates) -> int:
    """How many comparisons the gap is the worst of: pairs of groups, or groups, in every cell."""
    known = found.known.reshape(*found.known.shape[:2], -1).all(-1).sum(1)
    each = known if gap.compare == "worst" else known * (known - 1) // 2
    return max(1, int(each.sum()))


def z_value(level: float, comparisons: int = 1) -> float:
    """Standard errors of a one-sided bound at confidence ``level``, shared over ``comparisons`` (Bonferroni).

    Raises:
        OptionError: For a level outside [0.5, 1).
    """
    if not 0.5 <= level < 1:
        raise OptionError(f"a confidence level must lie in [0.5, 1), got {level:g}")
    return NormalDist().inv_cdf(1 - (1 - level) / comparisons)


def promise_z(level: float, groups: int, rows: int, new_rows: int | None, own: float = 1.0) -> float:
    """Standard errors to spare on ``rows`` over all pairs of ``groups`` (1: a number); see `promise_factor`."""
    pairs = max(1, groups * (groups - 1) // 2)
    return z_value(level, pairs) * promise_factor(rows, new_rows, own)


def promise_factor(rows: int, new_rows: int | None, own: float = 1.0) -> float:
    """By how much a bound widens that is to hold for the gap seen on ``new_rows`` new rows; None: on very many.

    ``own``: the share of the variance on ``rows`` that counts, less than 1 for a mean of models with rows of their own.
    """
    return math.sqrt(own + (0 if new_rows is None else rows / max(1, new_rows)))
