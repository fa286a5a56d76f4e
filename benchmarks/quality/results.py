"""The stored lines as a table: one entry a scenario, repeat and method."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.quality.families import PLAIN, PLAIN_TUNED
from benchmarks.quality.unit import Line, read_lines
from losssearch.study.selecting.curves import LATE


@dataclass
class Results:
    """What the units of a folder say. ``tests`` holds utilities: above is better, whatever the metric."""

    facts: dict[str, Line] = field(default_factory=dict)
    """Kind, task, metric and direction by scenario."""
    tests: dict[tuple[str, str], dict[int, float]] = field(default_factory=dict)
    """Mean utility over seeds by (scenario, method) and repeat."""
    less: dict[tuple[str, str, str], dict[int, Line]] = field(default_factory=dict)
    """Differences by (scenario, ours, other) and repeat."""
    validations: dict[tuple[str, str], dict[int, float]] = field(default_factory=dict)
    limits: dict[tuple[str, str], dict[int, Line]] = field(default_factory=dict)
    """Where groups have a limit, by (scenario, method) and repeat: the metric without it, gaps, whether kept."""
    choices: dict[tuple[str, str], dict[int, Line]] = field(default_factory=dict)
    rising: dict[str, str] = field(default_factory=dict)
    """Scenarios that do not count, as their plain loss was still improving when its training ended, and how late."""
    skipped: dict[str, str] = field(default_factory=dict)
    failed: list[Line] = field(default_factory=list)
    missing: dict[tuple[str, str], str] = field(default_factory=dict)

    @property
    def scenarios(self) -> list[str]:
        """Names of the scenarios with a result."""
        return list(self.facts)

    def mean(self, scenario: str, method: str) -> float:
        """Mean utility over the repeats; nan without one."""
        values = self.tests.get((scenario, method), {})
        return statistics.fmean(values.values()) if values else math.nan

    def shown(self, scenario: str, method: str) -> float:
        """The mean in the metric's own unit."""
        sign = 1 if self.facts[scenario]["direction"] == "maximize" else -1
        return sign * self.mean(scenario, method)

    def repeats(self, scenario: str) -> int:
        """How many repeats the scenario has."""
        return max((len(v) for (name, _), v in self.tests.items() if name == scenario), default=0)

    def gain(self, scenario: str, ours: str, other: str) -> float:
        """By how much ours is better over common repeats: points of a score (x 100), or percent of an error."""
        first, second = self.tests.get((scenario, ours), {}), self.tests.get((scenario, other), {})
        common = sorted(set(first) & set(second))
        if not common:
            return math.nan
        a, b = (statistics.fmean(values[r] for r in common) for values in (first, second))
        if self.facts[scenario]["direction"] == "maximize":
            return 100 * (a - b)
        return 100 * (a - b) / max(abs(b), 1e-12)


def read_results(folder: Path, order: Iterable[str]) -> Results:
    """Everything that lies in a folder of units, in the order of the list of scenarios."""
    place = {name: index for index, name in enumerate(order)}
    files = sorted((folder / "units").glob("*.jsonl"))
    lines = [line for file in files for line in _with_names(file)]
    lines.sort(key=lambda line: place.get(line["scenario"], len(place)))
    results = Results(rising=_rising(lines))
    for line in lines:
        if line["scenario"] not in results.rising:
            _take(results, line)
    return results


def _rising(lines: Iterable[Line]) -> dict[str, str]:
    """Where the plain loss, tuned or not, had its best epoch in the last tenth in most of its final trainings.

    What is better than a loss whose curve was cut short may only be faster. Lines of older versions say nothing of it.
    """
    found: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for line in lines:
        if line["type"] == "result" and line["method"] in (PLAIN, PLAIN_TUNED):
            own = found.setdefault((line["scenario"], line["method"]), [])
            own += [(best, line["most_epochs"]) for best in line.get("best_epochs", ())]
    told = {}
    for (scenario, method), pairs in found.items():
        behind = sum(best > LATE * most for best, most in pairs)
        if 2 * behind > len(pairs):
            told[scenario] = f"{method} had its best epoch in the last tenth in {behind} of {len(pairs)} trainings"
    return told


def _with_names(file: Path) -> list[Line]:
    scenario, _, repeat = file.stem.rpartition("-")
    return [{"scenario": scenario, "repeat": int(repeat), **line} for line in read_lines(file)]


def _take(results: Results, line: Line) -> None:
    name, repeat = line["scenario"], line["repeat"]
    if line["type"] == "skipped":
        results.skipped[name] = line["reason"]
    elif line["type"] == "failed":
        results.failed.append(line)
    elif line["type"] == "choice":
        results.choices.setdefault((name, line["method"]), {})[repeat] = line
    elif line["type"] == "missing":
        results.missing[name, line["method"]] = line["reason"]
    else:
        facts = {key: line[key] for key in ("kind", "task", "metric", "direction", "rows")}
        results.facts.setdefault(name, facts | {"constraint": line.get("constraint", "")})
        if "kept" in line:
            found = {key: line[key] for key in ("unlimited", "gaps", "kept")}
            results.limits.setdefault((name, line["method"]), {})[repeat] = found
        sign = 1 if line["direction"] == "maximize" else -1
        results.tests.setdefault((name, line["method"]), {})[repeat] = sign * statistics.fmean(line["test"])
        mean = sign * statistics.fmean(line["validation"])
        results.validations.setdefault((name, line["method"]), {})[repeat] = mean
        for ours, difference in line["ours_less"].items():
            results.less.setdefault((name, ours, line["method"]), {})[repeat] = difference
