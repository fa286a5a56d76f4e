"""Whether what the product says of its own result holds on rows that it never had."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from scipy.special import ndtr

from benchmarks.quality.families import AGAINST, OURS, SEARCHED
from benchmarks.quality.results import Results

Z = 1.96
EDGES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
"""Bins of the stated probability."""
RESAMPLES = 5_000


@dataclass(frozen=True)
class Statement:
    """A verdict and the truth on the outer test part: searched minus best baseline, in utility."""

    scenario: str
    repeat: int
    recommended: str
    stated: float
    interval: tuple[float, float]
    outer: float
    outer_error: float
    grade: str | None = None
    probability: float | None = None
    belief: tuple[float, float] | None = None
    """What the study believes of the difference: mean and standard error."""

    @property
    def above(self) -> float:
        """1 where the outer test has the searched loss better, a half where the two are equal there."""
        return 0.5 + 0.5 * ((self.outer > 0) - (self.outer < 0))

    @property
    def expected(self) -> float | None:
        """How probably `above` is 1 if the belief is right: the outer test has an error of its own."""
        if self.belief is None:
            return self.probability
        error = math.hypot(self.belief[1], self.outer_error)
        return float(ndtr(self.belief[0] / error)) if error > 0 else self.probability

    @property
    def inside(self) -> bool:
        """Whether the outer difference lies in the stated interval."""
        return self.interval[0] <= self.outer <= self.interval[1]

    @property
    def consistent(self) -> bool:
        """The same, allowing for the error of the outer difference itself."""
        stated_error = (self.interval[1] - self.interval[0]) / (2 * Z)
        return abs(self.outer - self.stated) <= Z * math.hypot(stated_error, self.outer_error) + 1e-12

    @property
    def claims(self) -> bool:
        """Whether it says "better with 95 %"."""
        return self.recommended == "searched" and self.interval[0] > 0


def statements(results: Results) -> list[Statement]:
    """Every verdict whose searched loss and baseline were trained and read on the outer test part."""
    found = []
    for (scenario, method), lines in results.choices.items():
        if method != OURS or results.facts.get(scenario, {}).get("constraint"):
            continue  # under a limit a verdict speaks of the metric, and the score has the limit in it
        outer = results.less.get((scenario, SEARCHED, AGAINST), {})
        for repeat, line in lines.items():
            if repeat in outer and "study" in line:
                verdict = line["study"]["verdict"]
                low, high = verdict["interval"]
                belief = verdict.get("belief")
                found.append(
                    Statement(
                        scenario,
                        repeat,
                        verdict["recommended"],
                        verdict["difference"],
                        (low, high),
                        outer[repeat]["difference"],
                        outer[repeat].get("standard_error", 0.0),
                        verdict.get("grade"),
                        verdict.get("probability_better"),
                        (belief["difference"], belief["standard_error"]) if belief else None,
                    )
                )
    return found


def calibration(found: list[Statement]) -> dict[str, float | int | None]:
    """Shares of verdicts that hold; None where there is no such verdict."""
    claims = [one for one in found if one.claims]
    chosen = [one for one in found if one.recommended == "searched"]
    passed = [one for one in found if one.recommended != "searched"]
    return {
        "verdicts": len(found),
        "inside": _share([one.inside for one in found]),
        "consistent": _share([one.consistent for one in found]),
        "claims": len(claims),
        "claims_above_zero": _share([one.outer > 0 for one in claims]),
        "claims_not_refuted": _share([one.outer + Z * one.outer_error >= 0 for one in claims]),
        "recommended": len(chosen),
        "recommended_above_zero": _share([one.outer > 0 for one in chosen]),
        "recommended_harmful": _share([one.outer + Z * one.outer_error < 0 for one in chosen]),
        "not_recommended": len(passed),
        "not_recommended_missed": _share([one.outer - Z * one.outer_error > 0 for one in passed]),
    }


def records(found: Sequence[Statement]) -> list[dict[str, Any]]:
    """Every verdict with the outer test's result, for the JSON file."""
    return [asdict(one) for one in found]


def reliability(found: Sequence[Statement], sources: Mapping[str, str]) -> list[dict[str, Any]]:
    """By stated probability: how often the outer test has the searched loss better, and the expected share.

    What to expect allows for the outer test's own error, which draws shares towards a half. The interval is of the
    share less that, datasets (`sources` by scenario) being resampled; None where a bin has one dataset.
    """
    bins = []
    for low, high in pairwise(EDGES):
        own = [
            one for one in found
            if one.probability is not None and (low <= one.probability < high or one.probability == high == EDGES[-1])
        ]  # fmt: skip
        if own:
            bins.append({"from": low, "to": high} | _bin(own, sources))
    known = [one for one in found if one.probability is not None]
    return [*bins, {"from": EDGES[0], "to": EDGES[-1]} | _bin(known, sources)] if known else []


def _bin(own: Sequence[Statement], sources: Mapping[str, str]) -> dict[str, Any]:
    expected = [one.expected or 0.0 for one in own]
    off = np.array([one.above - hoped for one, hoped in zip(own, expected, strict=True)])
    names, owner = np.unique(np.array([sources.get(one.scenario, one.scenario) for one in own]), return_inverse=True)
    interval = None
    if len(names) > 1:
        sums, sizes = np.bincount(owner, off), np.bincount(owner)
        drawn = np.random.default_rng(0).integers(len(names), size=(RESAMPLES, len(names)))
        interval = [float(v) for v in np.percentile(sums[drawn].sum(1) / sizes[drawn].sum(1), (2.5, 97.5))]
    return {
        "verdicts": len(own),
        "said": statistics.fmean(one.probability or 0.0 for one in own),
        "expected": statistics.fmean(expected),
        "above_zero": statistics.fmean(one.above for one in own),
        "above_less_expected": interval,
    }


def grades(found: Sequence[Statement]) -> dict[str, dict[str, Any]]:
    """By grade: how many verdicts, how often the outer test has the searched loss better, and by how many errors."""
    by_grade: dict[str, dict[str, Any]] = {}
    for grade in ("better", "probably better", "not told apart", "worse"):
        own = [one for one in found if one.grade == grade and one.probability is not None]
        known = [one.outer / one.outer_error for one in own if one.outer_error > 0]
        if own:
            by_grade[grade] = {
                "verdicts": len(own),
                "above_zero": statistics.fmean(one.above for one in own),
                "outer_in_errors": statistics.fmean(known) if known else None,
            }
    return by_grade


RELIABILITY_HEADINGS = ("probability said", "verdicts", "mean", "expected", "better on the outer test", "off, 95 %")


def reliability_rows(bins: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """A row a bin; the last is all of them."""
    return [
        [
            f"{one['from']:.1f} to {one['to']:.1f}",
            str(one["verdicts"]),
            f"{one['said']:.2f}",
            f"{one['expected']:.2f}",
            f"{one['above_zero']:.2f}",
            "–" if one["above_less_expected"] is None else "[{:+.2f}, {:+.2f}]".format(*one["above_less_expected"]),
        ]
        for one in bins
    ]


def _share(hits: list[bool]) -> float | None:
    return statistics.fmean(hits) if hits else None
