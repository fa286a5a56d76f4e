"""Metrics of yes-or-no decisions, as functions of four counts.

Each takes the number of rows, the true positives (``hits``), the rows predicted positive and the positive rows,
and so serves both the metric at a given threshold and the search over all thresholds.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from losssearch.evaluation.measure import Column, divide


class Quality(Protocol):
    """A metric of decisions: from counts, float64 tensors that broadcast, to its value."""

    def __call__(self, rows: int, hits: Tensor, predicted: Tensor, positives: Tensor, /) -> Tensor:
        """The value."""


def counts(outputs: Tensor, target: Tensor) -> tuple[Column, ...]:
    """Columns of hits, predicted positives (logit above 0) and positives."""
    predicted, positive = outputs > 0, target > 0
    return Column(predicted & positive), Column(predicted), Column(positive)


def accuracy(rows: int, hits: Tensor, predicted: Tensor, positives: Tensor) -> Tensor:
    """Share of right decisions."""
    return (rows - predicted - positives + 2 * hits) / rows


def balanced_accuracy(rows: int, hits: Tensor, predicted: Tensor, positives: Tensor) -> Tensor:
    """Mean recall of the classes that occur."""
    negatives = rows - positives
    recalls = divide(hits, positives) + divide(negatives - predicted + hits, negatives)
    return recalls / ((positives > 0).double() + (negatives > 0).double())


def f1(rows: int, hits: Tensor, predicted: Tensor, positives: Tensor) -> Tensor:
    """Harmonic mean of precision and recall; 0 where nothing is positive and nothing predicted so."""
    return divide(2 * hits, predicted + positives)


def mcc(rows: int, hits: Tensor, predicted: Tensor, positives: Tensor) -> Tensor:
    """Correlation of decision and label (Matthews 1975); 0 where either is constant."""
    covariance = hits * rows - predicted * positives
    return divide(covariance, torch.sqrt(predicted * (rows - predicted)) * torch.sqrt(positives * (rows - positives)))


def cost(rows: int, hits: Tensor, predicted: Tensor, positives: Tensor, *, fp: float, fn: float) -> Tensor:
    """Mean cost of a row, where a false positive costs ``fp`` and a false negative ``fn``."""
    return (fp * (predicted - hits) + fn * (positives - hits)) / rows
