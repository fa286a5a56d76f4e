"""Mean ranks with intervals. Scenarios that share a dataset are no independent observations: datasets are resampled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from benchmarks.quality.results import Results

RESAMPLES = 5_000


def ranked(
    results: Results, methods: Sequence[str], scenarios: Sequence[str], sources: Mapping[str, str], ours: str
) -> dict[str, dict[str, Any]]:
    """By method: its mean rank with a 95 % interval, and by how much the rank of ``ours`` is above it, with another.

    Only scenarios count in which all methods have a result; 1 is the best rank. ``sources`` names the dataset of each
    scenario; a scenario that it does not name is one of its own. Intervals are None with fewer than two datasets.
    """
    means = {s: [results.mean(s, method) for method in methods] for s in scenarios}
    complete = [s for s in scenarios if np.isfinite(means[s]).all()]
    if not complete or not methods:
        return {}
    ranks = np.vstack([rankdata(-np.round(means[s], 12), method="average") for s in complete])
    drawn = resampled(ranks, [sources.get(s, s) for s in complete])
    place = methods.index(ours) if ours in methods else None
    found: dict[str, dict[str, Any]] = {}
    for column, method in enumerate(methods):
        found[method] = {"rank": float(ranks[:, column].mean()), "interval": _interval(drawn, column)}
        if place is not None and method != ours:
            found[method] |= {
                "ours_less": float((ranks[:, place] - ranks[:, column]).mean()),
                "ours_less_interval": _interval(None if drawn is None else drawn - drawn[:, [column]], place),
            }
    return found


def resampled(ranks: NDArray[np.float64], sources: Sequence[str]) -> NDArray[np.float64] | None:
    """Mean ranks ``[resamples, methods]`` over datasets drawn with replacement; None with fewer than two of them."""
    names, owner = np.unique(np.array(sources), return_inverse=True)
    if len(names) < 2:
        return None
    sums = np.zeros((len(names), ranks.shape[1]))
    np.add.at(sums, owner, ranks)
    sizes = np.bincount(owner)
    drawn = np.random.default_rng(0).integers(len(names), size=(RESAMPLES, len(names)))
    found: NDArray[np.float64] = sums[drawn].sum(1) / sizes[drawn].sum(1)[:, None]
    return found


def told_apart(found: Mapping[str, Any]) -> bool | None:
    """Whether the rank of ours differs from a method's: its interval leaves out zero; None where there is none."""
    interval = found.get("ours_less_interval")
    return None if interval is None else interval[0] > 0 or interval[1] < 0


NOTE = (
    "In brackets: the 95 % interval, datasets resampled, and the rank of losssearch less that method's with its own. "
    "Where that holds zero, the ranks do not tell the two apart."
)


def listed(found: Mapping[str, Mapping[str, Any]]) -> str:
    """The ranks of a group of scenarios in one line, best first."""
    said = []
    for name in sorted(found, key=lambda method: found[method]["rank"]):
        one = found[name]
        spans = "" if one["interval"] is None else " [{:.2f}, {:.2f}".format(*one["interval"])
        if one.get("ours_less_interval"):
            spans += ", {:+.2f} ({:+.2f} to {:+.2f})".format(one["ours_less"], *one["ours_less_interval"])
        said.append(f"{name} {one['rank']:.2f}{spans}{']' * bool(spans)}")
    return "; ".join(said)


def _interval(drawn: NDArray[np.float64] | None, column: int) -> list[float] | None:
    return None if drawn is None else [float(v) for v in np.percentile(drawn[:, column], (2.5, 97.5))]
