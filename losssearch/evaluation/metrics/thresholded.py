"""Metrics of yes-or-no decisions, as functions of four counts.

Each takes the number of rows, the true positives (``hits``), the rows predicted positive and the positive rows,
and so serves both the metric at a given threshold and the search over all thresholds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import cast

import torch
from torch import Tensor

from losssearch.errors import OptionError
from losssearch.evaluation.declaring import metric
from losssearch.evaluation.made import Made, Oracle, Tuning
from losssearch.evaluation.measure import Addend, Quality, Summed, divide
from losssearch.evaluation.record import Fit, Metric
from losssearch.evaluation.threshold import fit_threshold
from losssearch.losses.domains import Float
from losssearch.tasks.view import LOGIT, View

MOST = 1e300
"""A cost, at the most."""


def counts(outputs: Tensor, target: Tensor) -> tuple[Addend, ...]:
    """Addends of hits, predicted positives (logit above 0) and positives."""
    predicted, positive = outputs > 0, target > 0
    return Addend(predicted & positive), Addend(predicted), Addend(positive)


def of_counts(quality: Callable[..., Tensor], view: View) -> Summed:
    """The measure of a function of counts."""
    return Summed(view.columns, counts, quality)


def quality_of(metric: Metric) -> Quality | None:
    """The metric as a function of confusion counts, or None if it is none."""
    function = metric.function
    if isinstance(function, Summed) and function.addends is counts:
        return function.value
    return None


def _best_threshold(made: Made) -> Fit:
    return partial(fit_threshold, quality=cast("Quality", made.function), sign=made.sign)


_decision = partial(metric, task=LOGIT, computed=of_counts, tuned=Tuning("threshold", _best_threshold))
_share = partial(_decision, direction="maximize", unit="share", low=0.0, high=1.0)


def _decided(name: str, **options: object) -> Oracle:
    return Oracle(f"sklearn.metrics.{name}", "decisions", options)


@_share(statistic="accuracy", oracle=_decided("accuracy_score"))
def accuracy(rows: int, hits: Tensor, predicted: Tensor, positives: Tensor) -> Tensor:
    """Share of right decisions."""
    return (rows - predicted - positives + 2 * hits) / rows


@_share(oracle=_decided("balanced_accuracy_score"))
def balanced_accuracy(rows: int, hits: Tensor, predicted: Tensor, positives: Tensor) -> Tensor:
    """Mean recall of the classes that occur."""
    negatives = rows - positives
    recalls = divide(hits, positives) + divide(negatives - predicted + hits, negatives)
    return recalls / ((positives > 0).double() + (negatives > 0).double())


@_share(statistic="f1", oracle=_decided("f1_score", zero_division=0))
def f1(rows: int, hits: Tensor, predicted: Tensor, positives: Tensor) -> Tensor:
    """Harmonic mean of precision and recall; 0 where nothing is positive and nothing predicted so."""
    return divide(2 * hits, predicted + positives)


@_decision(direction="maximize", unit="correlation", low=-1.0, high=1.0, oracle=_decided("matthews_corrcoef"))
def mcc(rows: int, hits: Tensor, predicted: Tensor, positives: Tensor) -> Tensor:
    """Correlation of decision and label (Matthews 1975); 0 where either is constant."""
    covariance = hits * rows - predicted * positives
    return divide(covariance, torch.sqrt(predicted * (rows - predicted)) * torch.sqrt(positives * (rows - positives)))


def _check_costs(fp: float, fn: float) -> None:
    if not (0 <= fp < math.inf and 0 <= fn < math.inf and fp + fn > 0):
        raise OptionError(f"cost needs finite fp and fn of at least 0, one of them above 0; got fp={fp:g}, fn={fn:g}")


def _ratio_of_costs(fp: float, fn: float) -> Mapping[str, float]:
    return {"ratio": fn / fp} if fp > 0 and fn > 0 else {}


@_decision(
    direction="minimize",
    unit="cost a sample",
    low=0.0,
    check=_check_costs,
    aims=_ratio_of_costs,
    fp=Float(0.0, MOST, default=1.0),
    fn=Float(0.0, MOST, default=5.0),
)
def cost(rows: int, hits: Tensor, predicted: Tensor, positives: Tensor, *, fp: float, fn: float) -> Tensor:
    """Mean cost of a row, where a false positive costs ``fp`` and a false negative ``fn``."""
    return (fp * (predicted - hits) + fn * (positives - hits)) / rows
