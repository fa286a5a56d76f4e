"""Metrics of the predicted class, from counts a class; prediction is the class with the highest logit."""

from __future__ import annotations

import torch
from torch import Tensor

from losssearch.evaluation.measure import Column, divide


def accuracy(outputs: Tensor, target: Tensor) -> tuple[Column, ...]:
    """Column of right predictions."""
    return (Column(outputs.argmax(-1) == target),)


def by_label(outputs: Tensor, target: Tensor) -> tuple[Column, ...]:
    """Columns, summed a class: right predictions and rows of the class."""
    classes, target = outputs.shape[-1], target.long()
    hits = outputs.argmax(-1) == target
    return Column(hits, target, classes), Column(torch.ones_like(hits), target, classes)


def by_label_and_prediction(outputs: Tensor, target: Tensor) -> tuple[Column, ...]:
    """Columns, summed a class: right predictions, rows of the class, rows predicted to be of the class."""
    hits, support = by_label(outputs, target)
    return hits, support, Column(support.values, outputs.argmax(-1), outputs.shape[-1])


def balanced_accuracy(rows: int, hits: Tensor, support: Tensor) -> Tensor:
    """Mean recall of the classes that occur; counts ``[..., C]``."""
    return divide(hits, support).sum(-1) / (support > 0).sum(-1)


def worst_class_recall(rows: int, hits: Tensor, support: Tensor) -> Tensor:
    """Lowest recall of the classes that occur; counts ``[..., C]``."""
    return divide(hits, support, 1.0).amin(-1)


def macro_f1(rows: int, hits: Tensor, support: Tensor, predicted: Tensor) -> Tensor:
    """Mean F1 of the classes that occur or are predicted; counts ``[..., C]``."""
    involved = support + predicted
    return divide(2 * hits, involved).sum(-1) / (involved > 0).sum(-1)
