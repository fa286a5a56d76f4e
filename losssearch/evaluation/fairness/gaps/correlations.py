"""Gaps of a sensitive attribute that is a number: correlations of scores or decisions with it."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from losssearch.evaluation.fairness.gap import gap
from losssearch.tasks.view import LOGIT, LOGITS, PREDICTION

_correlation = partial(
    gap,
    computed="scores",
    compare="worst",
    reference="Mary et al. 2019, Fairness-aware learning for continuous attributes and treatments",
)
_SCORES, _DECISIONS = "attribute_correlation", "decision_correlation"
_OF_SCORES, _OF_DECISIONS = "correlation of the score with the attribute", "correlation of decisions with the attribute"
_WHAT = "the size of the linear correlation between {} and the attribute, of 0 to 1"
_of_scores = partial(_correlation, _SCORES, statistic=_SCORES, reads="score", what=_WHAT.format("the score"))
_of_decisions = partial(
    _correlation, _DECISIONS, statistic=_DECISIONS, reads="decision", what=_WHAT.format("decisions")
)


@_of_scores(task=LOGIT, cells=_OF_SCORES)
def probability(outputs: Tensor) -> Tensor:
    """Probability of the positive class."""
    return outputs.double().sigmoid()[None]


@_of_scores(task=LOGITS, cells=f"{_OF_SCORES}, largest of the classes'")
def probabilities(outputs: Tensor) -> Tensor:
    """Probability of each class."""
    return outputs.double().softmax(-1).movedim(-1, 0)


@_of_scores(task=PREDICTION, cells=_OF_SCORES)
def predictions(outputs: Tensor) -> Tensor:
    """The prediction."""
    return outputs.double()[None]


@_of_decisions(task=LOGIT, cells=_OF_DECISIONS)
def decision(outputs: Tensor) -> Tensor:
    """1 where decided positive."""
    return (outputs > 0).double()[None]


@_of_decisions(task=LOGITS, cells=f"{_OF_DECISIONS}, largest of the classes'")
def decisions(outputs: Tensor) -> Tensor:
    """1 where decided for a class, for each class."""
    return torch.nn.functional.one_hot(outputs.argmax(-1), outputs.shape[-1]).double().movedim(-1, 0)
