"""Predictions of each row by what was fitted without its label: trees that did not see it, and its neighbours.

Both are cheap and hold out no rows. The forest copes with columns that say nothing, the neighbours with images.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

TREES = 100
LEAF, NEIGHBOURS = 8, 50
"""Rows of a leaf at least, and neighbours: enough to see through two wrong labels in five. Fewer in small tables."""

TRIED = 8
"""Columns that a tree tries for a split, if there are as many; of many, the square root of their number."""

FOREST_CLASSES = 60
"""With more classes a forest would take gigabytes; neighbours are asked alone."""

COMPONENTS = 40
"""Principal components that distances are measured in, where there are more columns."""

_SEED = 47


def cross_fitted(features: NDArray[np.float32], labels: NDArray[np.int64], classes: int) -> NDArray[np.float64]:
    """The probability of each class in each row, predicted without the row's own label.

    Args:
        features: Encoded rows ``[rows, columns]``, finite; copies of a row would give its label away.
        labels: Class ids ``[rows]``.
        classes: How many classes there are, C.

    Returns:
        Probabilities ``[rows, C]``, the mean of a forest's and those of the nearest neighbours.
    """
    near = _of_neighbours(features, labels, classes)
    return near if classes > FOREST_CLASSES else (near + _of_forest(features, labels, classes)) / 2


def residuals(features: NDArray[np.float32], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """What a forest leaves of each number ``[rows]``, predicted by the trees that did not see it."""
    from sklearn.ensemble import ExtraTreesRegressor

    forest = ExtraTreesRegressor(TREES, **_grown(features))
    return np.asarray(target - forest.fit(_evened(features), target).oob_prediction_, dtype=np.float64)


def _of_forest(features: NDArray[np.float32], labels: NDArray[np.int64], classes: int) -> NDArray[np.float64]:
    from sklearn.ensemble import ExtraTreesClassifier

    forest = ExtraTreesClassifier(TREES, **_grown(features))
    forest.fit(_evened(features), labels)
    found = np.zeros((len(labels), classes))
    found[:, forest.classes_] = np.nan_to_num(forest.oob_decision_function_)
    return found


def _grown(features: NDArray[np.float32]) -> dict[str, Any]:
    """How trees are grown; of few columns each is tried, or a split that leaves too few rows would end a tree."""
    rows, columns = features.shape
    return {
        "min_samples_leaf": int(np.clip(rows // 100, 2, LEAF)),
        "max_features": max(math.isqrt(columns), min(columns, TRIED)),
        "bootstrap": True,
        "oob_score": True,
        "random_state": _SEED,
    }


def _evened(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Normal scores as ranks, among which splits are drawn: one in a tail would leave too few rows."""
    return np.asarray(ndtr(features), dtype=np.float32)


def _of_neighbours(features: NDArray[np.float32], labels: NDArray[np.int64], classes: int) -> NDArray[np.float64]:
    from sklearn.decomposition import PCA
    from sklearn.neighbors import NearestNeighbors

    rows = len(labels)
    if features.shape[1] > COMPONENTS < rows:
        features = PCA(COMPONENTS, svd_solver="randomized", random_state=_SEED).fit_transform(features)
    count = int(np.clip(rows // 20, 5, NEIGHBOURS))
    near = NearestNeighbors(n_neighbors=count + 1, algorithm="brute").fit(features)
    found = near.kneighbors(features, return_distance=False)
    own = found == np.arange(rows)[:, None]
    own[~own.any(axis=1), -1] = True  # a row whose equals crowd it out: any neighbour may go
    cells = labels[found[~own].reshape(rows, count)] + classes * np.arange(rows)[:, None]
    return np.bincount(cells.ravel(), minlength=rows * classes).reshape(rows, classes) / count
