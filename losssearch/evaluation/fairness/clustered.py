"""The uncertainty of groups' rates if rows come in clusters, such as those of one patient."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from losssearch.evaluation.fairness.gaps import Gap
from losssearch.evaluation.fairness.rates import Rates, rates
from losssearch.evaluation.statistics import row_weights

RESAMPLES = 200
"""Resamples of clusters: they give a standard error to about 5 %."""


def clustered(
    gap: Gap,
    found: Rates,
    outputs: Tensor,
    target: Tensor,
    group: Tensor,
    groups: int,
    clusters: Tensor,
    *,
    seed: int = 0,
) -> Rates:
    """The rates of one model, with the variance that a bootstrap over whole clusters gives them.

    It is no less than that of independent rows, to which few clusters may fall short by chance.

    Args:
        gap: What is compared.
        found: The rates ``[C, G, 1]`` of these rows, as if they were independent.
        outputs: ``[N]`` or ``[N, C]``: adjusted, or scores, as the gap reads.
        target: ``[N]``.
        group: Ids ``[N]``; for a gap of an attribute that is a number, its values.
        groups: How many groups there are.
        clusters: Ids ``[N]`` of rows that belong together.
        seed: Of the resamples.
    """
    units = clusters.unique(return_inverse=True)[1]
    drawn = row_weights(len(units), RESAMPLES, torch.Generator().manual_seed(seed), units).long()
    moved = []
    for often in drawn.unbind(1):
        index = torch.arange(len(units)).repeat_interleave(often)
        own = rates(gap, outputs[None, index], target[None, index], group[None, index], groups, spread=False)
        moved.append(torch.where(own.known, own.rate, torch.nan))
    table = torch.cat(moved, dim=-1)
    # A resample may lack a small group; such a group is as uncertain as its other resamples say.
    known = table.isfinite()
    count = known.sum(-1, keepdim=True)
    mean = table.nan_to_num(0.0).sum(-1, keepdim=True) / count.clamp(min=1)
    variance = torch.where(known, table - mean, 0.0).square().sum(-1, keepdim=True) / (count - 1).clamp(min=1)
    return replace(found, variance=torch.maximum(found.variance, variance))


def widening(
    gap: Gap, outputs: Tensor, target: Tensor, group: Tensor, groups: int, clusters: Tensor, *, seed: int = 0
) -> float:
    """By how much clusters widen the standard error of a gap's rates, at the most of all rates; at least 1.

    Arguments are those of `clustered`.
    """
    alone = rates(gap, outputs[None], target[None], group[None], groups)
    together = clustered(gap, alone, outputs, target, group, groups, clusters, seed=seed)
    known = alone.known & (alone.variance > 0)
    ratio = torch.where(known, together.variance / alone.variance.clamp(min=1e-300), 1.0)
    return max(1.0, float(ratio.max().sqrt()))
