"""Evaluating the members of a population by a metric under constraints between groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from losssearch.data.batch import Batch
from losssearch.errors import OptionError
from losssearch.evaluation.adjustment import Adjustment, fit_adjustment
from losssearch.evaluation.fairness.bound import bound
from losssearch.evaluation.fairness.constraint import Constraint
from losssearch.evaluation.fairness.counts import check_groups
from losssearch.evaluation.fairness.grid import choose_on_grid
from losssearch.evaluation.fairness.rates import value
from losssearch.evaluation.fairness.threshold import fit_fair_threshold
from losssearch.evaluation.measure import Quality
from losssearch.evaluation.members import map_members
from losssearch.evaluation.metrics.thresholded import accuracy, balanced_accuracy, quality_of
from losssearch.evaluation.record import Metric

CONSTANT = 1e3
"""Excess of a model that decides all rows alike: it has no gap, and no use."""
_FLOOR, _FAR_FLOOR = -2.0, -1e6
"""Utilities below all that a metric within [-1, 1] can have, and below nearly all that another can."""


@dataclass(frozen=True)
class FairAdjustment:
    """What is tuned on validation, as the metric sees outputs and as decisions are taken.

    The two differ where the metric reads probabilities: it sees a temperature, decisions have a threshold.
    """

    score: Adjustment
    decision: Adjustment

    def apply(self, outputs: Tensor) -> Tensor:
        """Outputs for the metric. Where it is one of decisions or ranks, these decide as well."""
        return self.score.apply(outputs)

    def decide(self, outputs: Tensor) -> Tensor:
        """Outputs whose decision (logit above 0, highest logit) is the one to take."""
        return self.decision.apply(outputs)

    def scores(self, outputs: Tensor) -> Tensor:
        """Outputs that say probabilities or predictions: what gaps of scores read."""
        return self.score.apply(outputs) if self.score.kind in ("temperature", "shift") else outputs

    def read(self, constraint: Constraint, outputs: Tensor) -> Tensor:
        """Outputs as the constraint's gap reads them."""
        return self.decide(outputs) if constraint.gap.reads == "decision" else self.scores(outputs)

    def where(self, mask: Tensor, other: FairAdjustment) -> FairAdjustment:
        """This adjustment for members in ``mask``, ``other`` for the rest."""
        return FairAdjustment(self.score.where(mask, other.score), self.decision.where(mask, other.decision))

    def select(self, index: Tensor | slice | int | tuple[Tensor | slice | int, ...]) -> FairAdjustment:
        """The adjustment of some members, by an index into the leading dimensions."""
        return FairAdjustment(self.score.select(index), self.decision.select(index))


@dataclass(frozen=True)
class FairEvaluation:
    """What validation says of every member; all ``[...]``, float64.

    ``values``: the metric. ``excess``: how far the worst bound is beyond its limit, in units of the limit; at
    most 0 where every constraint is kept. ``utility``: the metric's where kept, else below all of those that keep
    them. ``gaps`` and ``bounds``: ``[P, ...]``, in the order of the constraints. nan for a member with a
    non-finite output.
    """

    values: Tensor
    utility: Tensor
    excess: Tensor
    gaps: Tensor
    bounds: Tensor
    adjustment: FairAdjustment


def evaluate_fairly(
    metric: Metric,
    constraints: Sequence[Constraint],
    outputs: Tensor,
    target: Tensor,
    group: Tensor,
    groups: int,
    *,
    tuned: Tensor | bool,
    z: float = 1.0,
    facts: Batch | None = None,
) -> FairEvaluation:
    """Judge every member: adjusted for the best metric within the constraints, on these very rows.

    Args:
        metric: What is to be good.
        constraints: What must hold, all of one kind of task; the kind that the metric is for.
        outputs: ``[..., N]`` or ``[..., N, C]``; predictions in the target's own unit.
        target: ``[..., N]``; leading dimensions broadcast, as do those of ``group``.
        group: Ids ``[..., N]``, int64, in ``[0, groups)``.
        groups: How many groups there are.
        tuned: Members to adjust; the others are judged as they are.
        z: Standard errors of the bounds that must satisfy the limits.
        facts: As in `losssearch.evaluation.fit_adjustment`.

    Raises:
        OptionError: Where shapes or ids do not fit, or a fact is missing.
    """
    check_groups(group, groups, target.shape[-1])
    rule = _Rule(metric, constraints, outputs, target, group, groups, tuned, z)
    adjustment = _fit(rule, facts)
    values = metric.function(adjustment.apply(outputs), target)
    seen = [(constraint, adjustment.read(constraint, outputs)) for constraint in constraints]
    gaps = [value(constraint, read, target, group, groups) for constraint, read in seen]
    bounds = [bound(constraint, read, target, group, groups, z=z) for constraint, read in seen]
    excess = torch.full_like(values, -torch.inf)
    for constraint, reached in zip(constraints, bounds, strict=True):
        # By `where`, as the maximum of nan and a number is not the same everywhere.
        beyond = constraint.excess(reached)
        excess = torch.where(beyond.isnan() | (beyond > excess), beyond, excess)
    if _decides(constraints):
        constant = map_members(_constant, adjustment.decide(outputs), target, class_axis=metric.function.class_axis)
        excess = torch.where(constant == 1, CONSTANT, excess)
    empty = values.new_empty(0, *values.shape)
    return FairEvaluation(
        values,
        constrained_utility(metric, values, excess),
        excess,
        torch.stack(gaps) if gaps else empty,
        torch.stack(bounds) if bounds else empty,
        adjustment,
    )


