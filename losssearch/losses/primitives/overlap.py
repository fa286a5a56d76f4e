"""Terms on soft counts of a whole batch: true and false positives with probabilities in place of decisions.

They return one value per batch. A class that is missing from the batch is ignored; if all are, the value is 0.

Example:
    >>> import torch
    >>> import losssearch as ls
    >>> ls.terms["soft_f1"].module()(torch.zeros(4, 2), torch.tensor([0, 1, 1, 1]))
    tensor(0.5333)
"""

from __future__ import annotations

import torch
from torch import Tensor

from losssearch.losses.domains import Float
from losssearch.losses.labels import class_shares, positive_share
from losssearch.losses.softmax import softmax
from losssearch.losses.term import loss_term
from losssearch.losses.traits import Traits


def _soft_tversky(
    logits: Tensor, labels: Tensor, sample_weight: Tensor | None, alpha: Tensor | float, beta: Tensor | float
) -> Tensor:
    """One minus the Tversky index, averaged over the classes in the batch."""
    p = softmax(logits)
    is_label = class_shares(labels, logits)
    counted = p if sample_weight is None else p * sample_weight.unsqueeze(-1)
    count = is_label.sum(0) if sample_weight is None else sample_weight @ is_label
    hit = (counted * is_label).sum(0)
    false_alarm = counted.sum(0) - hit
    present = count > 0
    total = torch.where(present, hit + alpha * false_alarm + beta * (count - hit), 1.0)
    return torch.where(present, 1 - hit / total, 0.0).sum() / present.sum().clamp_min(1)


@loss_term(
    reference="macro F1 with softmax probabilities as counts",
    soft_labels=True,
    per_sample=False,
    shift_invariant=True,
    traits=Traits(
        argmin="separation",
        problems=("imbalance",),
        smooth=True,
        bounded=True,
        oracle="sklearn.metrics.f1_score of saturated outputs",
    ),
)
def soft_f1(logits: Tensor, labels: Tensor, sample_weight: Tensor | None) -> Tensor:
    """One minus the macro F1 of the batch, counted softly: for metrics in which all classes count equally.

    ``1 - mean_c 2 TP_c / (2 TP_c + FP_c + FN_c)`` over the classes in the batch. Shapes: logits
    [batch, classes], labels [batch] → scalar. Limits: on one-hot probabilities it is one minus macro F1.
    """
    return _soft_tversky(logits, labels, sample_weight, 0.5, 0.5)


@loss_term(
    reference="Salehi et al. 2017, Tversky loss",
    soft_labels=True,
    per_sample=False,
    shift_invariant=True,
    alpha=Float(0.05, 1.0, default=0.3),
    beta=Float(0.05, 1.0, default=0.7),
    traits=Traits(
        argmin="separation",
        problems=("imbalance",),
        smooth=True,
        bounded=True,
        oracle="sklearn.metrics.jaccard_score of saturated outputs",
    ),
)
def tversky(logits: Tensor, labels: Tensor, sample_weight: Tensor | None, *, alpha: Tensor, beta: Tensor) -> Tensor:
    """Soft overlap with separate costs for false positives and false negatives.

    ``1 - mean_c TP_c / (TP_c + α FP_c + β FN_c)`` over the classes in the batch. Shapes: logits
    [batch, classes], labels [batch] → scalar. Limits: α = β = 0.5 is Dice, that is `soft_f1`; α = β = 1
    is Jaccard.
    """
    return _soft_tversky(logits, labels, sample_weight, alpha, beta)


@loss_term(
    reference="F-beta of van Rijsbergen 1979 with probabilities as counts",
    soft_labels=True,
    per_sample=False,
    beta=Float(0.25, 4.0, default=1.0, log=True),
    traits=Traits(
        argmin="separation",
        problems=("imbalance", "costs"),
        smooth=True,
        bounded=True,
        oracle="sklearn.metrics.fbeta_score of saturated outputs",
    ),
)
def soft_f_beta(logit: Tensor, labels: Tensor, sample_weight: Tensor | None, *, beta: Tensor) -> Tensor:
    """One minus the F-beta of the positive class, counted softly; β > 1 favours recall.

    ``1 - (1 + β²) TP / ((1 + β²) TP + FP + β² FN)``. Shapes: logit [batch], labels [batch] in {0, 1}
    → scalar; 0 for a batch without positives. Limits: β = 1 is F1 of the positive class.
    """
    p, positive = torch.sigmoid(logit), positive_share(labels, logit)
    counted = p if sample_weight is None else p * sample_weight
    count = positive.sum() if sample_weight is None else positive @ sample_weight
    hit, squared = (counted * positive).sum(), beta.to(logit.dtype).square()
    total = counted.sum() + squared * count
    return torch.where(count > 0, 1 - (1 + squared) * hit / torch.where(count > 0, total, 1.0), 0.0)
