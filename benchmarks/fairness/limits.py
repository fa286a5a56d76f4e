"""The table of studies with a limit: by data and limit, how many answer, keep it on test, and at which accuracy."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from benchmarks.fairness.kept import LIMITS
from benchmarks.report import print_table

METHOD = "losssearch, constrained"


def limits_table(lines: Iterable[Mapping[str, Any]]) -> list[list[str]]:
    """Rows of a table: data, gap, limit, studies, answered, kept, accuracy, oracle and the mean shortfall to it."""
    found: dict[tuple[str, str, float], list[Mapping[str, Any] | None]] = defaultdict(list)
    for line in lines:
        if line["method"] == METHOD and "error" not in line:
            for limit, answer in zip(LIMITS, line["answers"], strict=True):
                found[line["scenario"], line["criterion"], limit].append(answer)
    rows = []
    for (scenario, criterion, limit), answers in sorted(found.items()):
        answered = [one for one in answers if one is not None]
        known = [one for one in answered if one.get("oracle") is not None]
        rows.append(
            [
                scenario,
                criterion.replace("_", " "),
                f"{limit:g}",
                str(len(answers)),
                str(len(answered)),
                str(sum(bool(one["kept"]) for one in answered)),
                _spread([one["accuracy"] for one in answered]),
                _spread([one["oracle"] for one in known]),
                f"{statistics.fmean(one['oracle'] - one['accuracy'] for one in known):+.4f}" if known else "",
            ]
        )
    return rows


def show_limits(lines: Iterable[Mapping[str, Any]]) -> None:
    """Print the table, where there is something in it."""
    rows = limits_table(lines)
    if rows:
        headings = ["data", "gap", "limit", "studies", "answered", "kept", "accuracy", "oracle", "oracle less it"]
        print_table("Limits kept on test, of a study with each as its constraint", headings, rows)


def _spread(values: list[float]) -> str:
    """Mean and standard deviation over splits."""
    if not values:
        return ""
    more = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.3f}{more}"
