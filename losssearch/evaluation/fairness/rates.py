"""The rate of each group that a gap compares, how uncertain it is, and the value of the gap.

Everything here has cells and groups first, ``[C, G, ...]``, so that the many thresholds of many members stay
contiguous behind them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import cast

import numpy as np
import torch
from torch import Tensor

from losssearch.evaluation.fairness.constraint import Constraint
from losssearch.evaluation.fairness.counts import Counts, check_groups, group_counts
from losssearch.evaluation.fairness.gaps import Gap
from losssearch.evaluation.measure import Quality, divide
from losssearch.evaluation.members import map_members
from losssearch.evaluation.record import Metric

RESAMPLES = 40
"""Resamples of a group's rows for the variance of a metric that has no closed form for it."""

_ROUNDING = 1e-12


@dataclass(frozen=True)
class Rates:
    """Rates ``[C, G, ...]``, the variance of each as an estimate, and how many rows it was estimated on."""

    rate: Tensor
    variance: Tensor
    rows: Tensor

    @property
    def known(self) -> Tensor:
        """Whether there were rows to estimate a rate."""
        return self.rows > 0


def rates_of_counts(gap: Gap, counts: Counts) -> Rates:
    """Rates of a gap of decisions.

    The variance of a share is ``p (1 - p) / n`` at ``p = (k + 2) / (n + 4)`` and ``n + 4`` rows (Agresti & Coull
    1998), so that it is above zero for shares of 0 and 1.
    """
    if gap.quality is not None:
        return _rates_of_quality(gap.quality, counts)
    if gap.shares is None:
        raise TypeError(f"{gap.name} is no function of counts")
    numerator, denominator = gap.shares(counts)
    rows = denominator + 4
    share = (numerator + 2) / rows
    return Rates(divide(numerator, denominator), share * (1 - share) / rows, denominator)


def _rates_of_quality(quality: Quality, counts: Counts) -> Rates:
    """A metric of decisions in each group; its variance by what one more row of each kind would change.

    That is the infinitesimal jackknife (Efron 1982) with one row of each kind added, as in the bound of a share.
    """
    rows, positives, predicted, hits = counts.rows[None], counts.positives, counts.predicted, counts.hits

    # A row is right or wrong, positive or negative: what it adds to hits, predicted and positives.
    kinds = ((1, 1, 1), (0, 0, 1), (0, 1, 0), (0, 0, 0))
    amounts = (hits, positives - hits, predicted - hits, rows - positives - predicted + hits)

    value = cast("Callable[..., Tensor]", quality)  # the number of rows may be a tensor as well
    smooth = (rows + 4, hits + 1, predicted + 2, positives + 2)
    centre = value(*smooth)
    mean, square = torch.zeros_like(centre), torch.zeros_like(centre)
    for (hit, decided, positive), amount in zip(kinds, amounts, strict=True):
        change = value(smooth[0] + 1, smooth[1] + hit, smooth[2] + decided, smooth[3] + positive) - centre
        mean += (amount + 1) * change
        square += (amount + 1) * change.square()
    rows = rows.expand(positives.shape)
    found = value(rows.clamp(min=1), hits, predicted, positives)
    return Rates(found, (square - mean.square() / smooth[0]).clamp(min=0), rows)


def rates(gap: Gap, outputs: Tensor, target: Tensor, group: Tensor, groups: int, *, spread: bool = True) -> Rates:
    """Rates ``[C, G, M]`` of every member.

    Args:
        gap: What is compared.
        outputs: ``[M, N]`` or ``[M, N, C]``, finite: decisions are read off adjusted outputs; scores as they are.
        target: ``[M, N]``.
        group: Ids ``[M, N]``; for a gap of an attribute that is a number, its values.
        groups: How many groups there are, G.
        spread: Whether the variance is wanted; without, it may be zero.
    """
    if gap.counted:
        return rates_of_counts(gap, group_counts(outputs, target, group, groups))
    if gap.values is not None:
        return _rates_of_means(gap.values(outputs, target), group, groups, root=gap.root)
    if gap.scores is not None:
        return _correlations(gap.scores(outputs), group)
    if gap.metric is None:
        raise TypeError(f"{gap.name} has nothing that computes it")
    return _rates_of_metric(gap.metric, outputs, target, group, groups, spread=spread)


def _rates_of_means(values: Tensor, group: Tensor, groups: int, *, root: bool) -> Rates:
    """Means of one number per row. Two rows of the common spread are added to those of the group, for small groups."""

    def total(column: Tensor) -> Tensor:
        sums = torch.zeros(len(column), groups, dtype=torch.float64, device=column.device)
        return sums.scatter_add_(1, group, column).T[None]

    rows, mean = total(torch.ones_like(values)), divide(total(values), total(torch.ones_like(values)))
    residuals = values - mean[0].T.gather(1, group)
    common = residuals.square().mean(-1)
    variance = (total(residuals.square()) + 2 * common) / (rows + 1) / rows.clamp(min=1)
    if root:
        mean = mean.clamp(min=0).sqrt()
        variance = divide(variance, 4 * mean.square())
    return Rates(mean, variance, rows)


