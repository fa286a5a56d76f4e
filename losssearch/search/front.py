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
    fit_group_thresholds,
    frontier,
    parse_constraint,
    value,
)

FINE = (
    *(round(0.0025 * step, 4) for step in range(1, 40)),
    *(round(0.1 + 0.005 * step, 4) for step in range(60)),
    *(round(0.4 + 0.05 * step, 4) for step in range(13)),
)
"""Limits on the gap at which places are looked for: dense where a limit is likely, and up to no limit at all."""

PAIRS_EVERY, MORE_EVERY = 4, 10
"""Of these limits, those at which thresholds are fitted by group: every second for two groups, fewer for more."""


@dataclass(frozen=True)
class Place:
    """One model at one threshold a group: which candidate, which training of it, and what it reaches."""

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
        return self.task == "binary" and self.constraint(0.5).gap.counted


def places_of(
    trade: TradeOff, candidate: int, outputs: Tensor, rows: Rows, *, by_group: bool = False
) -> Iterator[Place]:
    """What each training of a candidate, outputs ``[S, N(, C)]``, reaches on ``rows`` within each limit.

    ``by_group``: also with a threshold of its own for each group.
    """
    for training, one in enumerate(outputs):
        unmoved = Place(candidate, training, (0.0,) * rows.groups, 0.0, 0.0)
        if not trade.by_threshold:
            yield read_place(trade, unmoved, one, rows)
            continue
        for threshold in _thresholds(trade, one, rows):
            yield read_place(trade, replace(unmoved, thresholds=(threshold,) * rows.groups), one, rows)
        if by_group:
            for thresholds in _thresholds_by_group(trade, one, rows):
                yield read_place(trade, replace(unmoved, thresholds=thresholds), one, rows)


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
) -> tuple[float, list[float]]:
    """Area of one front less that of another: on ``rows``, and on bootstrap resamples of them.

    ``first``, ``second``: outputs ``[P, N(, C)]`` of the places of either front, as `moved` gives them.
    """
    generator = np.random.default_rng(seed)
    both, parted = torch.cat((first, second)), len(first)

    def difference(index: Tensor) -> float:
        found = reached(trade, both[:, index], rows.target[index], rows.group[index], rows.groups)
        utilities, gaps = (values.tolist() for values in found)
        sides = [
            area(utilities[side], gaps[side], limits, floor) for side in (slice(None, parted), slice(parted, None))
        ]
        return sides[0] - sides[1]

    count = len(rows.target)
    drawn = [difference(torch.from_numpy(generator.integers(count, size=count))) for _ in range(resamples)]
    return difference(torch.arange(count)), drawn


def _thresholds(trade: TradeOff, outputs: Tensor, rows: Rows) -> list[float]:
    quality, sign = decision_quality(trade.metric)
    given = (outputs[None], rows.target[None], rows.group[None], rows.groups)
    found = frontier(trade.constraint(0.5), *given, quality=quality, sign=sign, limits=FINE, z=0.0)
    finite = found.threshold[0][found.utility[0].isfinite()]
    return list(dict.fromkeys(finite.tolist()))


def _thresholds_by_group(trade: TradeOff, outputs: Tensor, rows: Rows) -> Iterator[tuple[float, ...]]:
    quality, sign = decision_quality(trade.metric)
    given = (outputs[None], rows.target[None], rows.group[None], rows.groups)
    for limit in FINE[:: PAIRS_EVERY if rows.groups == 2 else MORE_EVERY]:
        constraints = [trade.constraint(limit)]
        found = fit_group_thresholds(*given, constraints=constraints, quality=quality, sign=sign, z=0.0)
        yield tuple(found.parameter[0].tolist())
