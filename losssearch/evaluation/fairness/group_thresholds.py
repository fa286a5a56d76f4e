"""One decision threshold per group: what post-processing can do that knows the group when it decides.

The idea of Hardt et al. 2016, "Equality of opportunity in supervised learning", section 3.2, but without its coin
tosses: a row is decided alike each time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from losssearch.errors import OptionError
from losssearch.evaluation.fairness.bound import gap_bound
from losssearch.evaluation.fairness.constraint import Constraint
from losssearch.evaluation.fairness.counts import Counts, check_groups
from losssearch.evaluation.fairness.rates import gap_value, rates_of_counts
from losssearch.evaluation.measure import Quality
from losssearch.evaluation.threshold import ranked

GRID = 384
"""Cuts of each of two groups that are first tried together, and levels that several groups are set to together."""
SWEEPS = 6
"""How often every group's cut is set anew."""


@dataclass(frozen=True)
class GroupThresholds:
    """A threshold for each member and group, ``[..., G]``, float64."""

    parameter: Tensor

    def apply(self, outputs: Tensor, group: Tensor) -> Tensor:
        """Adjusted logits: ``outputs`` ``[..., N]`` less the threshold of each row's ``group`` ``[..., N]``."""
        thresholds = self.parameter.to(outputs.dtype)
        ids = group.expand(outputs.shape)
        return outputs - thresholds.expand(*outputs.shape[:-1], -1).gather(-1, ids)


@dataclass(frozen=True)
class _Curve:
    """One group of one member: what each of its cuts ``[T]`` accepts; cut 0 nothing, the last everything."""

    thresholds: Tensor
    predicted: Tensor
    hits: Tensor


@dataclass(frozen=True)
class _Aim:
    """What makes a choice of cuts good: the metric where every constraint is kept, else the least excess."""

    constraints: Sequence[Constraint]
    quality: Quality
    sign: float
    z: float
    rows: Tensor
    positives: Tensor

    def score(self, predicted: Tensor, hits: Tensor) -> Tensor:
        """A score ``[...]`` for counts ``[G, ...]``; larger is better, below -1e9 where a constraint is broken."""
        counts, value = self._counts(predicted, hits), self._value(predicted, hits)
        excess = torch.full_like(value, -torch.inf)
        for constraint in self.constraints:
            reached = gap_bound(constraint.gap, rates_of_counts(constraint.gap, counts), self.z)
            excess = torch.maximum(excess, constraint.excess(reached))
        broken = -1e9 - 1e3 * excess.clamp(max=1e6)
        return torch.where(value == -torch.inf, value, torch.where(excess <= 0, value, broken))

    def reached(self, predicted: Tensor, hits: Tensor) -> tuple[Tensor, Tensor]:
        """Utility ``[...]`` and the first constraint's gap ``[...]`` for counts ``[G, ...]``."""
        gap = self.constraints[0].gap
        return self._value(predicted, hits), gap_value(gap, rates_of_counts(gap, self._counts(predicted, hits)))

    def _counts(self, predicted: Tensor, hits: Tensor) -> Counts:
        shape = (-1, *(1,) * (predicted.dim() - 1))
        return Counts(self.rows.reshape(shape), self.positives.reshape(shape)[None], predicted[None], hits[None])

    def _value(self, predicted: Tensor, hits: Tensor) -> Tensor:
        """The metric, larger is better; minus infinity where all rows are decided alike."""
        total, count = predicted.sum(0), int(self.rows.sum())
        value = self.sign * self.quality(count, hits.sum(0), total, self.positives.sum().expand(total.shape))
        return torch.where((total == 0) | (total == count) | ~value.isfinite(), -torch.inf, value)


