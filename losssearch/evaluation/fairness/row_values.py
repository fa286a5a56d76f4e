"""What a gap of means reads of each row: probabilities, losses and errors; and what one of correlations does."""

from __future__ import annotations

import torch
from torch import Tensor

from losssearch.evaluation import calibration


def calibration_error(scores: Tensor, target: Tensor) -> Tensor:
    """Probability minus label."""
    return scores.double().sigmoid() - (target > 0).double()


def binary_loss(scores: Tensor, target: Tensor) -> Tensor:
    """Log loss of a binary logit."""
    return calibration.binary_log_loss(scores, target)[0].values


def multiclass_loss(scores: Tensor, target: Tensor) -> Tensor:
    """Log loss of multiclass logits."""
    return calibration.multiclass_log_loss(scores, target)[0].values


def prediction(scores: Tensor, target: Tensor) -> Tensor:
    """The prediction."""
    return scores.double()


def error(scores: Tensor, target: Tensor) -> Tensor:
    """Prediction minus target."""
    return scores.double() - target.double()


def absolute_error(scores: Tensor, target: Tensor) -> Tensor:
    """Its size."""
    return error(scores, target).abs()


def squared_error(scores: Tensor, target: Tensor) -> Tensor:
    """Its square."""
    return error(scores, target).square()


def probability(outputs: Tensor) -> Tensor:
    """Probability of the positive class."""
    return outputs.double().sigmoid()[None]


def probabilities(outputs: Tensor) -> Tensor:
    """Probability of each class."""
    return outputs.double().softmax(-1).movedim(-1, 0)


def predictions(outputs: Tensor) -> Tensor:
    """The prediction."""
    return outputs.double()[None]


def decision(outputs: Tensor) -> Tensor:
    """1 where decided positive."""
    return (outputs > 0).double()[None]


def decisions(outputs: Tensor) -> Tensor:
    """1 where decided for a class, for each class."""
    return torch.nn.functional.one_hot(outputs.argmax(-1), outputs.shape[-1]).double().movedim(-1, 0)
