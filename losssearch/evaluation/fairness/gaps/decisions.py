"""Gaps of decisions: shares that follow from how many rows of each group were decided how."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from losssearch.evaluation.fairness.counts import Counts
from losssearch.evaluation.fairness.gap import gap
from losssearch.tasks.view import LOGIT, LOGITS

_HARDT = "Hardt et al. 2016, Equality of opportunity in supervised learning"
_AGARWAL = "Agarwal et al. 2018, A reductions approach to fair classification"
_CHOULDECHOVA = "Chouldechova 2017, Fair prediction with disparate impact"

_share = partial(gap, task=(LOGIT, LOGITS), computed="shares", reads="decision")
_difference = partial(_share, compare="difference")
_ratio = partial(_share, compare="ratio", operator=">=")
_parity = {
    "statistic": "positive_rate",
    "cells": "decided positive by rows",
    "reference": _AGARWAL,
    "what": "the share of rows that are decided positive",
}
_odds = {
    "statistic": "equalized_odds",
    "cells": "hits by positives; false positives by negatives",
    "reference": _HARDT,
    "what": "the true positive rate and the false positive rate",
}


@_ratio("demographic_parity_ratio", fairlearn="demographic_parity_ratio", **_parity)
@_difference("demographic_parity_difference", fairlearn="demographic_parity_difference", **_parity)
def positive_rate(counts: Counts) -> tuple[Tensor, Tensor]:
    """Rows decided positive, of all rows."""
    return counts.predicted, counts.rows.expand(counts.positives.shape)


def _hits(counts: Counts) -> tuple[Tensor, Tensor]:
    return counts.hits, counts.positives


def _false_positives(counts: Counts) -> tuple[Tensor, Tensor]:
    return counts.predicted - counts.hits, counts.rows - counts.positives


@_ratio("equalized_odds_ratio", fairlearn="equalized_odds_ratio", **_odds)
@_difference("equalized_odds_difference", fairlearn="equalized_odds_difference", **_odds)
def equalized_odds(counts: Counts) -> tuple[Tensor, Tensor]:
    """Two cells: `true_positive_rate` and `false_positive_rate`."""
    (hits, positives), (misses, negatives) = _hits(counts), _false_positives(counts)
    return torch.cat((hits, misses)), torch.cat((positives, negatives))


@_difference(
    "equal_opportunity_difference",
    statistic="true_positive_rate",
    cells="hits by positives",
    reference=_HARDT,
    what="the share of positive rows that are found",
    fairlearn="equal_opportunity_difference",
)
def true_positive_rate(counts: Counts) -> tuple[Tensor, Tensor]:
    """Hits, of the positive rows."""
    return _hits(counts)


@_difference(
    "predictive_equality_difference",
    statistic="false_positive_rate",
    cells="false positives by negatives",
    reference=_CHOULDECHOVA,
    what="the share of negative rows that are decided positive",
    fairlearn="false_positive_rate_difference",
)
def false_positive_rate(counts: Counts) -> tuple[Tensor, Tensor]:
    """False positives, of the negative rows."""
    return _false_positives(counts)


@_difference(
    "predictive_parity_difference",
    statistic="precision",
    cells="hits by decided positive",
    reference=_CHOULDECHOVA,
    what="the share of positive decisions that are right",
    fairlearn="precision_score_difference",
)
def precision(counts: Counts) -> tuple[Tensor, Tensor]:
    """Hits, of the rows decided positive."""
    return counts.hits, counts.predicted


@_difference(
    "accuracy_difference",
    statistic="accuracy",
    cells="right decisions by rows",
    reference="Berk et al. 2021, Fairness in criminal justice risk assessments",
    what="the share of right decisions",
    fairlearn="accuracy_score_difference",
)
def accuracy(counts: Counts) -> tuple[Tensor, Tensor]:
    """Right decisions, of all rows."""
    if len(counts.hits) == 1:
        right = counts.rows - counts.predicted - counts.positives + 2 * counts.hits
    else:
        right = counts.hits.sum(0, keepdim=True)
    return right, counts.rows.expand(counts.positives[:1].shape)
