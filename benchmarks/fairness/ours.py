"""losssearch as its users call it: one study a front, or one a limit."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import losssearch as ls
from benchmarks.fairness.front import Point
from benchmarks.fairness.kept import Kept
from benchmarks.fairness.scenarios import Split
from losssearch.errors import ConstraintUnmetError

TRIALS = 16
"""Of a front, so that its study takes about as long as the slower rivals: half of them the menu's."""


def blind(split: Split, criterion: str, seconds: float) -> list[Point]:
    """One study that draws the front; the model never sees the attribute."""
    return _front(split, criterion, model="mlp")


def aware(split: Split, criterion: str, seconds: float, *, model: str) -> list[Point]:
    """One study that draws the front, with the attribute among the features and a threshold for each group."""
    return _front(split, criterion, model=model, group_thresholds=True)


def constrained(split: Split, criterion: str, limits: Sequence[float]) -> list[Kept | None]:
    """What a study with each limit as its constraint recommends, as it fares on test; None where it finds none."""
    return [_within(split, criterion, limit) for limit in limits]


def _front(split: Split, criterion: str, **more: Any) -> list[Point]:
    result = _search(split, TRIALS, objectives=["accuracy", f"{criterion}_difference"], **more)
    return [
        Point(p["validation"]["metric"], p["validation"]["gap"], p["test"]["metric"], p["test"]["gap"])
        for p in result["front"]
    ]


def _within(split: Split, criterion: str, limit: float) -> Kept | None:
    begun = time.monotonic()
    try:
        result = _search(split, 24, metric="accuracy", constraints=[f"{criterion}_difference <= {limit}"])
    except ConstraintUnmetError:
        return None
    best = result["best"]
    gap = best["constraints"][0]["test"]
    able = [one["test"]["mean"] for one in result["finalists"] if one["constraints"][0]["met"]]
    return Kept(limit, gap <= limit, best["test"]["mean"], gap, time.monotonic() - begun, max(able, default=None))


def _search(split: Split, trials: int, **options: Any) -> dict[str, Any]:
    scenario = split.scenario
    with tempfile.TemporaryDirectory() as place:
        result = ls.search(
            split.frame,
            target=scenario.target,
            drop=scenario.drop,
            sensitive=scenario.sensitive,
            trials=trials,
            workers=0,
            mlflow=False,
            references=False,
            seed=split.seed,
            out=Path(place) / "study",
            **options,
        )
        return result.to_json()
