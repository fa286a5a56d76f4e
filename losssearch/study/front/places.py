"""Places on the front of a metric and a gap between groups: what models reach at thresholds, and the best of them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from losssearch.evaluation import Metric
from losssearch.evaluation.fairness import (
    Constraint,
    decision_quality,
    group_threshold_front,
    parse_constraint,
    undominated,
    value,
)
from losssearch.evaluation.fairness.counts import Counts
from losssearch.evaluation.fairness.rates import gap_value, rates_of_counts
from losssearch.evaluation.metrics.thresholded import quality_of
from losssearch.tasks import get_kind

LIMITS = (0.005, 0.01, 0.02, 0.03, 0.045, 0.065, 0.09, 0.12, 0.16, 0.22, 0.3)
"""Limits on the gap at which thresholds of more than two groups are fitted."""


@dataclass(frozen=True)
class Place:
    """One model at one threshold per group: which candidate, which training of it, and what it reaches."""

    candidate: int
    training: int
    thresholds: tuple[float, ...]
    utility: float
    gap: float


@dataclass(frozen=True)
class Rows:
    """Target ``[N]`` and group ids ``[N]`` of one part, and how many groups there are."""

    target: Tensor
    group: Tensor
    groups: int


@dataclass(frozen=True)
class TradeOff:
    """What is traded: a metric, and a gap of one kind of task."""

    metric: Metric
    gap: str
    task: str

    def constraint(self, limit: float) -> Constraint:
        """The gap with a limit."""
        return parse_constraint(f"{self.gap} <= {limit}", self.task)

    @property
    def by_threshold(self) -> bool:
        """Whether a model's thresholds have a front of their own."""
        return get_kind(self.task).view.thresholded and self.constraint(0.5).gap.counted


def places_of(
    trade: TradeOff, candidate: int, outputs: Tensor, rows: Rows, *, by_group: bool = False
) -> Iterator[Place]:
    """What each training of a candidate, outputs ``[S, N(, C)]``, reaches on ``rows`` at every threshold worth taking.

    ``by_group``: also with a threshold of its own for each group.
    """
    for training, one in enumerate(outputs):
        unmoved = Place(candidate, training, (0.0,) * rows.groups, 0.0, 0.0)
        if not trade.by_threshold:
            yield read_place(trade, unmoved, one, rows)
            continue
        tried = [((found[0],) * rows.groups, found[1], found[2]) for found in _thresholds(trade, one, rows)]
        if by_group:
            tried += [(tuple(own), utility, gap) for *own, utility, gap in _thresholds_by_group(trade, one, rows)]
        for thresholds, utility, gap in tried:
            place = Place(candidate, training, thresholds, utility, gap)
            yield place if quality_of(trade.metric) else read_place(trade, place, one, rows)


def read_place(trade: TradeOff, place: Place, outputs: Tensor, rows: Rows) -> Place:
    """The place with what its thresholds reach with ``outputs`` ``[N(, C)]`` on ``rows``."""
    utilities, gaps = reached(trade, moved(trade, place, outputs, rows)[None], rows.target, rows.group, rows.groups)
    return replace(place, utility=float(utilities[0]), gap=float(gaps[0]))


def moved(trade: TradeOff, place: Place, outputs: Tensor, rows: Rows) -> Tensor:
    """Outputs whose decisions are those of the place."""
    if not trade.by_threshold:
        return outputs
    return outputs.double() - torch.tensor(place.thresholds, dtype=torch.float64)[rows.group]


def reached(trade: TradeOff, outputs: Tensor, target: Tensor, group: Tensor, groups: int) -> tuple[Tensor, Tensor]:
    """Utilities ``[P]`` and gaps ``[P]`` of outputs ``[P, N(, C)]``."""
    count = len(outputs)
    labels, ids = target.expand(count, -1), group.expand(count, -1)
    return trade.metric.utility(trade.metric(outputs, labels)), value(
        trade.constraint(0.5), outputs, labels, ids, groups
    )


def front_of(places: Sequence[Place]) -> list[Place]:
    """The places that no other beats in both, smallest gap first."""
    kept: list[Place] = []
    for place in sorted(places, key=lambda place: (place.gap, -place.utility)):
        if not kept or place.utility > kept[-1].utility:
            kept.append(place)
    return kept


def area(utilities: Sequence[float], gaps: Sequence[float], limits: Sequence[float], floor: float) -> float:
    """The mean over limits of the best utility that keeps each; ``floor`` where nobody does."""
    best = [max((u for u, g in zip(utilities, gaps, strict=True) if g <= limit), default=floor) for limit in limits]
    return sum(max(floor, one) for one in best) / len(best)


