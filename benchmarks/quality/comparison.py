"""Who is better than whom, scenario by scenario and over all of them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata, studentized_range, t, wilcoxon

from benchmarks.quality.results import Results

TEST_SHARE = 0.25
"""Share of the rows in an outer test part, so that two repeats have a quarter of it in common on average."""


@dataclass(frozen=True)
class Contest:
    """Ours less a rival in one scenario, in utility."""

    difference: float
    standard_error: float
    interval: tuple[float, float]

    @property
    def outcome(self) -> Literal["win", "tie", "loss"]:
        """A win or a loss where the 95 % interval leaves out zero."""
        low, high = self.interval
        return "win" if low > 0 else "loss" if high < 0 else "tie"


def contest(results: Results, scenario: str, ours: str, other: str) -> Contest | None:
    """The paired difference over all repeats, or None where one of the two has no result.

    The variance of one repeat is that of the paired bootstrap over seeds and rows, or that between the repeats where
    it is larger, for what is searched varies too. Repeats share rows, so their mean has more than ``1/n`` of it: the
    correction of Nadeau and Bengio (2003), with the share of rows that two test parts have in common.
    """
    if ours == other:
        return Contest(0.0, 0.0, (0.0, 0.0))
    found = results.less.get((scenario, ours, other))
    if not found:
        return None
    differences = [entry["difference"] for entry in found.values()]
    errors = [entry.get("standard_error", 0.0) for entry in found.values()]
    count = len(differences)
    within = statistics.fmean(error**2 for error in errors)
    between = statistics.variance(differences) if count > 1 else 0.0
    variance = max(within, between) * (1 / count + (1 - 1 / count) * TEST_SHARE)
    centre, error = statistics.fmean(differences), math.sqrt(variance)
    if count == 1 and "interval" in next(iter(found.values())):
        low, high = next(iter(found.values()))["interval"]
        return Contest(centre, error, (low, high))
    freedom = 3 * count - 1  # of the repeats, and of the seeds within each
    half = float(t.ppf(0.975, freedom)) * error
    return Contest(centre, error, (centre - half, centre + half))


def tally(results: Results, ours: str, other: str) -> dict[str, int]:
    """Wins, ties and losses over the scenarios that both have."""
    found = [contest(results, scenario, ours, other) for scenario in results.scenarios]
    outcomes = [one.outcome for one in found if one]
    return {name: outcomes.count(name) for name in ("win", "tie", "loss")}


def mean_ranks(results: Results, methods: Sequence[str], scenarios: Sequence[str]) -> dict[str, float]:
    """Mean rank, 1 is best, over the scenarios in which all methods have a result; empty where there is none."""
    table = utilities(results, methods, scenarios)
    if not len(table):
        return {}
    ranks = np.vstack([rankdata(-row.round(12), method="average") for row in table])
    return dict(zip(methods, ranks.mean(axis=0).tolist(), strict=True))


def utilities(results: Results, methods: Sequence[str], scenarios: Sequence[str]) -> NDArray[np.float64]:
    """Mean utilities [scenarios, methods] of the scenarios in which all methods have one."""
    rows = [[results.mean(scenario, method) for method in methods] for scenario in scenarios]
    table: NDArray[np.float64] = np.array(rows, dtype=float).reshape(len(rows), len(methods))
    complete: NDArray[np.float64] = table[np.isfinite(table).all(axis=1)]
    return complete


def critical_difference(methods: int, scenarios: int, level: float = 0.95) -> float:
    """How far two mean ranks must lie apart to differ (Nemenyi; Demšar 2006)."""
    return float(studentized_range.ppf(level, methods, np.inf) / math.sqrt(2)) * math.sqrt(
        methods * (methods + 1) / (6 * scenarios)
    )


def wilcoxon_all(results: Results, ours: str, rivals: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Wilcoxon's signed-rank test of the gains over each rival, two-sided, with Holm's correction."""
    found: dict[str, dict[str, Any]] = {}
    for rival in rivals:
        gains = [results.gain(scenario, ours, rival) for scenario in results.scenarios]
        gains = [gain for gain in gains if math.isfinite(gain)]
        if not gains:
            continue
        p = float(wilcoxon(gains, zero_method="zsplit").pvalue) if any(gains) and len(gains) > 4 else 1.0
        found[rival] = {"scenarios": len(gains), "median_gain": statistics.median(gains), "p": p}
    for rival, p in holm({rival: entry["p"] for rival, entry in found.items()}).items():
        found[rival]["p_holm"] = p
    return found


def holm(values: Mapping[str, float]) -> dict[str, float]:
    """Holm's correction of p-values for that there are several (Holm 1979)."""
    ordered = sorted(values, key=values.__getitem__)
    corrected, highest = {}, 0.0
    for place, name in enumerate(ordered):
        highest = max(highest, min(1.0, (len(ordered) - place) * values[name]))
        corrected[name] = highest
    return corrected


def best_rival(results: Results, scenario: str, rivals: Sequence[str]) -> str | None:
    """The best of the rivals on test, known in hindsight only."""
    there = [name for name in rivals if math.isfinite(results.mean(scenario, name))]
    return max(there, key=lambda name: results.mean(scenario, name), default=None)


def regret(results: Results, scenario: str, method: str, methods: Sequence[str]) -> float:
    """What a method leaves to the best of all in hindsight, at least 0; in the unit of `Results.gain`."""
    best = best_rival(results, scenario, methods)
    gain = math.nan if best is None else results.gain(scenario, best, method)
    return max(gain, 0.0) if math.isfinite(gain) else math.nan
