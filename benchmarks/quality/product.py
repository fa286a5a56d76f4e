"""losssearch itself: `losssearch.search` at its defaults, on the outer training part alone."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.quality.problem import Problem
from losssearch.errors import ConstraintUnmetError
from losssearch.losses.spec import LossSpec


@dataclass(frozen=True)
class Found:
    """What a study recommends, its best searched loss, the baseline that it was set against, and what it says."""

    best: LossSpec
    searched: LossSpec | None
    against: LossSpec
    content: dict[str, Any]


def run(problem: Problem, effort: Mapping[str, Any], seed: int, folder: Path) -> dict[str, Any]:
    """One study of ``effort`` (a time budget, or a number of trials) into ``folder``: what its ``result.json`` says."""
    import losssearch as ls

    given, scenario = problem.given, problem.scenario
    try:
        found = ls.search(
            (given.features, given.target),
            metric=problem.metric.name,
            task=given.task,
            positive=given.positive,
            sensitive=scenario.sensitive or None,
            constraints=scenario.constraint or (),
            **effort,
            workers=0,
            mlflow=False,
            references=False,
            device="cpu",
            seed=seed,
            out=folder,
        )
    except ConstraintUnmetError as closest:
        found = closest.result
    return dict(found.to_json())


def search(problem: Problem, effort: Mapping[str, Any], seed: int) -> Found:
    """One study (see `run`); ``content`` is what later reports read of it."""
    with tempfile.TemporaryDirectory() as folder:
        result = run(problem, effort, seed, Path(folder) / "study")
    verdict = result["verdict"]
    against = next(entry for entry in result["baselines"] if entry["name"] == verdict["against"])
    searched = result["searched"]
    return Found(
        best=LossSpec.from_json(result["best"]["spec"]),
        searched=LossSpec.from_json(searched["spec"]) if searched else None,
        against=LossSpec.from_json(against["spec"]),
        content={
            "verdict": verdict,
            "trials": result["trials"],
            "timing": result["timing"],
            "best": _short(result["best"]),
            "searched": _short(searched) if searched else None,
            "baselines": [_short(entry) for entry in result["baselines"]],
        },
    )


def _short(entry: dict[str, Any]) -> dict[str, Any]:
    means = {part: entry[part]["mean"] for part in ("validation", "confirmation", "test")}
    return {"name": entry["name"], "formula": entry["formula"], **means}
