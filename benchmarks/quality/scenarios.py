"""The list of scenarios: a dataset, a metric, and what is made harder about them."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from losssearch.errors import DataError, LossSearchError, OptionError
from losssearch.evaluation import get_metric

LIST = Path(__file__).with_name("scenarios.yaml")
NOISES = ("uniform", "pair", "flip")


@dataclass(frozen=True)
class Scenario:
    """One line of ``scenarios.yaml``, which tells what the fields mean."""

    name: str
    kind: str
    data: str
    metric: str
    rows: int = 10_000
    target: str | None = None
    noise: Mapping[str, Any] = field(default_factory=dict)
    outliers: Mapping[str, float] = field(default_factory=dict)
    longtail: float = 1.0
    classes: int | None = None
    optimum: Mapping[str, Any] = field(default_factory=dict)
    constraint: str = ""
    sensitive: str = ""
    watermark: float = 0.0
    source: str = ""

    @property
    def dataset(self) -> str:
        """The dataset whose rows these are; scenarios of one dataset are not independent."""
        return self.source or self.data

    def __post_init__(self) -> None:
        if len(self.noise) > 1 or not set(self.noise) <= set(NOISES):
            raise OptionError(f"noise is one of {', '.join(NOISES)}; {self.name} has {dict(self.noise)}")
        if self.rows < 50:
            raise OptionError(f"a scenario needs 50 rows, {self.name} asks for {self.rows}")
        if bool(self.constraint) != bool(self.sensitive):
            raise OptionError(f"constraint and sensitive are given together, {self.name} has one of them")
        if not 0 <= self.watermark <= 1:
            raise OptionError(f"watermark is a share of the rows, {self.name} has {self.watermark}")
        if self.longtail < 1:
            raise OptionError(f"longtail must be at least 1, {self.name} has {self.longtail}")


def read_scenarios(path: Path = LIST) -> tuple[Scenario, ...]:
    """Every scenario of the list, in its order; raises `OptionError` for an unknown field or a name given twice."""
    known = {entry.name for entry in fields(Scenario)}
    scenarios = []
    for line in YAML(typ="safe").load(path.read_text(encoding="utf-8"))["scenarios"]:
        if unknown := set(line) - known:
            raise OptionError(f"a scenario has the fields {', '.join(sorted(known))}; got {', '.join(sorted(unknown))}")
        scenarios.append(Scenario(**line))
    names = [scenario.name for scenario in scenarios]
    if twice := {name for name in names if names.count(name) > 1}:
        raise OptionError(f"scenarios must have names of their own; given twice: {', '.join(sorted(twice))}")
    return tuple(scenarios)


def choose(scenarios: Sequence[Scenario], patterns: Sequence[str]) -> tuple[Scenario, ...]:
    """Those whose name or kind fits one of the patterns, such as ``adult-*`` or ``noise``; all without a pattern."""
    if not patterns:
        return tuple(scenarios)
    chosen = tuple(s for s in scenarios if any(fnmatch.fnmatch(n, p) for p in patterns for n in (s.name, s.kind)))
    if not chosen:
        raise OptionError(f"--scenarios fits none of the list: {' '.join(patterns)}")
    return chosen


def unmet(scenario: Scenario, task: str) -> str:
    """Why the product cannot be asked for this scenario yet; empty where it can."""
    try:
        get_metric(scenario.metric, task)
    except LossSearchError as error:
        return str(error)
    return ""


class SkippedScenarioError(DataError):
    """A scenario that cannot be run here: its data are absent, or the product lacks what it asks for."""
