"""Whether a limit chosen on validation holds on test, and what it costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.fairness.front import Point

LIMITS = (0.02, 0.05, 0.10)


@dataclass(frozen=True)
class Kept:
    """What a front answers to a limit: whether test keeps it, at which accuracy; None where it has no answer.

    ``oracle``: the best accuracy on test of those candidates of the same study that satisfy the limit on test.
    """

    limit: float
    kept: bool
    accuracy: float
    gap: float
    seconds: float = 0.0
    oracle: float | None = None


def answer(points: Sequence[Point], limit: float) -> Kept | None:
    """The result on test of the most accurate point that satisfies the limit on validation."""
    able = [p for p in points if p.gap <= limit]
    if not able:
        return None
    best = max(able, key=lambda p: p.accuracy)
    return Kept(limit, best.test_gap <= limit, best.test_accuracy, best.test_gap)
