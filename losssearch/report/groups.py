"""The figures of each group as columns of a table, shared by the command line, the plot and the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_KNOWN = {
    "base_rate": "base rate",
    "selection_rate": "selection rate",
    "true_positive_rate": "true positive rate",
    "false_positive_rate": "false positive rate",
    "precision": "precision",
    "accuracy": "accuracy",
    "calibration": "calibration error",
    "mean_target": "mean target",
    "mean_prediction": "mean prediction",
    "mean_error": "mean error",
    "mae": "mean absolute error",
    "rmse": "root mean squared error",
}
"""Figures with one value per group, whatever the kind of task, in the order to show them."""

_BY_CLASS = {"selection_rate": "decided", "recall": "recall of"}

MEANINGS = {
    "base rate": "share of positive labels",
    "selection rate": "share decided positive",
    "true positive rate": "positives that are found",
    "false positive rate": "negatives decided positive",
    "precision": "decided positive that are so",
    "accuracy": "right decisions",
    "calibration error": "mean probability less base rate",
    "mean error": "prediction less target",
}


@dataclass(frozen=True)
class GroupFigure:
    """A figure of each group: its field in the row, the class that it is of where there is one, and its title."""

    field: str
    title: str
    of_class: str | None = None


def columns_of(rows: Sequence[Mapping[str, Any]], *, most_classes: int = 6) -> tuple[GroupFigure, ...]:
    """What the rows of ``best.groups.test`` hold, in the order to show it; of more than ``most_classes``, none."""
    first = rows[0]
    found = [GroupFigure(name, title) for name, title in _KNOWN.items() if name in first and not _by_class(first[name])]
    for name, title in _BY_CLASS.items():
        classes = list(first[name]) if _by_class(first.get(name)) else []
        if len(classes) <= most_classes:
            found += [GroupFigure(name, f"{title} {one}", one) for one in classes]
    return tuple(found)


def _by_class(entry: Mapping[str, Any] | None) -> bool:
    """Whether a row's entry holds an estimate for each class, rather than one."""
    return any(isinstance(value, Mapping) for value in (entry or {}).values())


def estimate(row: Mapping[str, Any], column: GroupFigure) -> tuple[float | None, float | None, float | None]:
    """Value and the ends of its interval; None if the group has no row to tell."""
    found = row.get(column.field) or {}
    if column.of_class is not None:
        found = found.get(column.of_class) or {}
    return found.get("value"), found.get("low"), found.get("high")
