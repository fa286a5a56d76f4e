"""Features that predict the target nearly perfectly by themselves: what is known only after the target, mostly.

Each is measured alone, on rows that it was not fitted on: a number by a small regression tree, a category by the mean
target of its rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from losssearch.data.dataset import Dataset
from losssearch.data.encoding import calendar_parts
from losssearch.data.target_kind import target_kind
from losssearch.option_names import option, spelled

CLASSES, NUMBERS = 0.82, 0.995
"""Share of the target's variance that a feature must explain alone, on new rows: of classes, and of ranks of numbers.

Of 44 public tables, this names one column, from which the target was derived.
"""

RANKED = 0.995
"""ROC AUC at which a feature of a binary target is named too, where it also explains `PARTLY` of its variance."""

PARTLY = 0.5
FOLDS = 5
MOST_ROWS = 20_000
GLANCED = 1000
"""Rows on which all columns are looked at first; only those that explain `PARTLY` there are measured on more."""

LEAVES = 256
FEW = 200
"""Rows below which a leaf may hold a single one."""

SHRUNK = 1.0
"""Rows of the mean target that a category's own mean is drawn towards."""

_SEED = 31


@dataclass(frozen=True)
class Leak:
    """A feature that predicts alone: ``explained`` of the target's variance, and the ``auc`` of a binary target."""

    name: str
    explained: float
    auc: float | None

    def __str__(self) -> str:
        """The warning."""
        share = f"{self.explained:.1%} of its variance explained"
        how = share if self.auc is None else f"ROC AUC {self.auc:.4f}, {share}"
        return spelled(
            f"column {self.name!r} alone predicts the target nearly perfectly ({how}, on rows that it was not fitted "
            f"on): if it is known only after the target, it is a leak; {option('drop', self.name)} leaves it out"
        )


def leaks(dataset: Dataset, rows: NDArray[np.int64]) -> Iterator[Leak]:
    """The features that predict the target nearly perfectly, measured on ``rows``; images have none.

    Give rows that a study searches on: the others are for its verdict alone.
    """
    if not isinstance(dataset.features, pd.DataFrame):
        return
    shuffled = np.random.default_rng(_SEED).permutation(rows)
    few, many = shuffled[:GLANCED], shuffled[:MOST_ROWS]
    goals, goal = _goals(dataset), target_kind(dataset.task)
    for column in dataset.schema.columns:
        values = _values(dataset.features[column.name], column.kind)
        if _explained(values[few], goals[few], column.kind == "categorical", 2)[0] < PARTLY:
            continue
        explained, predicted = _explained(values[many], goals[many], column.kind == "categorical", FOLDS)
        auc = _auc(predicted[:, -1], dataset.target[many]) if goal.pair else None
        if not goal.nominal and column.kind != "categorical":
            alike = (_rank_correlation(values[many], ranks) for ranks in goals[many].T)
            explained = max(explained, *(one**2 for one in alike))
        if explained >= (CLASSES if dataset.classes else NUMBERS) or (
            auc is not None and auc >= RANKED and explained >= PARTLY
        ):
            yield Leak(column.name, explained, auc)


def _goals(dataset: Dataset) -> NDArray[np.float64]:
    """The target [rows, columns], or 0 and 1 for each class [rows, classes].

    Of numbers, ranks: else one outlier would be all their variance, and a logarithm of the target no leak.
    """
    goal = target_kind(dataset.task)
    if not goal.nominal:
        return np.asarray(pd.DataFrame(dataset.target).rank(), dtype=np.float64)
    if goal.pair:
        return np.asarray(dataset.target, dtype=np.float64)[:, None]
    each: NDArray[np.float64] = np.eye(len(dataset.classes))[dataset.target]
    return each


def _values(column: pd.Series, kind: str) -> NDArray[Any]:
    """A column as one number per row: codes of categories, with one for missing; days of dates."""
    if kind == "categorical":
        return np.asarray(pd.factorize(column, use_na_sentinel=False)[0], dtype=np.int64)
    if kind == "date":
        return calendar_parts(pd.DataFrame(column))[:, -1]
    return column.to_numpy(dtype=np.float64)


def _explained(
    values: NDArray[Any], goals: NDArray[np.float64], categorical: bool, folds: int
) -> tuple[float, NDArray[np.float64]]:
    """The share of the variance of ``goals`` that cross-fitted predictions explain, and these predictions."""
    fold = np.arange(len(values)) % folds  # rows come shuffled
    predicted = np.empty_like(goals)
    for number in range(folds):
        held = fold == number
        fit = _by_category if categorical else _by_tree
        predicted[held] = fit(values[~held], goals[~held], values[held])
    spread = float(np.square(goals - goals.mean(axis=0)).sum())
    return (1 - float(np.square(goals - predicted).sum()) / spread if spread > 0 else 0.0), predicted


def _by_category(
    values: NDArray[np.int64], goals: NDArray[np.float64], asked: NDArray[np.int64]
) -> NDArray[np.float64]:
    overall = goals.mean(axis=0)
    size = 1 + int(max(values.max(), asked.max()))
    counts = np.bincount(values, minlength=size)[:, None]
    sums = np.stack([np.bincount(values, weights=goal, minlength=size) for goal in goals.T], axis=1)
    means: NDArray[np.float64] = (sums + SHRUNK * overall) / (counts + SHRUNK)
    return means[asked]


def _by_tree(
    values: NDArray[np.float64], goals: NDArray[np.float64], asked: NDArray[np.float64]
) -> NDArray[np.float64]:
    from sklearn.tree import DecisionTreeRegressor

    # Places among the values, because trees compare in float32; a missing value, below all others, stays its own.
    known = np.unique(values[~np.isnan(values)])
    places, others = (_places(known, some) for some in (values, asked))
    least = 3 if len(values) >= FEW else 1
    tree = DecisionTreeRegressor(max_leaf_nodes=LEAVES, min_samples_leaf=least, random_state=0).fit(places, goals)
    return np.asarray(tree.predict(others), dtype=np.float64).reshape(len(asked), -1)


def _places(known: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    # Half a place for a value between two known ones: they were not seen, but lie next to them.
    left, right = np.searchsorted(known, values, side="left"), np.searchsorted(known, values, side="right")
    places = np.where(np.isnan(values), -10.0, (left + right - 1) / 2)
    return places[:, None]


def _rank_correlation(values: NDArray[np.float64], ranks: NDArray[np.float64]) -> float:
    """Spearman's correlation, which needs no fit; 0 where a value is missing or all are one."""
    own, goal = (pd.Series(some).rank().to_numpy(dtype=np.float64) for some in (values, ranks))
    return 0.0 if np.isnan(own).any() or np.ptp(own) == 0 else float(np.corrcoef(own, goal)[0, 1])


def _auc(scores: NDArray[np.float64], target: NDArray[np.int64]) -> float:
    """The area under the ROC curve, by ranks."""
    ranks = pd.Series(scores).rank().to_numpy(dtype=np.float64)
    positive = target == 1
    count = int(positive.sum())
    if not 0 < count < len(target):
        return 0.5
    return float((ranks[positive].sum() - count * (count + 1) / 2) / (count * (len(target) - count)))
