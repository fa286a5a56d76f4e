"""The groups of sensitive columns before a search: their sizes, and the noise floor of each constraint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from services.api.service import Service
from services.pages.question import Fields

TEST_SHARE = 0.2
"""Share of the rows in the test part of a study's own split."""

FEW = 30
"""Rows of a group on test below which hardly anything can be said of it."""

MOST_FLOORS = 50
"""Noise floors that one page computes: each takes milliseconds in which others wait, and an address may name many."""


def groupable(column: Mapping[str, Any]) -> bool:
    """Whether the values of a column are few enough to be groups."""
    return bool(column["values"]) and column["distinct"] >= 2


def group_sizes(
    service: Service,
    fields: Fields,
    dataset: Mapping[str, Any],
    preview: Mapping[str, Any],
    target: Mapping[str, Any],
    task: str,
) -> list[dict[str, Any]]:
    """What is known of the groups of each sensitive column.

    Returns:
        Per column its ``name``, ``groups`` (``value``, ``rows``, ``test`` and whether those are ``few``), and
        ``floors``: for each constraint ``text``, ``mean``, ``quantile`` and whether the floor ``hides`` the limit.
    """
    scale = (dataset["rows"] or 0) / max(1, preview["rows_seen"])
    named = {column["name"]: column for column in preview["columns"]}
    found: list[dict[str, Any]] = []
    left = MOST_FLOORS
    for name in dict.fromkeys(fields.chosen("sensitive")):
        column = named.get(name)
        if column is None or not groupable(column):
            continue
        groups = []
        for one in column["values"]:
            rows = round(one["count"] * scale)
            test = round(rows * TEST_SHARE)
            groups.append({"value": one["value"], "rows": rows, "test": test, "few": test < FEW})
        rows = [one["test"] for one in groups if one["test"]]
        constraints = list(dict.fromkeys(one for one in fields.constraints() if any(one)))[:left]
        left -= len(constraints)
        floors = _floors(service, fields.positive, constraints, rows, target, task)
        found.append({"name": name, "groups": groups, "floors": floors})
    return found


def _floors(
    service: Service,
    positive: str,
    constraints: list[tuple[str, str]],
    rows: list[int],
    target: Mapping[str, Any],
    task: str,
) -> list[dict[str, Any]]:
    """Of the constraints whose floor can be told before there is a model: those of binary decisions."""
    if task != "binary" or len(rows) < 2:
        return []
    share = positive_share(target, positive)
    gaps = {one["name"]: one["operator"] for one in service.catalogue.tasks()[task]["gaps"]}
    floors = []
    for gap, text in constraints:
        try:
            limit = float(text)
        except ValueError:
            continue
        if gap not in gaps or not abs(limit) < 1e9:
            continue
        floor = service.catalogue.floor(gap, limit, rows, share)
        if floor is not None:
            floors.append({"text": f"{gap} {gaps[gap]} {limit:g}", **floor})
    return floors


def positive_share(target: Mapping[str, Any], positive: str) -> float:
    """The share of the positive class among the rows seen: as named, else that of 1, true or yes, else of the rarer."""
    counts = {one["value"]: one["count"] for one in target["values"]}
    total = max(1, sum(counts.values()))
    wanted = [value for value in counts if value == positive] or [
        value for value in counts if value.lower() in ("1", "1.0", "true", "yes")
    ]
    count = counts[wanted[0]] if wanted else min(counts.values(), default=0)
    return float(count / total)