def floor_of(trade: TradeOff, places: Sequence[Place], rows: Rows) -> float:
    """What no front is worse than: the better constant decision, which has no gap; else the least utility of all."""
    least = min((place.utility for place in places if math.isfinite(place.utility)), default=0.0)
    if not trade.by_threshold:
        return least
    constant = torch.tensor([[-1.0], [1.0]]).expand(2, len(rows.target))
    found = trade.metric.utility(trade.metric(constant, rows.target.expand(2, -1)))
    return float(found[found.isfinite()].amax()) if bool(found.isfinite().any()) else least


def area_differences(
    trade: TradeOff,
    first: Tensor,
    second: Tensor,
    rows: Rows,
    *,
    limits: Sequence[float],
    floor: float,
    resamples: int = 100,
    seed: int,
    clusters: Tensor | None = None,
) -> tuple[float, list[float]]:
    """Area of one front less that of another: on ``rows``, and on bootstrap resamples of them.

    ``first``, ``second``: outputs ``[P, N(, C)]`` of the places of either front, as `moved` gives them. ``clusters``
    ``[N]``: ids of rows that belong together, and are drawn together.
    """
    generator = np.random.default_rng(seed)
    both, half, count = torch.cat((first, second)), len(first), len(rows.target)
    units = np.arange(count) if clusters is None else np.unique(clusters.numpy(), return_inverse=True)[1]
    drawable = int(units.max()) + 1
    drawn = [generator.multinomial(drawable, np.full(drawable, 1 / drawable))[units] for _ in range(resamples)]
    weights = torch.from_numpy(np.stack([np.ones(count, dtype=np.int64), *drawn]))
    found = []
    for utilities, gaps in _reached_by_weight(trade, both, rows, weights):
        sides = [area(utilities[side], gaps[side], limits, floor) for side in (slice(None, half), slice(half, None))]
        found.append(sides[0] - sides[1])
    return found[0], found[1:]


def _reached_by_weight(
    trade: TradeOff, outputs: Tensor, rows: Rows, weights: Tensor
) -> Iterator[tuple[list[float], list[float]]]:
    """Utilities and gaps of outputs ``[P, N(, C)]`` where each row counts as often as ``weights`` ``[B, N]`` say."""
    quality = quality_of(trade.metric)
    if quality is None or not trade.by_threshold:
        for one in weights:
            index = torch.arange(len(one)).repeat_interleave(one)
            utilities, gaps = reached(trade, outputs[:, index], rows.target[index], rows.group[index], rows.groups)
            yield utilities.tolist(), gaps.tolist()
        return
    decided, positive = (outputs > 0).double(), rows.target > 0
    often, held = weights.double().T, [rows.group == group for group in range(rows.groups)]

    def total(among: Tensor) -> Tensor:
        return torch.stack([decided[:, mask & among] @ often[mask & among] for mask in held])

    everyone = torch.ones_like(positive)
    counts = Counts(
        torch.stack([often[mask].sum(0) for mask in held])[:, None],
        torch.stack([often[mask & positive].sum(0) for mask in held])[None, :, None],
        total(everyone)[None],
        total(positive)[None],
    )
    gap = trade.constraint(0.5).gap
    _, sign = decision_quality(trade.metric)
    predicted, hits = counts.predicted[0].sum(0), counts.hits[0].sum(0)
    positives = counts.positives[0].sum(0).expand_as(hits)
    rows_drawn = often.sum(0)
    utility = sign * quality(rows_drawn, hits, predicted, positives)  # type: ignore[arg-type]
    reached_gaps = gap_value(gap, rates_of_counts(gap, counts))
    yield from zip(utility.T.tolist(), reached_gaps.T.tolist(), strict=True)


def _thresholds(trade: TradeOff, outputs: Tensor, rows: Rows) -> list[list[float]]:
    quality, sign = decision_quality(trade.metric)
    given = (outputs, rows.target, rows.group, rows.groups)
    found: list[list[float]] = undominated(trade.constraint(0.5), *given, quality=quality, sign=sign).tolist()
    return found


def _thresholds_by_group(trade: TradeOff, outputs: Tensor, rows: Rows) -> list[list[float]]:
    quality, sign = decision_quality(trade.metric)
    found: list[list[float]] = group_threshold_front(
        outputs,
        rows.target,
        rows.group,
        rows.groups,
        constraint=trade.constraint(0.5),
        quality=quality,
        sign=sign,
        limits=LIMITS,
    ).tolist()
    return found