def utility_floor(metric: Metric) -> float:
    """A utility below all that the metric can have, or nearly all where it has no bound."""
    return _FLOOR if metric.low >= -1 and metric.high <= 1 else _FAR_FLOOR


def constrained_utility(metric: Metric, values: Tensor, excess: Tensor) -> Tensor:
    """The metric's utility where there is no excess; else below every such utility, the less the more excess.

    Args:
        metric: Its sign is turned so that larger is better.
        values: Of the metric, ``[...]``.
        excess: Of the constraints, ``[...]``.
    """
    floor = utility_floor(metric)
    return torch.where(excess <= 0, metric.utility(values), floor - excess).where(~values.isnan(), torch.nan)


def decision_quality(metric: Metric) -> tuple[Quality, float]:
    """What makes a threshold good for a binary metric, and its sign where larger is better.

    The metric itself where it is one of decisions; balanced accuracy for one of ranks, and accuracy for one of
    probabilities, for these say nothing of a threshold.

    Raises:
        OptionError: For a metric of decisions that is not known as a function of counts.
    """
    quality = quality_of(metric)
    if quality is not None:
        return quality, 1.0 if metric.direction == "maximize" else -1.0
    if metric.adjustment == "threshold":
        raise OptionError(
            f"{metric.name} cannot be held to constraints on decisions: a threshold within limits is found by counts "
            "of decisions, which a metric of your own does not give; give another metric, such as f1 or "
            'cost(fp=1,fn=5), or declare it with tuned="none"'
        )
    return (balanced_accuracy if metric.adjustment == "none" else accuracy), 1.0


@dataclass(frozen=True)
class _Rule:
    """The arguments of `evaluate_fairly`."""

    metric: Metric
    constraints: Sequence[Constraint]
    outputs: Tensor
    target: Tensor
    group: Tensor
    groups: int
    tuned: Tensor | bool
    z: float


def _fit(rule: _Rule, facts: Batch | None) -> FairAdjustment:
    metric, outputs, target, tuned = rule.metric, rule.outputs, rule.target, rule.tuned
    if not metric.view.thresholded:
        plain = fit_adjustment(metric, outputs, target, tuned=tuned, facts=facts)
        # A shift moves whatever a gap reads of predictions, a prior shift decisions alone.
        moved = [c for c in rule.constraints if c.gap.reads == "decision" or plain.kind == "shift"]
        if plain.kind in ("prior_shift", "shift") and moved:
            plain = choose_on_grid(metric, moved, plain, outputs, target, rule.group, rule.groups, tuned, rule.z)
        return FairAdjustment(plain, plain)
    limiting = [constraint for constraint in rule.constraints if constraint.gap.counted]
    if not limiting:
        plain = fit_adjustment(metric, outputs, target, tuned=tuned, facts=facts)
        return FairAdjustment(plain, plain if plain.kind != "temperature" else _untouched(plain))
    quality, sign = decision_quality(metric)

    def fit(scores: Tensor, target: Tensor, group: Tensor) -> Tensor:
        return fit_fair_threshold(
            scores,
            target,
            group,
            groups=rule.groups,
            constraints=limiting,
            quality=quality,
            sign=sign,
            z=rule.z,
        )

    only = tuned if isinstance(tuned, Tensor) else torch.tensor(tuned, device=outputs.device)
    thresholds = map_members(fit, outputs, target, rule.group, class_axis=False, only=only)
    decision = Adjustment("threshold", thresholds.nan_to_num(0.0))
    if metric.adjustment == "temperature":
        return FairAdjustment(fit_adjustment(metric, outputs, target, tuned=tuned), decision)
    return FairAdjustment(decision, decision)


def _untouched(like: Adjustment) -> Adjustment:
    return Adjustment("none", torch.zeros_like(like.parameter))


def _decides(constraints: Sequence[Constraint]) -> bool:
    return any(constraint.gap.reads == "decision" for constraint in constraints)


def _constant(outputs: Tensor, target: Tensor) -> Tensor:
    """1 for each member ``[M]`` that decides all rows alike, else 0."""
    decided = outputs > 0 if outputs.dim() == target.dim() else outputs.argmax(-1)
    return (decided == decided[:, :1]).all(1).double()
