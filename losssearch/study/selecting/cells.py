"""What ``result.json`` says of the cells of label and group, where the metric is that of the worst."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from losssearch.evaluation.worst_cell import FEWEST, Worst
from losssearch.study.context import Context


def cells_of(context: Context, outputs: Tensor) -> dict[str, Any]:
    """The cells on test, the worst first, by adjusted ``outputs`` ``[R, N(, C)]``; empty for any other metric.

    ``accuracy`` is the mean over trainings; ``counted``: whether there are rows enough for the metric.
    """
    measure, dataset = context.metric.function, context.dataset
    if not isinstance(measure, Worst):
        return {}
    target = torch.as_tensor(dataset.judged[context.partition.test]).expand(len(outputs), -1)
    hits, rows = (table.mean(0) for table in measure.by_cell(outputs, target))
    found = [
        {
            "label": dataset.classes[label],
            "group": dataset.groups[group],
            "rows": int(rows[group, label]),
            "accuracy": float(hits[group, label] / rows[group, label]),
            "counted": bool(measure.kept(rows)[group, label]),
        }
        for group in range(rows.shape[0])
        for label in range(rows.shape[1])
        if rows[group, label] > 0
    ]
    return {"cells": sorted(found, key=lambda cell: (not cell["counted"], cell["accuracy"])), "fewest": FEWEST}
