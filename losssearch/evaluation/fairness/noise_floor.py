"""The gap that a perfectly fair model would show by chance, given the number of rows per group."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from losssearch.evaluation.fairness.constraint import Constraint
from losssearch.evaluation.fairness.counts import check_groups
from losssearch.evaluation.fairness.gaps import Gap
from losssearch.evaluation.fairness.rates import Rates, alike, gap_value, rates


@dataclass(frozen=True)
class NoiseFloor:
    """What groups that are treated alike show: the mean gap, and the gap that 95 % of samples stay within."""

    mean: float
    quantile: float

    def hides(self, constraint: Constraint) -> bool:
        """Whether a limit cannot be verified: a model without any gap would break it in 5 % of samples."""
        return not constraint.met(self.quantile)


def noise_floor(
    constraint: Constraint,
    outputs: Tensor,
    target: Tensor,
    group: Tensor,
    groups: int,
    *,
    draws: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> NoiseFloor:
    """The noise floor of a constraint's gap for one model, at the rate that it has over all groups together.

    Args:
        constraint: Its gap is what is simulated.
        outputs: ``[N]`` or ``[N, C]``: adjusted outputs, or scores, as the gap reads.
        target: ``[N]``.
        group: Ids ``[N]``, int64, in ``[0, groups)``.
        groups: How many groups there are.
        draws: How many samples are simulated.
        level: Share of samples within ``quantile``.
        seed: Of the samples.

    Raises:
        OptionError: Where ids or shapes do not fit.
    """
    check_groups(group, groups, target.shape[-1])
    seen = rates(constraint.gap, outputs[None], target[None], group[None], groups)
    return floor_of_rates(constraint.gap, seen, draws=draws, level=level, seed=seed)


def floor_of_rates(gap: Gap, seen: Rates, *, draws: int = 2000, level: float = 0.95, seed: int = 0) -> NoiseFloor:
    """The noise floor given the rates ``[C, G, 1]`` of one model, of which only rows and overall rates matter.

    Counts are drawn independently of the group: binomial at the overall rate of each cell. What is no share is
    drawn from its normal limit.
    """
    generator = np.random.default_rng(seed)
    fair = alike(gap, seen)
    shape = (*fair.rate.shape[:2], draws)
    rate, rows = (tensor.numpy(force=True) for tensor in (fair.rate, fair.rows.expand_as(fair.rate)))
    if gap.shares is not None:
        drawn = generator.binomial(rows.astype(np.int64), rate.clip(0, 1), size=shape) / rows.clip(1)
    else:
        drawn = rate + generator.standard_normal(shape) * fair.variance.sqrt().numpy(force=True)
    simulated = torch.from_numpy(abs(drawn) if gap.scores is not None else drawn)
    sizes = torch.from_numpy(rows).expand_as(simulated)
    shown = gap_value(gap, Rates(simulated, torch.zeros_like(simulated), sizes))
    worse = level if gap.operator == "<=" else 1 - level
    return NoiseFloor(float(shown.mean()), float(torch.quantile(shown, worse)))
