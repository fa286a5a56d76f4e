"""Points of accuracy and gap, the front among them, and the area that it dominates."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.fairness.scenarios import Part

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Point:
    """Accuracy and gap of one decision rule on validation, which chooses it, and on test."""

    accuracy: float
    gap: float
    test_accuracy: float
    test_gap: float


def gap_of(decisions: Floats, part: Part, groups: int, criterion: str) -> float:
    """Largest difference between groups in the rate of ``decisions`` (shares in [0, 1] where randomised)."""
    cells = (
        [np.ones(len(decisions), bool)] if criterion == "demographic_parity" else [part.labels == 1, part.labels == 0]
    )
    worst = 0.0
    for cell in cells:
        rates = [decisions[cell & (part.group == g)].mean() for g in range(groups) if (cell & (part.group == g)).any()]
        worst = max(worst, max(rates) - min(rates))
    return float(worst)


def accuracy_of(decisions: Floats, part: Part) -> float:
    """Expected share of right decisions."""
    return float(np.where(part.labels == 1, decisions, 1 - decisions).mean())


def point(validation: Floats, test: Floats, parts: tuple[Part, Part], groups: int, criterion: str) -> Point:
    """The point of one decision rule, given what it decides on both parts."""
    (val_part, test_part), (val, tst) = parts, (np.asarray(validation, float), np.asarray(test, float))
    return Point(
        accuracy_of(val, val_part),
        gap_of(val, val_part, groups, criterion),
        accuracy_of(tst, test_part),
        gap_of(tst, test_part, groups, criterion),
    )


def threshold_points(
    validation: Floats, test: Floats, parts: tuple[Part, Part], groups: int, criterion: str, most: int = 60
) -> list[Point]:
    """Points of the thresholds of one model's scores that no other threshold of it beats on validation."""
    val_part, test_part = parts
    order = np.argsort(-validation, kind="stable")
    labels, group = val_part.labels[order], val_part.group[order]
    hits = np.cumsum(labels == 1)
    count = np.arange(1, len(labels) + 1)
    accuracy = (hits + (labels == 0).sum() - (count - hits)) / len(labels)
    cells = [np.ones(len(labels), bool)] if criterion == "demographic_parity" else [labels == 1, labels == 0]
    gap = np.zeros(len(labels))
    for cell in cells:
        rates = np.stack([np.cumsum(cell & (group == g)) / max(1, (cell & (group == g)).sum()) for g in range(groups)])
        gap = np.maximum(gap, rates.max(0) - rates.min(0))
    last = np.append(np.diff(validation[order]) != 0, True)  # equal scores are decided alike
    chosen = _undominated(accuracy[last], gap[last])
    places = np.flatnonzero(last)[chosen]
    if len(places) > most:
        places = places[np.linspace(0, len(places) - 1, most).astype(int)]
    found = []
    for place in places:
        decided = (test >= validation[order[place]]).astype(float)
        found.append(
            Point(
                float(accuracy[place]),
                float(gap[place]),
                accuracy_of(decided, test_part),
                gap_of(decided, test_part, groups, criterion),
            )
        )
    return found


def _undominated(accuracy: Floats, gap: Floats) -> NDArray[np.int64]:
    order = np.lexsort((-accuracy, gap))
    best = np.maximum.accumulate(accuracy[order])
    rising = np.append(True, best[1:] > best[:-1])
    return order[rising]


def front(points: Sequence[Point]) -> list[Point]:
    """The points that no other point beats on validation, smallest gap first."""
    if not points:
        return []
    accuracy = np.array([p.accuracy for p in points])
    gap = np.array([p.gap for p in points])
    return [points[i] for i in _undominated(accuracy, gap)]


def hypervolume(pairs: Iterable[tuple[float, float]], box: tuple[float, float, float]) -> float:
    """Share of the box that (accuracy, gap) pairs dominate; 1 is the best accuracy at a gap of zero."""
    low, high, widest = box
    area, reached, before = 0.0, low, 0.0
    for gap, accuracy in sorted((gap, accuracy) for accuracy, gap in pairs):
        if gap > widest:
            break
        area += (gap - before) * (reached - low)
        before, reached = gap, max(reached, min(accuracy, high))
    area += (widest - before) * (reached - low)
    return area / ((high - low) * widest)
