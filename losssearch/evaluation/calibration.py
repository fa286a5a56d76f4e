"""Metrics of probabilities: log_loss, brier and ece, from logits of binary and multiclass models."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import softplus

from losssearch.evaluation.measure import Column

BINS = 15
"""Bins of equal width of the expected calibration error (Guo et al. 2017)."""


def binary_log_loss(outputs: Tensor, target: Tensor) -> tuple[Column, ...]:
    """Minus the logarithm of the probability of the label, exact at any logit."""
    logits = outputs.double()
    return (Column(softplus(torch.where(target > 0, -logits, logits))),)


def brier(outputs: Tensor, target: Tensor) -> tuple[Column, ...]:
    """Squared difference of the probability of the positive class and the label."""
    return (Column((outputs.double().sigmoid() - (target > 0).double()).square()),)


def multiclass_log_loss(outputs: Tensor, target: Tensor) -> tuple[Column, ...]:
    """Minus the logarithm of the probability of the label, exact at any logits."""
    logits = outputs.double()
    return (Column(logits.logsumexp(-1) - logits.gather(-1, target.long().unsqueeze(-1)).squeeze(-1)),)


def binary_bins(outputs: Tensor, target: Tensor) -> tuple[Column, ...]:
    """Probability minus label, by bin of the probability of the positive class."""
    probability = outputs.double().sigmoid()
    return _bins(probability, target > 0)


def top_label_bins(outputs: Tensor, target: Tensor) -> tuple[Column, ...]:
    """Confidence minus correctness, by bin of the probability of the predicted class."""
    confidence, label = outputs.double().softmax(-1).max(-1)
    return _bins(confidence, label == target)


def _bins(probability: Tensor, event: Tensor) -> tuple[Column, ...]:
    # A probability of exactly 1 has a bin to itself, as in torchmetrics.
    return (Column(probability - event.double(), (probability * BINS).long(), BINS + 1),)


def calibration_error(rows: int, excess: Tensor) -> Tensor:
    """Mean distance of probability and frequency over bins ``[..., bins]``, each weighted by its rows."""
    return excess.abs().sum(-1) / rows
