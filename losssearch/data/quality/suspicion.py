"""How likely the label of each row is wrong, by what was predicted without it and by how labels went wrong.

The predicted probabilities are those of labels; which classes are behind them follows from how often a class is
labelled as another (`surest_labels`), by expectation maximisation. A label is wrong where its class is not behind it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from losssearch.data.dataset import Dataset
from losssearch.data.quality.cross_fitting import cross_fitted
from losssearch.data.quality.looking import MOST_ROWS, distinct, encoded
from losssearch.data.quality.wrong_labels import surest_labels

MOST_JUDGED = 10 * MOST_ROWS
"""Distinct rows that are judged; of more, a sample."""

STEPS = 20
MOST_CLASSES = 200
"""With more classes the most frequent mistakes are unknown; a label is as wrong as it is improbable."""

SMOOTHING = 1.0
"""Rows that are added to those seen, of all classes: a mistake that was not seen is still possible."""

_LEAST = 1e-12
_SEED = 59


@dataclass(frozen=True, eq=False)
class LabelQuality:
    """Of rows with these numbers ``[rows]``, all not a number where a row is not in the sample.

    ``wrong``: the probability that the label is wrong. ``loss``: minus the logarithm of the probability predicted of
    the label. ``suggested``: the most probable class, -1 for a row that is not in the sample.
    """

    rows: NDArray[np.int64]
    wrong: NDArray[np.float64]
    loss: NDArray[np.float64]
    suggested: NDArray[np.int64]


def label_quality(dataset: Dataset, rows: NDArray[np.int64]) -> LabelQuality:
    """Judge the labels of ``rows`` of a dataset of classes, `MOST_ROWS` at a time; copies are judged like their row."""
    classes = len(dataset.classes)
    first, copy_of = distinct(dataset, rows)
    judged = np.random.default_rng(_SEED).permutation(len(first))[:MOST_JUDGED]
    predicted = np.full((len(first), classes), np.nan)
    for chunk in np.array_split(judged, -(-len(judged) // MOST_ROWS)):
        own = rows[first[chunk]]
        labels = np.asarray(dataset.target[own], dtype=np.int64)
        predicted[chunk] = cross_fitted(encoded(dataset, own), labels, classes)
    labels = np.asarray(dataset.target[rows], dtype=np.int64)
    known = np.sort(judged)
    counts = surest_labels(predicted[known], labels[first[known]])
    probabilities = predicted[copy_of]
    there = ~np.isnan(probabilities[:, 0])
    wrong, loss = np.full(len(rows), np.nan), np.full(len(rows), np.nan)
    suggested = np.full(len(rows), -1)
    own = labels[there]
    wrong[there], suggested[there] = suspicion(probabilities[there], own, counts)
    loss[there] = -np.log(np.maximum(probabilities[there][np.arange(len(own)), own], 1e-6))
    return LabelQuality(rows, wrong, loss, suggested)


def suspicion(
    probabilities: NDArray[np.float64], labels: NDArray[np.int64], counts: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The probability that each label is wrong, and the most probable class ``[rows]``.

    Args:
        probabilities: What was predicted of each label without the row's own ``[rows, classes]``.
        labels: Class ids ``[rows]``.
        counts: See `losssearch.data.quality.wrong_labels.surest_labels`.

    Example:
        Of a class that is labelled as the next in two rows of five, that label is likely wrong.

        >>> import numpy as np
        >>> predicted = np.array([[0.6, 0.4, 0.0]] * 2)
        >>> counts = np.array([[60, 40, 0], [0, 60, 40], [40, 0, 60]])
        >>> wrong, suggested = suspicion(predicted, np.array([0, 1]), counts)
        >>> wrong.round(1).tolist(), suggested.tolist()
        ([0.0, 1.0], [0, 0])
    """
    rows, classes = probabilities.shape
    each = np.arange(rows)
    if classes > MOST_CLASSES:
        return 1 - probabilities[each, labels], probabilities.argmax(axis=1)
    rates = counts + SMOOTHING * (0.5 / classes + 0.5 * np.eye(classes))
    rates /= rates.sum(axis=1, keepdims=True)
    behind = np.maximum(probabilities, _LEAST)
    behind /= behind.sum(axis=1, keepdims=True)
    for _ in range(STEPS):
        behind = behind * ((probabilities / np.maximum(behind @ rates, _LEAST)) @ rates.T)
        behind /= np.maximum(behind.sum(axis=1, keepdims=True), _LEAST)
    joint = behind * rates[:, labels].T  # of the class behind, and the label that the row has
    joint /= np.maximum(joint.sum(axis=1, keepdims=True), _LEAST)
    return 1 - joint[each, labels], joint.argmax(axis=1)
