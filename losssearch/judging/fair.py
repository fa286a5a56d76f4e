"""The judges of a study with a sensitive attribute: the metric within constraints, or over a whole front."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from losssearch.data.batch import Batch
from losssearch.data.replicas import Replicas
from losssearch.evaluation import Metric, evaluate, get_metric
from losssearch.evaluation.fairness import (
    Constraint,
    FairAdjustment,
    FairEvaluation,
    bound,
    constrained_utility,
    decision_quality,
    evaluate_fairly,
    frontier,
    parse_constraint,
    parse_constraints,
    utility_floor,
    value,
)
from losssearch.evaluation.fairness.constrained import CONSTANT
from losssearch.tasks import get_kind
from losssearch.training import Detailed

RAW = "/raw"
"""What is added to the name of a part whose outputs are held as the model gave them, in the target's own unit."""


@dataclass(frozen=True)
class Demands:
    """What a study demands of how groups are treated.

    Either ``constraints``, each satisfied if its bound, ``z`` standard errors above the gap, satisfies the limit; or a
    ``front``: a gap, and the ``limits`` at each of which the best metric counts.
    """

    constraints: tuple[str, ...] = ()
    z: float = 1.0
    front: str = ""
    limits: tuple[float, ...] = ()


class OwnUnit(Protocol):
    """From outputs or targets as models and losses see them to the target's own unit."""

    def __call__(self, values: Tensor) -> Tensor:
        """Outputs ``[R, K, N]`` or targets ``[R, 1, N]``."""
        ...


@dataclass(frozen=True)
class Grouped:
    """The rows that are judged: whose group is which, and what the metric needs of them."""

    group: Tensor
    """Ids, or values of an attribute that is a number: ``[R, 1, V]``."""
    groups: int
    facts: Batch
    own_unit: OwnUnit


def fair_judge(
    metric: str | Metric, task: str, demands: Demands, replicas: Replicas, own_unit: OwnUnit, device: str = "cpu"
) -> ConstrainedJudge | FrontJudge:
    """The judge of these demands, for the validation rows of ``replicas``, which have groups."""
    group = replicas.validation["group"].to(device)
    if group.is_floating_point():  # an attribute that is a number: one column
        group = group.squeeze(-1)
    facts = {name: value.to(device)[:, None] for name, value in replicas.facts.items()}
    rows = Grouped(group[:, None], replicas.sizes.groups, facts, own_unit)
    if demands.front:
        return FrontJudge(metric, task, demands, rows)
    return ConstrainedJudge(metric, task, demands, rows)


SPARED = (1.0, 0.0)
"""Standard errors that a training is ranked by where it cannot spare more. Nothing is promised by them."""


