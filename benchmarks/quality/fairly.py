"""Scenarios with a constraint between groups: a method's score, and how thresholds satisfy the constraint.

A method scores the metric on the test rows minus the amount by which its gap exceeds the limit, ``metric - (gap -
limit)+``; for an error, plus that amount. So a violation costs as many points as its size. Everybody's threshold is
tuned in the same way, the best on validation whose gap satisfies the limit with a margin of one standard error,
except for the plain loss, which does not know the limit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from benchmarks.quality.families import DEFAULT, FAIR, Family
from benchmarks.quality.scenarios import Scenario, SkippedScenarioError
from losssearch.data.replicas import Replicas
from losssearch.evaluation import Metric
from losssearch.evaluation.fairness import Constraint, parse_constraint, value
from losssearch.evaluation.fairness.counts import counts_of_tables
from losssearch.evaluation.fairness.rates import gap_value, rates_of_counts
from losssearch.evaluation.measure import Measure, Resampled
from losssearch.judging.fair import Demands, fair_judge
from losssearch.judging.metric import MetricJudge
from losssearch.losses.spec import Part
from losssearch.training import Judge

SPARED = 1.0
"""Standard errors that a gap on validation must spare of the limit."""


def families(statistic: str) -> Mapping[str, Family]:
    """The known losses for a gap in this statistic, of a binary task: what `FAIR` names."""
    penalty = Part("group_disparity", {"statistic": statistic})
    known = (
        Family(DEFAULT["binary"].term, ("weight",), penalties=(penalty,)),
        Family("reweighed_cross_entropy", ("power",)),
        Family("group_dro", ("step",)),
    )
    return dict(zip(FAIR, known, strict=True))


def constraint_of(scenario: Scenario, task: str, metric: Metric) -> Constraint | None:
    """The scenario's limit; raise `SkippedScenarioError` for one that this instrument cannot score."""
    if not scenario.constraint:
        return None
    found = parse_constraint(scenario.constraint, task)
    if task != "binary" or metric.adjustment != "threshold" or not found.gap.counted or not scenario.sensitive:
        raise SkippedScenarioError(
            f"{scenario.name}: a constraint needs a sensitive column, a binary task, and a metric and a gap of "
            f"decisions; got {scenario.metric} and {scenario.constraint}"
        )
    return found


def demands(scenario: Scenario) -> Demands | None:
    """What trainings are held to."""
    return Demands(constraints=(scenario.constraint,), z=SPARED) if scenario.constraint else None


def judge(scenario: Scenario, metric: Metric, task: str, replicas: Replicas) -> Judge:
    """The judge of validation outputs that all methods have in common."""
    plain, demanded = MetricJudge(metric.name, task, replicas), demands(scenario)
    return plain if demanded is None else fair_judge(metric.name, task, demanded, replicas, plain.own_unit)


def held_to(metric: Metric, constraint: Constraint, group: Tensor, groups: int) -> Metric:
    """The metric as a score of decisions on rows of these groups ``[N]``; it keeps its name."""
    return replace(metric, function=HeldTo(False, metric, constraint, group, groups), fit=None, adjustment="none")


def scored(metric: Metric, constraint: Constraint, values: Tensor, gap: Tensor) -> Tensor:
    """The score of these values of the metric at these gaps."""
    beyond = gap - constraint.limit if constraint.op == "<=" else constraint.limit - gap
    return metric.utility(metric.utility(values) - beyond.clamp(min=0))


def of_details(metric: Metric, constraint: Constraint, details: Sequence[Sequence[float]]) -> list[float]:
    """The scores of what the judge of validation measured; its utilities only rank what breaks the limit."""
    values, _, gaps = torch.tensor([row[:3] for row in details], dtype=torch.float64).reshape(-1, 3).T
    return scored(metric, constraint, values, gaps).tolist()


@dataclass(frozen=True, eq=False)
class HeldTo(Measure):
    """A metric of decisions less what the gap between groups is beyond its limit."""

    metric: Metric
    constraint: Constraint
    group: Tensor
    groups: int

    def gap(self, outputs: Tensor, target: Tensor) -> Tensor:
        """The gap of each member ``[M]``."""
        return value(self.constraint, outputs, target, self.group, self.groups)

    def plain(self, outputs: Tensor, target: Tensor) -> Tensor:
        """See `Measure.plain`."""
        return scored(self.metric, self.constraint, self.metric(outputs, target), self.gap(outputs, target))

    def resampled(self, outputs: Tensor, target: Tensor) -> Resampled:
        """See `Measure.resampled`."""
        values = self.metric.function.resampled(outputs, target)
        cell = ((target > 0).long() * 2 + (outputs > 0).long()) * self.groups + self.group

        def score(weights: Tensor) -> Tensor:
            table = torch.zeros(4 * self.groups, weights.shape[1], dtype=torch.float64).index_add_(0, cell, weights)
            counts = counts_of_tables(table.reshape(2, 2, self.groups, -1))
            gap = gap_value(self.constraint.gap, rates_of_counts(self.constraint.gap, counts))
            return scored(self.metric, self.constraint, values(weights), gap)

        return score