def fit_group_thresholds(
    scores: Tensor,
    target: Tensor,
    group: Tensor,
    groups: int,
    *,
    constraints: Sequence[Constraint],
    quality: Quality,
    sign: float,
    z: float,
) -> GroupThresholds:
    """Thresholds, one per group, with the best metric among those whose bounds satisfy every constraint.

    Two groups: all pairs of up to `GRID` cuts each, then all cuts near the best pair; exact on fewer cuts. More
    groups: all groups at one threshold, selection rate or true positive rate, at up to `GRID` levels, then one
    group after another over all its cuts until nothing gets better; near the optimum. Where no
    choice satisfies every constraint, the least excess counts. Memory grows with the rows and with ``GRID`` squared,
    not with its power in groups.

    Args:
        scores: Binary logits ``[..., N]``, finite.
        target: Labels ``[..., N]``; leading dimensions broadcast, as do those of ``group``.
        group: Ids ``[..., N]``, int64, in ``[0, groups)``.
        groups: How many groups there are.
        constraints: Of gaps that are functions of counts.
        quality: The metric as a function of counts.
        sign: 1 where the metric is maximised, -1 where it is minimised.
        z: Standard errors of the bounds.

    Raises:
        OptionError: Where ids or shapes do not fit, or a gap is no function of decisions.
    """
    rows = target.shape[-1]
    check_groups(group, groups, rows)
    for constraint in constraints:
        if not constraint.gap.counted:
            raise OptionError(f"thresholds do not change {constraint.name}, which reads scores")
    lead = scores.shape[:-1]
    flat = scores.detach().reshape(-1, rows)
    labels, ids = (other.expand(*lead, rows).reshape(-1, rows) for other in (target, group))
    found = torch.zeros(len(flat), groups, dtype=torch.float64, device=scores.device)
    for member in range(len(flat)):
        if bool(flat[member].isfinite().all()):
            curves, aim = _prepare(flat[member], labels[member], ids[member], groups, constraints, quality, sign, z)
            cuts = _sweep(curves, aim, _pair(curves, aim) if groups == 2 else _levels(curves, aim))
            found[member] = torch.stack([curve.thresholds[cut] for curve, cut in zip(curves, cuts, strict=True)])
    return GroupThresholds(found.reshape(*lead, groups))


def group_threshold_front(
    scores: Tensor,
    target: Tensor,
    group: Tensor,
    groups: int,
    *,
    constraint: Constraint,
    quality: Quality,
    sign: float,
    limits: Sequence[float],
) -> Tensor:
    """Thresholds of one member, one per group, that no others tried beat in both metric and gap, smallest gap first.

    Two groups: all pairs of up to `GRID` cuts each. More groups: around the best thresholds at each of ``limits``,
    found as `fit_group_thresholds` does, all cuts of one group after another. Nothing that decides all rows alike.

    Args:
        scores: Binary logits ``[N]``.
        target: Labels ``[N]``.
        group: Ids ``[N]``, int64, in ``[0, groups)``.
        groups: How many groups there are.
        constraint: Its gap, a function of counts that is to be small, is what is traded; its own limit plays no part.
        quality: The metric as a function of counts.
        sign: 1 where the metric is maximised, -1 where it is minimised.
        limits: On the gap, for more than two groups.

    Returns:
        Rows of thresholds, utility and gap, ``[P, groups + 2]``, float64; none if a score is not finite.

    Raises:
        OptionError: Where ids or shapes do not fit, or the gap is no function of decisions.
    """
    check_groups(group, groups, target.shape[-1])
    if not constraint.gap.counted:
        raise OptionError(f"thresholds do not change {constraint.name}, which reads scores")
    if not bool(scores.isfinite().all()):
        return torch.empty(0, groups + 2, dtype=torch.float64)
    curves, aim = _prepare(scores.detach(), target, group, groups, [constraint], quality, sign, 0.0)
    sizes = [len(curve.predicted) for curve in curves]
    if groups == 2:
        tried = torch.cartesian_prod(*(torch.linspace(0, n - 1, min(GRID, n)).round().long() for n in sizes)).T
    else:
        found = []
        for limit in limits:
            own = replace(aim, constraints=[replace(constraint, limit=limit)])
            best = _sweep(curves, own, _levels(curves, own))
            for index, size in enumerate(sizes):
                moved = torch.tensor(best)[:, None].repeat(1, size)
                moved[index] = torch.arange(size)
                found.append(moved)
        tried = torch.cat(found, -1)
    utility, gap = aim.reached(*_counts(curves, tried))
    order = (-utility).argsort(stable=True)
    order = order[gap[order].argsort(stable=True)]  # by rising gap, then falling utility
    best_so_far = torch.nn.functional.pad(utility[order].cummax(0).values[:-1], (1, 0), value=-torch.inf)
    chosen = order[utility[order] > best_so_far]
    thresholds = [curve.thresholds[cuts[chosen]] for curve, cuts in zip(curves, tried, strict=True)]
    return torch.stack((*thresholds, utility[chosen], gap[chosen]), -1)


