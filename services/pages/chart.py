"""The chart of a search: the value of each trial and the best so far, as points of an SVG that the template draws."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from services.pages.words import number

WIDTH, HEIGHT = 640, 220
LEFT, RIGHT, TOP, BOTTOM = 64, 12, 12, 34
MOST_DOTS = 300

_TOLERANCE = 1e-9


@dataclass(frozen=True)
class Chart:
    """What is drawn, in the coordinates of ``0 0 WIDTH HEIGHT``.

    Args:
        line: ``x,y`` points of the best value so far, as steps.
        dots: ``x`` and ``y`` of single trials, without the worst ones.
        ticks: ``y`` and label of the values' axis.
        marks: ``x`` and label of the trials' axis.
        first: the first best value; None where no trial satisfies the constraints yet.
        last: the best value now, likewise.
        trials: how many trials have ended.
    """

    line: str
    dots: tuple[tuple[float, float], ...]
    ticks: tuple[tuple[float, str], ...]
    marks: tuple[tuple[float, str], ...]
    first: float | None
    last: float | None
    trials: int
    width: int = WIDTH
    height: int = HEIGHT


def chart(values: Sequence[tuple[int, float | None, float | None]]) -> Chart | None:
    """The chart of trials in the order in which they ended; None before there is a value.

    Args:
        values: number, value, and best value so far of each trial.
    """
    bests = [(place, best) for place, (_, _, best) in enumerate(values, 1) if best is not None and math.isfinite(best)]
    dots = [(place, value) for place, (_, value, _) in enumerate(values, 1) if value is not None]
    dots = [dot for dot in dots if math.isfinite(dot[1])]
    if not bests and not dots:
        return None
    low, high = _range([best for _, best in bests], [value for _, value in dots])

    def across(place: float) -> float:
        return round(LEFT + (WIDTH - LEFT - RIGHT) * (place - 1) / max(1, len(values) - 1), 1)

    def up(value: float) -> float:
        share = (min(max(value, low), high) - low) / (high - low)
        return round(HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share, 1)

    steps: list[tuple[float, float]] = []
    for place, best in bests:
        if steps and up(best) == steps[-1][1]:
            continue
        if steps:
            steps.append((across(place), steps[-1][1]))
        steps.append((across(place), up(best)))
    if steps:
        steps.append((across(len(values)), steps[-1][1]))
    shown = [dot for dot in dots if low <= dot[1] <= high]
    every = max(1, math.ceil(len(shown) / MOST_DOTS))
    return Chart(
        " ".join(f"{x},{y}" for x, y in steps),
        tuple((across(place), up(value)) for place, value in shown[::every]),
        tuple((up(tick), number(tick)) for tick in nice(low, high)),
        tuple((across(mark), f"{mark:,}") for mark in dict.fromkeys((1, (len(values) + 1) // 2, len(values)))),
        bests[0][1] if bests else None,
        bests[-1][1] if bests else None,
        len(values),
    )


def nice(low: float, high: float, about: int = 4) -> list[float]:
    """Round numbers within a range, about this number of them.

    Example:
        >>> nice(0.0, 1.0)
        [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    """
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * (1 - _TOLERANCE) * 0.8)
    first = math.ceil(low / step - _TOLERANCE)
    ticks: list[float] = []
    while first * step <= high + step * _TOLERANCE and len(ticks) < 4 * about:
        ticks.append(round(first * step, 12))
        first += 1
    return ticks


def _range(bests: list[float], values: list[float]) -> tuple[float, float]:
    """What the values' axis shows: the best values and the better half of all, so that a bad trial hides none."""
    shown = values
    if bests:
        down = bests[-1] < bests[0] or (bests[-1] == bests[0] and bests[-1] <= min(values, default=-math.inf))
        ordered = sorted(values, reverse=not down)
        shown = bests + ordered[: max(1, (len(ordered) + 1) // 2)]
    low, high = min(shown), max(shown)
    flat = high - low < _TOLERANCE * max(1.0, abs(high))
    margin = (abs(high) * 0.05 or 0.05) if flat else (high - low) * 0.06
    return low - margin, high + margin