class ConstrainedJudge:
    """The metric within the constraints; its details are the metric, the excess and the gap of each constraint.

    It ranks trainings and picks their best epoch; what is promised is decided later, on more rows, by
    `losssearch.study.fairness.cross_fitting`. If no decision satisfies a limit with a margin of ``z`` standard errors,
    the least excess is that of nearly the same decision for all rows. So such a member is ranked by its best decisions
    with a smaller margin (`SPARED`), below all with a larger one, and by the least excess only if there are none.
    """

    def __init__(self, metric: str | Metric, task: str, demands: Demands, rows: Grouped) -> None:
        self.metric, self.rows, self.z = get_metric(metric, task), rows, demands.z
        self.constraints = parse_constraints(demands.constraints, task)

    def __call__(self, outputs: Tensor, target: Tensor, tuned: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        """See `losssearch.training.Judge`."""
        own = self.rows.own_unit
        shown, goal = own(outputs), own(target[:, None])
        found = self._evaluate(shown, goal, tuned, self.z)
        utility, values, excess, gaps = found.utility, found.values, found.excess, found.gaps
        adjustment, floor, spared = found.adjustment, utility_floor(self.metric), found.excess <= 0
        for step, z in enumerate([z for z in SPARED if z < self.z], start=1):
            if bool(spared.all()):
                break
            bare = self._evaluate(shown, goal, tuned, z)
            kept = bare.excess <= 0
            relaxed = torch.where(kept, step * floor + self.metric.utility(bare.values), 3 * floor - bare.excess)
            beyond = torch.where(kept, self._excess(bare.adjustment, shown, goal), bare.excess + CONSTANT)
            utility, values = torch.where(spared, utility, relaxed), torch.where(spared, values, bare.values)
            excess, gaps = torch.where(spared, excess, beyond), torch.where(spared, gaps, bare.gaps)
            adjustment, spared = adjustment.where(spared, bare.adjustment), spared | kept
        # What is not tuned knows nothing of limits: it stops where its metric is best, with the gap that it has there.
        unaware = self.metric.utility(values) + torch.where(excess <= 0, 0.0, 3 * floor)
        utility = torch.where(tuned, utility, unaware)
        return utility, Detailed(
            lambda other: adjustment.apply(own(other)),
            torch.stack((values, excess, *gaps), dim=-1).double(),
            {RAW: own},
        )

    def _evaluate(self, outputs: Tensor, target: Tensor, tuned: Tensor, z: float) -> FairEvaluation:
        rows = self.rows
        return evaluate_fairly(
            self.metric,
            self.constraints,
            outputs,
            target,
            rows.group,
            rows.groups,
            tuned=tuned,
            z=z,
            facts=rows.facts,
        )

    def _excess(self, adjustment: FairAdjustment, outputs: Tensor, target: Tensor) -> Tensor:
        """How far the bounds of these decisions are beyond the limits."""
        rows, worst = self.rows, torch.zeros(())
        for one in self.constraints:
            reached = bound(one, adjustment.read(one, outputs), target, rows.group, rows.groups, z=self.z)
            worst = torch.maximum(worst, one.excess(reached))
        return worst


class FrontJudge:
    """The mean, over limits on a gap, of the best metric that keeps each; its details are the metric at each limit.

    That mean is the area under a candidate's own front. A binary model has a front of its own: its thresholds. What
    keeps no limit counts as the better constant decision does.
    """

    def __init__(self, metric: str | Metric, task: str, demands: Demands, rows: Grouped) -> None:
        self.metric, self.rows, self.limits, self.z = get_metric(metric, task), rows, demands.limits, demands.z
        self.constraint = front_constraint(demands.front, task)
        self._by_thresholds = get_kind(task).view.thresholded and self.constraint.gap.counted

    def __call__(self, outputs: Tensor, target: Tensor, tuned: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        """See `losssearch.training.Judge`."""
        rows, own = self.rows, self.rows.own_unit
        outputs, target = own(outputs), own(target[:, None])
        if self._by_thresholds:
            profile = self._by_threshold(outputs, target)
            adjust = own
        else:
            values, adjustment = evaluate(self.metric, outputs, target, tuned=tuned, facts=rows.facts)
            gap = value(self.constraint, adjustment.apply(outputs), target, rows.group, rows.groups)
            profile = torch.stack([self._within(values, gap, limit) for limit in self.limits], dim=-1)

            def adjust(values: Tensor) -> Tensor:
                return adjustment.apply(own(values))

        return profile.mean(-1), Detailed(adjust, profile.double())

    def _by_threshold(self, scores: Tensor, target: Tensor) -> Tensor:
        quality, sign = decision_quality(self.metric)
        found = frontier(
            self.constraint,
            scores,
            target,
            self.rows.group,
            self.rows.groups,
            quality=quality,
            sign=sign,
            limits=self.limits,
            z=self.z,
        )
        everyone = torch.ones(target.shape, dtype=torch.float64, device=target.device)
        constant = torch.stack([self._utility(sign_of * everyone, target) for sign_of in (-1.0, 1.0)]).amax(0)
        return torch.where(found.utility == -torch.inf, constant[..., None], found.utility)

    def _utility(self, scores: Tensor, target: Tensor) -> Tensor:
        return self.metric.utility(self.metric(scores, target))

    def _within(self, values: Tensor, gap: Tensor, limit: float) -> Tensor:
        bounded = Constraint(self.constraint.name, self.constraint.op, limit, self.constraint.task, self.constraint.gap)
        return constrained_utility(self.metric, values, bounded.excess(gap))


def front_constraint(gap: str, task: str) -> Constraint:
    """The constraint on a gap whose limit is not decided."""
    return parse_constraint(f"{gap} <= 0.5", task)
