"""Decisions within limits, tuned on all rows outside test, each scored by a model that did not train on it.

The trainings of the confirmation are folds of the search part. So every row of that part has the output of one model
that it did not train, and every row of the confirmation part those of all; of these, one is taken in turn. On all these
rows together the decision is tuned, with all the room that the promise for new rows takes. What it is worth is read on
the same rows, each decided by what the rows of the other trainings tuned (cross-fitting).

Promised is the mean gap over trainings, which is larger than the gap of all rows taken together where trainings differ:
by so much, measured on confirmation rows, the limit is tightened.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from losssearch.data.batch import each
from losssearch.data.units import bootstrap_groups
from losssearch.evaluation.fairness import (
    Certificate,
    Constraint,
    FairAdjustment,
    FairEvaluation,
    bound,
    certificate,
    evaluate_fairly,
    value,
)
from losssearch.evaluation.fairness.clustered import widening
from losssearch.evaluation.fairness.constrained import CONSTANT
from losssearch.evaluation.fairness.rates import Rates, gap_value, rates
from losssearch.judging.fair import RAW
from losssearch.study.context import Context
from losssearch.study.fairness.common_scale import CommonScale
from losssearch.study.fairness.pool import Pool, by_training, pool_of
from losssearch.training import Outcome
from losssearch.training.outcome import kept

DECISION, SCORE = "/decision", "/score"
"""What is added to the name of a held-out part: outputs whose decisions count, and outputs that say probabilities."""

ROUNDS = 3
"""How often limits are tightened by what trainings differ by, and the decision tuned anew."""

LESS = (1.0, 0.0)
"""Standard errors to spare that are tried where all that a promise takes cannot be had: then nothing is promised."""


@dataclass(frozen=True, eq=False)
class Scored:
    """The outputs of one loss, double precision: of the pool ``[N(, C)]``, and of all its trainings ``[R, rows(, C)]``.

    ``scale``: that which binary scores were put on; None if they are as the models gave them.
    """

    pool: Tensor
    confirmation: Tensor
    test: Tensor
    scale: CommonScale | None = None


@dataclass(frozen=True, eq=False)
class CrossFitted:
    """The decision of one loss, what it promises, and the loss's outcome read with it.

    ``fitted``: tuned and judged on all rows of the pool. ``spared``: the standard errors that it was tuned to spare, of
    ``needed`` ones. ``bounds`` ``[P]`` are those with ``needed`` standard errors and what trainings differ by;
    ``excess``: how far the worst is beyond its limit. ``certificates``: of decisions that the rows of other trainings
    tuned. ``outcome``: decided so on confirmation, and as ``fitted`` on test; its details and utilities are those of
    each training's own part of the search rows.
    """

    scored: Scored
    fitted: FairEvaluation
    spared: float
    needed: float
    excess: float
    bounds: tuple[float, ...]
    certificates: tuple[Certificate, ...]
    outcome: Outcome

    @property
    def promised(self) -> bool:
        """Whether every limit is kept with all the room that the promise takes."""
        return self.excess <= 0

    @property
    def shortfall(self) -> float:
        """How far from a promise: 0 where it is made, then by what cannot be spared, then by the excess."""
        if self.promised:
            return 0.0
        spares = bool(self.fitted.excess <= 0) and self.spared in LESS
        return 1.0 + LESS.index(self.spared) if spares else 1.0 + len(LESS) + min(self.excess, 1e6)

    @property
    def thresholds(self) -> tuple[float, ...]:
        """The threshold of each training's own scores, where a threshold decides on a common scale."""
        decision, scale = self.fitted.adjustment.decision, self.scored.scale
        return () if scale is None or decision.kind != "threshold" else scale.back(float(decision.parameter))