def _rates_of_metric(
    metric: Metric, outputs: Tensor, target: Tensor, group: Tensor, groups: int, *, spread: bool
) -> Rates:
    """A metric on the rows of each group, for members whose neighbours mostly have the same rows."""
    rate = torch.full((1, groups, len(outputs)), torch.nan, dtype=torch.float64, device=outputs.device)
    variance, sizes = torch.zeros_like(rate), torch.zeros_like(rate)
    changes = ((group[1:] != group[:-1]).any(1) | (target[1:] != target[:-1]).any(1)).nonzero().squeeze(1) + 1
    bounds = [0, *changes.tolist(), len(outputs)]
    for start, end in pairwise(bounds):
        for index in range(groups):
            rows = (group[start] == index).nonzero().squeeze(1)
            if not len(rows):
                continue
            scores, labels = outputs[start:end, rows], target[start, rows]
            rate[0, index, start:end] = metric.function(scores, labels)
            sizes[0, index, start:end] = len(rows)
            if spread:
                weights = _weights(len(rows)).to(outputs.device)
                for member in range(end - start):
                    drawn = metric.function.resampled(scores[member], labels)(weights)
                    drawn = drawn[drawn.isfinite()]
                    variance[0, index, start + member] = drawn.var() if len(drawn) > 1 else 0.0
    return Rates(rate.nan_to_num(0.0), variance, torch.where(rate.isfinite(), sizes, 0.0))


def _weights(rows: int) -> Tensor:
    drawn = np.random.default_rng(rows).multinomial(rows, np.full(rows, 1 / rows), size=RESAMPLES)
    return torch.from_numpy(drawn.T.astype(np.float64))


def _correlations(scores: Tensor, attribute: Tensor) -> Rates:
    """Sizes of correlations ``[C, 1, M]`` of scores ``[C, M, N]``; their variance by the infinitesimal jackknife."""
    scores, attribute = _standardised(scores), _standardised(attribute.double())
    products = scores * attribute
    found = products.mean(-1, keepdim=True)
    influence = products - found / 2 * (scores.square() + attribute.square())
    rows = scores.shape[-1]
    variance, size = influence.square().mean(-1) / rows, found.abs().squeeze(-1)
    return Rates(size[:, None], variance[:, None], torch.full_like(size, rows)[:, None])


def _standardised(values: Tensor) -> Tensor:
    mean = values.mean(-1, keepdim=True)
    centred = values - mean
    spread = centred.square().mean(-1, keepdim=True).sqrt()
    spread = torch.where(spread > _ROUNDING * mean.abs(), spread, 0.0)  # a constant is never quite one
    return divide(centred, spread.expand_as(centred), 0.0)


def alike(gap: Gap, found: Rates) -> Rates:
    """The rates ``[C, G, ...]`` on the same rows, had all groups the common rate of their cell.

    Of an attribute that is a number: had it no correlation.
    """
    if gap.scores is not None:
        return Rates(torch.zeros_like(found.rate), 1 / found.rows, found.rows)
    total = found.rows.sum(1, keepdim=True)
    common = divide((found.rate * found.rows).sum(1, keepdim=True), total).expand_as(found.rate)
    variance = found.variance
    if gap.shares is not None:
        smooth = (common * found.rows + 2) / (found.rows + 4)
        variance = smooth * (1 - smooth) / (found.rows + 4)
    return Rates(common, variance, found.rows)


def gap_value(gap: Gap, found: Rates) -> Tensor:
    """The gap ``[...]`` of rates ``[C, G, ...]``; groups without rows in a cell are left out of it."""
    highest = torch.where(found.known, found.rate, -torch.inf).amax(1)
    lowest = torch.where(found.known, found.rate, torch.inf).amin(1)
    if gap.compare == "worst":
        return (lowest if gap.operator == ">=" else highest).amax(0)
    several = found.known.sum(1) > 1
    if gap.compare == "difference":
        return torch.where(several, highest - lowest, 0.0).amax(0)
    return torch.where(several, divide(lowest, highest, 1.0), 1.0).amin(0)


def value(constraint: Constraint, outputs: Tensor, target: Tensor, group: Tensor, groups: int) -> Tensor:
    """The constraint's gap for every member.

    Args:
        constraint: Its gap says whether ``outputs`` are read as decisions or as scores.
        outputs: Adjusted logits ``[..., N]`` (decided positive above 0), logits ``[..., N, C]``, or predictions.
        target: ``[..., N]``; leading dimensions broadcast.
        group: Ids ``[..., N]`` in ``[0, groups)``, int64; leading dimensions broadcast.
        groups: How many groups there are.

    Returns:
        ``[...]``, float64; nan for a member with a non-finite output.

    Raises:
        OptionError: Where the shapes or ids do not fit.
    """
    check_groups(group, groups, target.shape[-1])

    def one(outputs: Tensor, target: Tensor, group: Tensor) -> Tensor:
        return gap_value(constraint.gap, rates(constraint.gap, outputs, target, group, groups, spread=False))

    return map_members(one, outputs, target, group, class_axis=constraint.class_axis)
