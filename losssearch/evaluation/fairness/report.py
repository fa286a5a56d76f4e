"""How each group fares, as plain data for a report."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from losssearch.evaluation.fairness.bound import z_value
from losssearch.evaluation.fairness.counts import check_groups, group_counts
from losssearch.evaluation.fairness.gaps import Gap, RowValues
from losssearch.evaluation.fairness.gaps.decisions import accuracy as right
from losssearch.evaluation.fairness.gaps.means import absolute_error, calibration_error, error, squared_error
from losssearch.evaluation.fairness.rates import rates
from losssearch.tasks import get_task

Estimate = dict[str, float | None]
"""``value``, ``low`` and ``high``; None if the group has no row to tell."""


def group_table(
    decisions: Tensor,
    target: Tensor,
    group: Tensor,
    names: Sequence[str],
    task: str,
    *,
    scores: Tensor | None = None,
    classes: Sequence[str] = (),
    level: float = 0.95,
) -> list[dict[str, Any]]:
    """One row a group, with an interval for each figure: Wilson's for shares, the normal one for means.

    Args:
        decisions: Adjusted outputs ``[N]`` or ``[N, C]``; with several seeds ``[S, N(, C)]``, whose counts are
            averaged, so that intervals speak of rows alone.
        target: ``[N]``, the same rows for all seeds.
        group: Ids ``[N]``, int64.
        names: Of the groups, in the order of their ids.
        task: Kind of task.
        scores: What probabilities are read from; ``decisions`` by default. Shaped as these.
        classes: Names of the classes of a multiclass task; their numbers by default.
        level: Of the intervals, two-sided.

    Returns:
        Rows with ``group``, ``rows`` and estimates. Binary: ``base_rate``, ``selection_rate``,
        ``true_positive_rate``, ``false_positive_rate``, ``precision``, ``accuracy``, ``calibration`` (mean
        probability less the base rate). Multiclass: ``accuracy`` and, by class, ``base_rate``,
        ``selection_rate``, ``recall``, ``precision``. Regression: ``mean_target``, ``mean_prediction``,
        ``mean_error``, ``mae``, ``rmse``.

    Raises:
        OptionError: Where ids or shapes do not fit.
    """
    groups = len(names)
    check_groups(group, groups, target.shape[-1])
    z = z_value((1 + level) / 2)
    view = get_task(task).view
    axes = 2 if view.columns else 1
    outputs = decisions.reshape(-1, *decisions.shape[-axes:])
    shown = outputs if scores is None else scores.reshape(outputs.shape)
    labels, ids = (tensor.expand(len(outputs), -1) for tensor in (target, group))
    sizes = torch.bincount(group, minlength=groups).tolist()
    table: list[dict[str, Any]] = [{"group": name, "rows": size} for name, size in zip(names, sizes, strict=True)]
    if not view.labels:
        columns = {
            "mean_target": _means(lambda _, target: target.double(), shown, labels, ids, groups, z),
            "mean_prediction": _means(lambda scores, _: scores.double(), shown, labels, ids, groups, z),
            "mean_error": _means(error, shown, labels, ids, groups, z),
            "mae": _means(absolute_error, shown, labels, ids, groups, z),
            "rmse": _means(squared_error, shown, labels, ids, groups, z, root=True),
        }
    elif view.columns:
        columns = _by_class(outputs, labels, ids, groups, classes, z)
    else:
        columns = _binary(outputs, labels, ids, groups, z)
        columns["calibration"] = _means(calibration_error, shown, labels, ids, groups, z)
    for name, column in columns.items():
        for row, entry in zip(table, column, strict=True):
            row[name] = entry
    return table


def wilson(share: float, rows: float, z: float) -> Estimate:
    """A share with Wilson's interval (Wilson 1927)."""
    if rows <= 0:
        return {"value": None, "low": None, "high": None}
    centre = (share + z * z / (2 * rows)) / (1 + z * z / rows)
    half = z / (1 + z * z / rows) * math.sqrt(share * (1 - share) / rows + z * z / (4 * rows * rows))
    return {"value": share, "low": max(0.0, centre - half), "high": min(1.0, centre + half)}


def _shares(numerator: Tensor, denominator: Tensor, z: float) -> list[Estimate]:
    """Estimates of a group each, from counts ``[G, S]``."""
    top, bottom = numerator.mean(-1).tolist(), denominator.expand(numerator.shape).mean(-1).tolist()
    return [wilson(a / b if b else 0.0, b, z) for a, b in zip(top, bottom, strict=True)]


def _binary(outputs: Tensor, target: Tensor, group: Tensor, groups: int, z: float) -> dict[str, list[Any]]:
    counts = group_counts(outputs, target, group, groups)
    rows, positives, predicted, hits = counts.rows, counts.positives[0], counts.predicted[0], counts.hits[0]
    return {
        "base_rate": _shares(positives, rows, z),
        "selection_rate": _shares(predicted, rows, z),
        "true_positive_rate": _shares(hits, positives, z),
        "false_positive_rate": _shares(predicted - hits, rows - positives, z),
        "precision": _shares(hits, predicted, z),
        "accuracy": _shares(right(counts)[0][0], rows, z),
    }


def _by_class(
    outputs: Tensor, target: Tensor, group: Tensor, groups: int, classes: Sequence[str], z: float
) -> dict[str, list[Any]]:
    counts = group_counts(outputs, target, group, groups)
    names = list(classes) or [str(index) for index in range(outputs.shape[-1])]
    names = names[-len(counts.hits) :]  # of two classes, the second says all
    columns: dict[str, list[Any]] = {"accuracy": _shares(right(counts)[0][0], counts.rows, z)}
    pairs = {
        "base_rate": (counts.positives, counts.rows.expand(counts.positives.shape)),
        "selection_rate": (counts.predicted, counts.rows.expand(counts.positives.shape)),
        "recall": (counts.hits, counts.positives),
        "precision": (counts.hits, counts.predicted),
    }
    for name, (numerator, denominator) in pairs.items():
        by_class = [_shares(numerator[cell], denominator[cell], z) for cell in range(len(numerator))]
        columns[name] = [dict(zip(names, entries, strict=True)) for entries in zip(*by_class, strict=True)]
    return columns


def _means(
    values: RowValues, scores: Tensor, target: Tensor, group: Tensor, groups: int, z: float, *, root: bool = False
) -> list[Estimate]:
    column = Gap("", frozenset(), "", "difference", "score", "", "", values=values, root=root)
    found = rates(column, scores, target, group, groups)
    entries: list[Estimate] = []
    for index in range(groups):
        if not bool(found.known[0, index].all()):
            entries.append({"value": None, "low": None, "high": None})
            continue
        mean, half = found.rate[0, index].mean().item(), z * found.variance[0, index].mean().sqrt().item()
        entries.append({"value": mean, "low": max(0.0, mean - half) if root else mean - half, "high": mean + half})
    return entries
