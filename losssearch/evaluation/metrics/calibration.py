"""Metrics of probabilities: log_loss, brier and ece, from logits of binary and multiclass models."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import softplus

from losssearch.evaluation.declaring import metric
from losssearch.evaluation.made import Addends, Oracle, always, mean_of
from losssearch.evaluation.measure import Addend, Summed
from losssearch.evaluation.temperature import fit_binary_log_loss, fit_brier, fit_multiclass_log_loss
from losssearch.tasks.view import LOGIT, LOGITS, View

BINS = 15
"""Bins of equal width of the expected calibration error (Guo et al. 2017)."""


def _error_of(bins: Addends, view: View) -> Summed:
    return Summed(view.columns, bins, calibration_error)


_loss = partial(metric, name="log_loss", direction="minimize", unit="nats", low=0.0, computed=mean_of)
_ece = partial(metric, name="ece", direction="minimize", unit="probability", low=0.0, high=1.0, computed=_error_of)
_TORCHMETRICS = "torchmetrics.functional.classification"


@_loss(
    task=LOGIT,
    tuned=always("temperature", fit_binary_log_loss),
    oracle=Oracle("torch.nn.functional.binary_cross_entropy_with_logits", "scores"),
)
def binary_log_loss(outputs: Tensor, target: Tensor) -> tuple[Addend, ...]:
    """Mean negative logarithm of the probability of the label, exact at any logit."""
    logits = outputs.double()
    return (Addend(softplus(torch.where(target > 0, -logits, logits))),)


@metric(
    direction="minimize",
    task=LOGIT,
    unit="squared probability",
    low=0.0,
    high=1.0,
    computed=mean_of,
    tuned=always("temperature", fit_brier),
    oracle=Oracle("sklearn.metrics.brier_score_loss", "probabilities", {"labels": (0, 1)}),
)
def brier(outputs: Tensor, target: Tensor) -> tuple[Addend, ...]:
    """Mean squared difference between the probability of the positive class and the label."""
    return (Addend((outputs.double().sigmoid() - (target > 0).double()).square()),)


@_loss(
    task=LOGITS,
    tuned=always("temperature", fit_multiclass_log_loss),
    oracle=Oracle("torch.nn.functional.cross_entropy", "scores"),
)
def multiclass_log_loss(outputs: Tensor, target: Tensor) -> tuple[Addend, ...]:
    """Mean negative logarithm of the probability of the label, exact at any logits."""
    logits = outputs.double()
    return (Addend(logits.logsumexp(-1) - logits.gather(-1, target.long().unsqueeze(-1)).squeeze(-1)),)


@_ece(
    task=LOGIT,
    tuned=always("temperature", fit_binary_log_loss),
    oracle=Oracle(f"{_TORCHMETRICS}.binary_calibration_error", "probabilities", {"n_bins": BINS, "norm": "l1"}),
)
def binary_bins(outputs: Tensor, target: Tensor) -> tuple[Addend, ...]:
    """Expected calibration error: probability against frequency, over 15 bins of the probability (Guo et al. 2017)."""
    probability = outputs.double().sigmoid()
    return _bins(probability, target > 0)


@_ece(
    task=LOGITS,
    tuned=always("temperature", fit_multiclass_log_loss),
    # torchmetrics computes it in float32
    oracle=Oracle(
        f"{_TORCHMETRICS}.multiclass_calibration_error",
        "probabilities",
        {"n_bins": BINS, "norm": "l1"},
        tolerance=1e-6,
    ),
)
def top_label_bins(outputs: Tensor, target: Tensor) -> tuple[Addend, ...]:
    """Expected calibration error of the predicted class: confidence against accuracy, over 15 bins."""
    confidence, label = outputs.double().softmax(-1).max(-1)
    return _bins(confidence, label == target)


def _bins(probability: Tensor, event: Tensor) -> tuple[Addend, ...]:
    # A probability of exactly 1 has a bin to itself, as in torchmetrics.
    return (Addend(probability - event.double(), (probability * BINS).long(), BINS + 1),)


def calibration_error(rows: int, excess: Tensor) -> Tensor:
    """Mean distance of probability and frequency over bins ``[..., bins]``, each weighted by its rows."""
    return excess.abs().sum(-1) / rows
