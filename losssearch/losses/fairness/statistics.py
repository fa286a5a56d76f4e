"""Statistics of a group: ratios of sums over samples, one for each cell of a statistic.

A statistic is given as the samples' numerators and denominators ``[cells, batch]``, so that sums over any group, batch
or window give its rate. Those of decisions are linear in a sample's decision p, its label y and their product, which is
what makes one table serve two classes and, one class against the rest, many.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from losssearch.losses.labels import class_shares, positive_share

DECISION_FORMS = {
    "positive_rate": (((0, 1, 0, 0), (1, 0, 0, 0)),),
    "true_positive_rate": (((0, 0, 0, 1), (0, 0, 1, 0)),),
    "false_positive_rate": (((0, 1, 0, -1), (1, 0, -1, 0)),),
    "equalized_odds": (((0, 0, 0, 1), (0, 0, 1, 0)), ((0, 1, 0, -1), (1, 0, -1, 0))),
    "precision": (((0, 0, 0, 1), (0, 1, 0, 0)),),
    "accuracy": (((1, -1, -1, 2), (1, 0, 0, 0)),),
    "f1": (((0, 0, 0, 2), (0, 1, 1, 0)),),
}
"""Numerator and denominator of every cell, as factors of (1, p, y, p·y)."""

CLASSIFICATION_STATISTICS = (*DECISION_FORMS, "calibration", "mean_loss")
REGRESSION_STATISTICS = ("mean_prediction", "mean_error", "mean_absolute_error", "mean_loss")


def statistic_cells(statistic: str, outputs: int) -> int:
    """How many cells a classification statistic has for a number of outputs: 1 for two classes."""
    whole = statistic in ("accuracy", "mean_loss")
    return 1 if whole else outputs * len(DECISION_FORMS.get(statistic, ((),)))


def decision_forms(statistic: str, decisions: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Numerators and denominators ``[forms * outputs, batch]`` of decisions and labels, each ``[outputs, batch]``."""
    forms = DECISION_FORMS[statistic]
    numerators = [_linear(numerator, decisions, labels) for numerator, _ in forms]
    denominators = [_linear(denominator, decisions, labels) for _, denominator in forms]
    return torch.cat(numerators), torch.cat(denominators)


def _linear(factors: tuple[int, int, int, int], decisions: Tensor, labels: Tensor) -> Tensor:
    constant, of_decision, of_label, of_both = factors
    value = torch.full_like(decisions, constant)
    if of_decision:
        value = value + of_decision * decisions
    if of_label:
        value = value + of_label * labels
    return value + of_both * (decisions * labels) if of_both else value


def binary_forms(statistic: str, logit: Tensor, decisions: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Numerators and denominators ``[cells, batch]`` of two classes; ``decisions`` ``[batch]`` are soft or hard."""
    positive = positive_share(labels, logit)
    if statistic == "calibration":
        value = torch.sigmoid(logit) - positive
    elif statistic == "mean_loss":
        value = F.softplus(logit) - positive * logit
    else:
        return decision_forms(statistic, decisions[None], positive[None])
    return value[None], torch.ones_like(value)[None]


def multiclass_forms(statistic: str, logits: Tensor, decisions: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Numerators and denominators ``[cells, batch]`` of several classes; ``decisions`` ``[batch, classes]``.

    A cell for each class against the rest; accuracy and mean loss have one cell for all classes.
    """
    is_label = class_shares(labels, logits)
    if statistic == "calibration":
        value = (torch.softmax(logits, -1) - is_label).T
    elif statistic == "mean_loss":
        value = -(F.log_softmax(logits, -1) * is_label).sum(-1)[None]
    elif statistic == "accuracy":
        value = (decisions * is_label).sum(-1)[None]
    else:
        return decision_forms(statistic, decisions.T, is_label.T)
    return value, torch.ones_like(value)


def regression_forms(statistic: str, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Numerators and denominators ``[1, batch]`` of predictions."""
    error = prediction - target
    value = {
        "mean_prediction": prediction,
        "mean_error": error,
        "mean_absolute_error": error.abs(),
        "mean_loss": error.square(),
    }[statistic]
    return value[None], torch.ones_like(value)[None]