class CrossFitting:
    """Tunes the decisions of the finalists of a study under constraints."""

    def __init__(self, context: Context, constraints: tuple[Constraint, ...]) -> None:
        self.context, self.constraints = context, constraints

    @cached_property
    def pool(self) -> Pool:
        """The rows that tune; known once the trainings of the confirmation have their draws."""
        return pool_of(self.context.validated["confirmation"], self.context.partition.confirmation)

    @property
    def needed(self) -> float:
        """Standard errors that a promise needs to spare on the pool."""
        return self.context.promise(len(self.pool.rows))

    @cached_property
    def target(self) -> Tensor:
        """Labels or values of the pool ``[N]``."""
        return torch.from_numpy(self.context.dataset.target[self.pool.rows.numpy()])

    @cached_property
    def group(self) -> Tensor:
        """Group ids of the pool ``[N]``, or the values of an attribute that is a number."""
        dataset = self.context.dataset
        assert dataset.group is not None  # noqa: S101  (a study under constraints has groups)
        number = dataset.attribute
        values = dataset.group if number is None else number.values
        return torch.from_numpy(values[self.pool.rows.numpy()])

    @property
    def groups(self) -> int:
        """How many groups a gap compares; 1 for an attribute that is a number."""
        dataset = self.context.dataset
        return len(dataset.groups) if dataset.attribute is None else 1

    @property
    def _clusters(self) -> Tensor | None:
        """Which rows of the pool belong together, such as those of one patient; None if all are independent."""
        groups = bootstrap_groups(self.context.dataset)
        return None if groups is None else torch.as_tensor(groups)[self.pool.rows]

    def fit(self, outcome: Outcome, *, tuned: bool) -> CrossFitted:
        """The decision of a loss whose trainings are ``outcome``; where it is not ``tuned``, outputs as they are."""
        scored = self._scored(outcome, tuned=tuned)
        everything = torch.ones(len(scored.pool), dtype=torch.bool)
        differ, needed = [0.0] * len(self.constraints), self.needed
        for _ in range(ROUNDS):
            held_to = self._tightened(differ)
            fitted, spared = self._tuned(scored.pool, everything, held_to, (needed, *LESS), tuned)
            now = [self._differ(one, fitted.adjustment, scored.confirmation) for one in self.constraints]
            wider = self.needed * self._widening(fitted.adjustment, scored.pool)
            if wider <= needed and all(new <= old for new, old in zip(now, differ, strict=True)):
                break
            differ = [max(pair) for pair in zip(now, differ, strict=True)]
            needed = max(needed, wider)
        bounds = []
        for one, by in zip(self.constraints, now, strict=True):
            read = fitted.adjustment.read(one, scored.pool)
            reached = float(bound(one, read, self.target, self.group, self.groups, z=needed))
            bounds.append(reached + by if one.op == "<=" else reached - by)
        excess = max(float(one.excess(torch.tensor(b))) for one, b in zip(self.constraints, bounds, strict=True))
        if not fitted.excess < CONSTANT:
            excess = math.inf
        cross = self._crossed(scored.pool, held_to, (spared, *(z for z in LESS if z < spared)), tuned)
        return CrossFitted(
            scored,
            fitted,
            spared,
            needed,
            excess if math.isfinite(excess) else math.inf,
            tuple(bounds),
            self._certified(scored.pool, cross),
            self._read(outcome, scored, fitted, cross, excess),
        )

    def _scored(self, outcome: Outcome, *, tuned: bool) -> Scored:
        """Outputs, on one scale for all trainings where a threshold is tuned and no probability is read."""
        parts = [torch.tensor(outcome.held[f"{name}{RAW}"]).double() for name in ("validation", "confirmation", "test")]
        metric, scale = self.context.metric, None
        if tuned and self.context.task.view.thresholded and metric.adjustment != "temperature":
            scale = CommonScale.of(parts[1])
            parts = [scale.apply(part) for part in parts]
        validation, confirmation, test = parts
        return Scored(self.pool.gather(validation, confirmation), confirmation, test, scale)

    def _widening(self, adjustment: FairAdjustment, scores: Tensor) -> float:
        """By how much rows that belong together widen the margin."""
        if (clusters := self._clusters) is None:
            return 1.0
        rows = self.target, self.group, self.groups, clusters
        return max(widening(one.gap, adjustment.read(one, scores), *rows) for one in self.constraints)

    def _tightened(self, differ: Sequence[float]) -> list[Constraint]:
        """The constraints with limits that leave room for what trainings differ by."""
        return [
            replace(one, limit=one.limit - by if one.op == "<=" else one.limit + by)
            for one, by in zip(self.constraints, differ, strict=True)
        ]

    def _differ(self, constraint: Constraint, adjustment: FairAdjustment, outputs: Tensor) -> float:
        """By how much the mean gap of the trainings is worse than the gap of their mean rates, on confirmation rows."""
        gap, trainings = constraint.gap, len(outputs)
        rows = (self.pool.searched + torch.arange(outputs.shape[1])).expand(trainings, -1)
        found = rates(
            gap, adjustment.read(constraint, outputs), self.target[rows], self.group[rows], self.groups, spread=False
        )
        alike = Rates(*(one.mean(-1, keepdim=True) for one in (found.rate, found.variance, found.rows)))
        by = float(gap_value(gap, found).mean() - gap_value(gap, alike)[0])
        return max(0.0, by if constraint.op == "<=" else -by)

    def _tuned(
        self, scores: Tensor, rows: Tensor, constraints: Sequence[Constraint], margins: tuple[float, ...], tuned: bool
    ) -> tuple[FairEvaluation, float]:
        """The best decision on ``rows`` with the largest of ``margins`` that can be spared; else with the last.

        A margin is in standard errors of all rows, so fewer rows leave the same room.
        """
        facts, share = each(self.context.facts(), Tensor.double), math.sqrt(float(rows.double().mean()))
        for spared in margins:
            found = evaluate_fairly(
                self.context.metric,
                constraints,
                scores[rows],
                self.target[rows],
                self.group[rows],
                self.groups,
                tuned=tuned,
                z=spared * share,
                facts=facts,
            )
            if bool(found.excess <= 0):
                break
        return found, spared

    def _crossed(
        self, scores: Tensor, constraints: Sequence[Constraint], margins: tuple[float, ...], tuned: bool
    ) -> list[FairAdjustment]:
        """For each training, the decision that all rows but its own tune."""
        trainings = range(int(self.pool.training.max()) + 1)
        return [
            self._tuned(scores, self.pool.training != one, constraints, margins, tuned)[0].adjustment
            for one in trainings
        ]

    def _certified(self, scores: Tensor, cross: list[FairAdjustment]) -> tuple[Certificate, ...]:
        views = {name: by_training(scores, self.pool.training, own) for name, own in _views(cross).items()}
        decides = self.context.task.view.labels
        return tuple(
            certificate(
                self.constraints,
                views[DECISION if decides else ""],
                self.target,
                self.group,
                self.groups,
                scores=views[SCORE] if decides else None,
                level=self.context.settings.confidence,
                clusters=self._clusters,
            )
        )

    def _read(
        self, outcome: Outcome, scored: Scored, fitted: FairEvaluation, cross: list[FairAdjustment], excess: float
    ) -> Outcome:
        """The outcome with its held-out outputs as they are decided."""
        pool, metric, held = self.pool, self.context.metric, {}
        classes = len(self.context.dataset.classes)
        for name, own in _views(cross).items():
            moved = by_training(scored.confirmation, pool.training[pool.searched :], own, axis=1)
            held[f"confirmation{name}"] = kept(moved, classes).numpy()
        for name, (adjust,) in _views([fitted.adjustment]).items():
            held[f"test{name}"] = kept(adjust(scored.test), classes).numpy()
        details = [tuple(self._own(scored.pool, one, adjustment, excess)) for one, adjustment in enumerate(cross)]
        return replace(
            outcome,
            held=held,
            details=tuple(details),
            utilities=tuple(metric.utility(row[0]) for row in details),
        )

    def _own(self, scores: Tensor, training: int, adjustment: FairAdjustment, excess: float) -> Iterator[float]:
        """The metric, the excess and the gaps on the search rows that a training held out."""
        rows = (self.pool.training == training).nonzero().squeeze(1)
        rows = rows[rows < self.pool.searched]
        outputs, target, group = scores[rows], self.target[rows], self.group[rows]
        yield float(self.context.metric(adjustment.apply(outputs), target))
        yield excess
        for one in self.constraints:
            yield float(value(one, adjustment.read(one, outputs), target, group, self.groups))


def _views(adjustments: list[FairAdjustment]) -> Mapping[str, list[Callable[[Tensor], Tensor]]]:
    """The ways to read outputs, by what they add to the name of a part."""
    return {
        "": [one.apply for one in adjustments],
        DECISION: [one.decide for one in adjustments],
        SCORE: [one.scores for one in adjustments],
    }
