"""The table of a fairness benchmark: mean hypervolume by scenario and criterion, and how often limits held."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from benchmarks.fairness.kept import LIMITS
from benchmarks.report import print_table

Lines = Iterable[Mapping[str, Any]]


def summary(lines: Lines) -> tuple[dict[str, Any], dict[str, Any]]:
    """Figures: hypervolumes, seconds and kept shares by method. Ratios: ours over the best rival of its class."""
    volumes: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    kept: dict[str, dict[str, list[tuple[bool, float]]]] = defaultdict(lambda: defaultdict(list))
    seconds: dict[str, list[float]] = defaultdict(list)
    used: dict[str, list[float]] = defaultdict(list)
    facts: dict[str, tuple[bool, bool]] = {}
    failures: list[str] = []
    for line in lines:
        name, cell = line["method"], f"{line['scenario']}, {line['criterion']}"
        if "error" in line:
            failures.append(f"{name} on {cell}: {line['error']}")
            continue
        facts[name] = (line["sees"], line["own"])
        seconds[name].append(line["seconds"])
        if "cpu_seconds" in line:
            used[name].append(line["cpu_seconds"])
        if line["hypervolume"] is not None:
            volumes[name][cell].append(line["hypervolume"])
        for limit, found in zip(LIMITS, line["answers"], strict=True):
            if found is not None:
                kept[name][str(limit)].append((found["kept"], found["accuracy"]))
    means = {name: {cell: statistics.fmean(v) for cell, v in cells.items()} for name, cells in volumes.items()}
    figures = {
        "hypervolume": means,
        "seconds": {name: statistics.fmean(values) for name, values in seconds.items()},
        "cpu_seconds": {name: statistics.fmean(values) for name, values in used.items()},
        "kept": {
            name: {
                limit: {"share": statistics.fmean(k for k, _ in found), "runs": len(found)}
                for limit, found in limits.items()
            }
            for name, limits in kept.items()
        },
        "sees_attribute": {name: sees for name, (sees, _) in facts.items()},
        "failures": failures,
    }
    ratios: dict[str, Any] = {}
    for name, (sees, own) in facts.items():
        if not own:
            continue
        for cell, value in means.get(name, {}).items():
            rivals = [
                means[other][cell]
                for other, (also, mine) in facts.items()
                if also == sees and not mine and cell in means.get(other, {}) and "fixed penalty" not in other
            ]
            if rivals:
                ratios[f"{name} over the best rival, {cell}"] = value / max([*rivals, 1e-9])
    return figures, ratios


def show(figures: Mapping[str, Any]) -> None:
    """Print one table a class: what sees the attribute at prediction, and what does not; * is the best of its class."""
    volumes, kept = figures["hypervolume"], figures["kept"]
    cells = list(dict.fromkeys(cell for own in volumes.values() for cell in own))
    for sees, title in ((False, "attribute-blind at prediction"), (True, "attribute-aware at prediction")):
        names = [name for name, own in figures["sees_attribute"].items() if own == sees]
        best = {cell: max((volumes.get(name, {}).get(cell, 0.0) for name in names), default=0.0) for cell in cells}
        rows = []
        for name in names:
            row = [name]
            for cell in cells:
                value = volumes.get(name, {}).get(cell)
                row.append("" if value is None else f"{value:.3f}{'*' if value == best[cell] else ''}")
            found = [(entry["share"], entry["runs"]) for entry in kept.get(name, {}).values()]
            runs = sum(count for _, count in found)
            row.append(f"{sum(share * count for share, count in found) / runs:.0%} of {runs}" if runs else "")
            processor = figures["cpu_seconds"].get(name)
            rows.append([*row, f"{figures['seconds'][name]:.0f}", "" if processor is None else f"{processor:.0f}"])
        headings = [cell.replace("demographic_parity", "dp").replace("equalized_odds", "eo") for cell in cells]
        print_table(
            f"Hypervolume, {title}", ["method", *headings, "limits kept on test", "seconds", "on the processor"], rows
        )
    for failure in figures["failures"]:
        print(failure)
