"""A study whose metric is that of the worst cell of label and group: what it needs, and what to say of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch

from losssearch.assembly.fairness import Fairness
from losssearch.data import Dataset, Partition
from losssearch.errors import DataError, OptionError
from losssearch.evaluation import Metric
from losssearch.evaluation.worst_cell import FEWEST, Worst, cells
from losssearch.option_names import option


def check_cells(metric: Metric, fairness: Fairness, dataset: Dataset) -> None:
    """Raise `OptionError` where the metric reads cells and there are no groups, or more is demanded of them."""
    if not metric.cells:
        return
    if dataset.group is None:
        raise OptionError(
            f"metric {metric.name} is by group: give {option('sensitive')}, the column that says who is in which "
        )
    if fairness.demanded:
        raise OptionError(
            f"metric {metric.name} is about groups itself: leave out {option('constraints')} and the gap of "
            f"{option('objectives')}, or give "
            "another metric, such as accuracy"
        )
    if dataset.attribute is not None:
        name, median = dataset.attribute.name, dataset.attribute.median
        raise OptionError(
            f"metric {metric.name} needs groups, and {name!r} is a number: give a cut, such as "
            f"{option('sensitive', f'{name}>={median:g}')}"
        )


def with_cells(dataset: Dataset, metric: Metric) -> Dataset:
    """The dataset as the metric reads it: with cells in place of labels where it is by cell."""
    if not metric.cells:
        return dataset
    target, group = torch.tensor(dataset.target), torch.tensor(dataset.group)
    return replace(dataset, cells=cells(target, group, len(dataset.classes)).numpy())


def warn_of_cells(metric: Metric, dataset: Dataset, parts: Partition) -> Iterator[str]:
    """Which cells, or groups, have too few rows to count on confirmation or test.

    Raises `DataError` where none has enough.
    """
    if not metric.cells or dataset.group is None:
        return
    measure = metric.function
    if not isinstance(measure, Worst):  # a metric of the user's own leaves out what it likes
        return
    classes, groups = len(dataset.classes), len(dataset.groups)
    lacking: dict[str, list[str]] = {}
    for part in ("confirmation", "test"):
        counts = np.bincount(dataset.judged[getattr(parts, part)], minlength=classes * groups).reshape(groups, classes)
        kept = measure.kept(torch.as_tensor(counts)).numpy()
        if not kept.any():
            raise DataError(f"metric {metric.name} needs a cell with {FEWEST} rows on {part}, and no cell has as many")
        for group, label in zip(*np.nonzero(~kept), strict=True):
            name = f"{dataset.classes[label]} × {dataset.groups[group]}"
            lacking.setdefault(name, []).append(f"{counts[group, label]} on {part}")
    if lacking:
        shown = "; ".join(f"{name} ({', '.join(rows)})" for name, rows in list(lacking.items())[:6])
        more = f" and {len(lacking) - 6} more" if len(lacking) > 6 else ""
        yield f"{metric.name} leaves out cells of label × group with fewer than {FEWEST} rows: {shown}{more}"
