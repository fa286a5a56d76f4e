"""Which rows stay together: in splits, and in the resamples of intervals, as the kind of task says."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from losssearch.data.dataset import Dataset
from losssearch.data.target_kind import Unit, units_of


def split_groups(dataset: Dataset) -> NDArray[np.int64] | None:
    """The group ``[rows]`` that each row is split with; None where rows are split one by one."""
    return _groups(dataset, units_of(dataset.task).split)


def bootstrap_groups(dataset: Dataset) -> NDArray[np.int64] | None:
    """The group ``[rows]`` that each row is resampled with; None where rows are independent."""
    return _groups(dataset, units_of(dataset.task).bootstrap)


def _groups(dataset: Dataset, unit: Unit) -> NDArray[np.int64] | None:
    return None if unit == "row" or dataset.given is None else dataset.given.cluster
