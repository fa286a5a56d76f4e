"""Metrics of the predicted class, from counts a class; prediction is the class with the highest logit."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from losssearch.evaluation.declaring import metric
from losssearch.evaluation.made import Made, Oracle, Tuning, mean_of, of_sums
from losssearch.evaluation.measure import Addend, divide
from losssearch.evaluation.prior_shift import fit_by_predictions, fit_by_recalls
from losssearch.evaluation.record import Fit
from losssearch.tasks.view import LOGITS

_share = partial(metric, direction="maximize", task=LOGITS, unit="share", low=0.0, high=1.0)


def _decided(name: str, **options: object) -> Oracle:
    return Oracle(f"sklearn.metrics.{name}", "decisions", options)


def _best_by_recalls(made: Made) -> Fit:
    return partial(fit_by_recalls, quality=made.function)


def _best_by_predictions(made: Made) -> Fit:
    return partial(fit_by_predictions, quality=made.function)


@_share(computed=mean_of, tuned="none", statistic="accuracy", oracle=_decided("accuracy_score"))
def accuracy(outputs: Tensor, target: Tensor) -> tuple[Addend, ...]:
    """Share of correct predictions."""
    return (Addend(outputs.argmax(-1) == target),)


def by_label(outputs: Tensor, target: Tensor) -> tuple[Addend, ...]:
    """Addends by class: right predictions and rows of the class."""
    classes, target = outputs.shape[-1], target.long()
    hits = outputs.argmax(-1) == target
    return Addend(hits, target, classes), Addend(torch.ones_like(hits), target, classes)


def by_label_and_prediction(outputs: Tensor, target: Tensor) -> tuple[Addend, ...]:
    """Addends by class: right predictions, rows of the class, rows predicted to be of the class."""
    hits, support = by_label(outputs, target)
    return hits, support, Addend(support.values, outputs.argmax(-1), outputs.shape[-1])


@_share(
    computed=of_sums(by_label),
    tuned=Tuning("prior_shift", _best_by_recalls),
    oracle=_decided("balanced_accuracy_score"),
)
def balanced_accuracy(rows: int, hits: Tensor, support: Tensor) -> Tensor:
    """Mean recall of the classes that occur; counts ``[..., C]``."""
    return divide(hits, support).sum(-1) / (support > 0).sum(-1)


@_share(
    computed=of_sums(by_label_and_prediction),
    tuned=Tuning("prior_shift", _best_by_predictions),
    oracle=_decided("f1_score", average="macro", zero_division=0),
)
def macro_f1(rows: int, hits: Tensor, support: Tensor, predicted: Tensor) -> Tensor:
    """Mean F1 of the classes that occur or are predicted; counts ``[..., C]``."""
    involved = support + predicted
    return divide(2 * hits, involved).sum(-1) / (involved > 0).sum(-1)


@_share(computed=of_sums(by_label), tuned=Tuning("prior_shift", _best_by_recalls))
def worst_class_recall(rows: int, hits: Tensor, support: Tensor) -> Tensor:
    """Lowest recall of the classes that occur; counts ``[..., C]``."""
    return divide(hits, support, 1.0).amin(-1)
