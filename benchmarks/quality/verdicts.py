"""Whether what the product says of its own result holds on rows that it never had."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass

from benchmarks.quality.families import AGAINST, OURS, SEARCHED
from benchmarks.quality.results import Results

Z = 1.96


@dataclass(frozen=True)
class Statement:
    """A verdict beside the truth as the outer test part shows it: searched less best baseline, in utility."""

    scenario: str
    repeat: int
    recommended: str
    stated: float
    interval: tuple[float, float]
    outer: float
    outer_error: float

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
                found.append(
                    Statement(
                        scenario,
                        repeat,
                        verdict["recommended"],
                        verdict["difference"],
                        (low, high),
                        outer[repeat]["difference"],
                        outer[repeat].get("standard_error", 0.0),
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


def _share(hits: list[bool]) -> float | None:
    return statistics.fmean(hits) if hits else None
