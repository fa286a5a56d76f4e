"""Gaps of means: probabilities, losses and errors, one number per row, whose mean over each group is compared."""

from __future__ import annotations

from functools import partial

from torch import Tensor

from losssearch.evaluation.fairness.gap import UNBOUNDED, gap
from losssearch.evaluation.metrics import calibration
from losssearch.tasks.view import LOGIT, LOGITS, PREDICTION

_mean = partial(gap, computed="values", reads="score", compare="difference")
_of_predictions = partial(_mean, task=PREDICTION, high=UNBOUNDED)
_bounded = partial(
    gap,
    "bounded_group_loss",
    statistic="mean_loss",
    computed="values",
    compare="worst",
    reads="score",
    reference="Agarwal et al. 2019, Fair regression",
    what="the mean loss of the group with the largest",
    high=UNBOUNDED,
)
_CALDERS = "Calders et al. 2013, Controlling attribute effect in linear regression"


@_mean(
    "calibration_difference",
    task=LOGIT,
    statistic="calibration",
    cells="probability minus label by rows",
    reference="Pleiss et al. 2017, On fairness and calibration",
    what="the mean probability less the share of positive rows",
)
def calibration_error(scores: Tensor, target: Tensor) -> Tensor:
    """Probability minus label."""
    return scores.double().sigmoid() - (target > 0).double()


@_bounded(task=LOGIT, cells="log loss by rows")
def binary_loss(scores: Tensor, target: Tensor) -> Tensor:
    """Log loss of a binary logit."""
    return calibration.binary_log_loss(scores, target)[0].values


@_bounded(task=LOGITS, cells="log loss by rows")
def multiclass_loss(scores: Tensor, target: Tensor) -> Tensor:
    """Log loss of multiclass logits."""
    return calibration.multiclass_log_loss(scores, target)[0].values


@_of_predictions(
    "mean_prediction_difference",
    statistic="mean_prediction",
    cells="prediction by rows",
    reference=_CALDERS,
    what="the mean prediction",
)
def prediction(scores: Tensor, target: Tensor) -> Tensor:
    """The prediction."""
    return scores.double()


@_of_predictions(
    "mean_error_difference",
    statistic="mean_error",
    cells="prediction minus target by rows",
    reference=_CALDERS,
    what="the mean of prediction less target",
)
def error(scores: Tensor, target: Tensor) -> Tensor:
    """Prediction minus target."""
    return scores.double() - target.double()


@_of_predictions(
    "mae_difference",
    statistic="mean_absolute_error",
    cells="absolute error by rows",
    reference="as accuracy_difference",
    what="the mean absolute error",
)
def absolute_error(scores: Tensor, target: Tensor) -> Tensor:
    """Its size."""
    return error(scores, target).abs()


@_bounded(task=PREDICTION, cells="squared error by rows")
@_of_predictions(
    "rmse_difference",
    statistic="mean_loss",
    cells="squared error by rows, the root of it",
    reference="as accuracy_difference",
    what="the root mean squared error",
    root=True,
)
def squared_error(scores: Tensor, target: Tensor) -> Tensor:
    """Its square."""
    return error(scores, target).square()