def _prepare(
    scores: Tensor,
    target: Tensor,
    group: Tensor,
    groups: int,
    constraints: Sequence[Constraint],
    quality: Quality,
    sign: float,
    z: float,
) -> tuple[list[_Curve], _Aim]:
    curves = [_curve(scores[group == index], target[group == index]) for index in range(groups)]
    rows = torch.stack([curve.predicted[-1] for curve in curves])
    positives = torch.stack([curve.hits[-1] for curve in curves])
    return curves, _Aim(constraints, quality, sign, z, rows, positives)


def _curve(scores: Tensor, target: Tensor) -> _Curve:
    if not len(scores):
        none = torch.zeros(1, dtype=torch.float64, device=scores.device)
        return _Curve(none, none, none)
    sorted_scores, sorted_target = ranked(scores[None], target[None])
    scores, positive = sorted_scores[0], sorted_target[0]
    margin = 1 + scores[[0, -1]].abs() / 100
    middle = scores[1:] + (scores[:-1] - scores[1:]) / 2
    # Between adjacent floating-point numbers the middle may round up to the higher one.
    middle = torch.where((middle >= scores[:-1]) | ~middle.isfinite(), scores[1:], middle)
    thresholds = torch.cat((scores[:1] + margin[:1], middle, scores[-1:] - margin[1:])).double()
    hits = torch.nn.functional.pad(positive.cumsum(0, dtype=torch.float64), (1, 0))
    predicted = torch.arange(len(scores) + 1, dtype=torch.float64, device=scores.device)
    possible = torch.nn.functional.pad(scores[1:] != scores[:-1], (1, 1), value=True)
    return _Curve(thresholds[possible], predicted[possible], hits[possible])


def _pair(curves: Sequence[_Curve], aim: _Aim) -> list[int]:
    """The best cuts of two groups: on a coarse grid of both, then on ever finer ones around the best."""
    sizes = [len(curve.predicted) for curve in curves]
    ranges = [(0, size - 1) for size in sizes]
    while True:
        spaced = [torch.linspace(low, high, min(GRID, high - low + 1)).round().long() for low, high in ranges]
        tried = torch.cartesian_prod(*spaced)
        best: list[int] = tried[int(aim.score(*_counts(curves, tried.T)).argmax())].tolist()
        steps = [-(-(high - low) // (GRID - 1)) for low, high in ranges]
        if max(steps) <= 1:
            return best
        ranges = [
            (max(0, cut - max(2 * step, GRID // 4)), min(size - 1, cut + max(2 * step, GRID // 4)))
            for cut, step, size in zip(best, steps, sizes, strict=True)
        ]


def _counts(curves: Sequence[_Curve], cuts: Tensor) -> tuple[Tensor, Tensor]:
    """Predicted and hits ``[G, ...]`` of ``cuts`` ``[G, ...]``."""
    predicted = torch.stack([curve.predicted[place] for curve, place in zip(curves, cuts, strict=True)])
    return predicted, torch.stack([curve.hits[place] for curve, place in zip(curves, cuts, strict=True)])


def _levels(curves: Sequence[_Curve], aim: _Aim) -> list[int]:
    """The best cuts among those that give all groups one threshold, one selection rate or one hit rate."""
    share = torch.linspace(0, 1, GRID, dtype=torch.float64, device=aim.rows.device)
    common = torch.cat([curve.thresholds for curve in curves]).sort(descending=True).values
    levels = common[(share * (len(common) - 1)).long()]
    starts = []
    for curve in curves:
        by_threshold = torch.searchsorted(-curve.thresholds, -levels)
        by_rate = torch.searchsorted(curve.predicted, share * curve.predicted[-1])
        by_hits = torch.searchsorted(curve.hits, share * curve.hits[-1])
        starts.append(torch.cat((by_threshold, by_rate, by_hits)).clamp(max=len(curve.predicted) - 1))
    chosen = torch.stack(starts)
    best = int(aim.score(*_counts(curves, chosen)).argmax())
    return [int(place) for place in chosen[:, best]]


def _sweep(curves: Sequence[_Curve], aim: _Aim, cuts: list[int]) -> list[int]:
    """Set one group's cut after another to its best, the others held, until none gets better."""
    cuts = list(cuts)
    for _ in range(SWEEPS):
        before = list(cuts)
        for index, curve in enumerate(curves):
            places = len(curve.predicted)
            tried = torch.tensor(cuts)[:, None].repeat(1, places)
            tried[index] = torch.arange(places)
            score = aim.score(*_counts(curves, tried))
            if float(score.max()) > float(score[cuts[index]]):
                cuts[index] = int(score.argmax())
        if cuts == before:
            break
    return cuts
