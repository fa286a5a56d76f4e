"""Every gap that a constraint may limit, with the facts that parsing, judging, reports and tests read."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from losssearch.errors import OptionError, UnknownNameError
from losssearch.evaluation import confusion
from losssearch.evaluation.confusion import Quality
from losssearch.evaluation.fairness.counts import Counts
from losssearch.evaluation.fairness.row_values import (
    absolute_error,
    binary_loss,
    calibration_error,
    decision,
    decisions,
    error,
    multiclass_loss,
    prediction,
    predictions,
    probabilities,
    probability,
    squared_error,
)
from losssearch.evaluation.measure import Summed
from losssearch.evaluation.metric import Metric, get_metric, metrics_for

Shares: TypeAlias = Callable[[Counts], tuple[Tensor, Tensor]]
"""From counts to numerators and denominators ``[C, G, ...]`` of the shares that are compared."""
RowValues: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""From scores ``[M, N(, C)]`` and target ``[M, N]`` to the number of each row ``[M, N]`` whose mean is compared."""
Scores: TypeAlias = Callable[[Tensor], Tensor]
"""From outputs ``[M, N(, C)]`` to the numbers ``[C, M, N]`` whose correlation with a sensitive number is looked at."""
Operator: TypeAlias = Literal["<=", ">="]

WORST = "worst_group_"
_BINARY, _CLASSES, _REGRESSION = frozenset({"binary"}), frozenset({"binary", "multiclass"}), frozenset({"regression"})
_KINDS = ("binary", "multiclass", "regression")


@dataclass(frozen=True)
class Gap:
    """How unequal groups are treated, as one number, and its facts.

    ``statistic`` names the statistic of the fairness losses that pushes on it. ``compare``: the largest
    difference of two groups, the smallest ratio of two groups, or the worst group alone. ``reads``: what it
    depends on, decisions or scores (probabilities, predictions). ``cells`` says what is counted, numerator by
    denominator, in each group. A limit lies in ``[low, high]``. One of ``shares``, ``values``, ``quality``, ``metric``
    and ``scores`` computes it; ``root`` takes the root of the mean of ``values``. ``fairlearn`` is its name there, if
    any. A gap with ``scores`` is one of an attribute that is a number, all others are between groups.
    """

    name: str
    tasks: frozenset[str]
    statistic: str
    compare: Literal["difference", "ratio", "worst"]
    reads: Literal["decision", "score"]
    cells: str
    reference: str
    operator: Operator = "<="
    low: float = 0.0
    high: float = 1.0
    shares: Shares | None = None
    values: RowValues | None = None
    root: bool = False
    quality: Quality | None = None
    metric: Metric | None = None
    scores: Scores | None = None
    fairlearn: str = ""

    @property
    def counted(self) -> bool:
        """Whether it is a function of counts of decisions, and so known at every threshold of a binary model."""
        return self.shares is not None or self.quality is not None


def quality_of(metric: Metric) -> Quality | None:
    """The metric as a function of confusion counts, or None where it is none."""
    function = metric.function
    if isinstance(function, Summed) and function.columns is confusion.counts:
        return function.value
    return None


def positive_rate(counts: Counts) -> tuple[Tensor, Tensor]:
    """Rows decided positive, of all rows."""
    return counts.predicted, counts.rows.expand(counts.positives.shape)


def true_positive_rate(counts: Counts) -> tuple[Tensor, Tensor]:
    """Hits, of the positive rows."""
    return counts.hits, counts.positives


def false_positive_rate(counts: Counts) -> tuple[Tensor, Tensor]:
    """False positives, of the negative rows."""
    return counts.predicted - counts.hits, counts.rows - counts.positives


def equalized_odds(counts: Counts) -> tuple[Tensor, Tensor]:
    """Two cells: `true_positive_rate` and `false_positive_rate`."""
    (hits, positives), (misses, negatives) = true_positive_rate(counts), false_positive_rate(counts)
    return torch.cat((hits, misses)), torch.cat((positives, negatives))


def precision(counts: Counts) -> tuple[Tensor, Tensor]:
    """Hits, of the rows decided positive."""
    return counts.hits, counts.predicted


def accuracy(counts: Counts) -> tuple[Tensor, Tensor]:
    """Right decisions, of all rows."""
    if len(counts.hits) == 1:
        right = counts.rows - counts.predicted - counts.positives + 2 * counts.hits
    else:
        right = counts.hits.sum(0, keepdim=True)
    return right, counts.rows.expand(counts.positives[:1].shape)


def _correlated(name: str, task: str, reads: Literal["decision", "score"], scores: Scores, cells: str) -> Gap:
    return Gap(name, frozenset({task}), name, "worst", reads, cells, _MARY, scores=scores)


def _shares(name: str, statistic: str, shares: Shares, cells: str, reference: str, fairlearn: str = "") -> Gap:
    return Gap(
        f"{name}_difference", _CLASSES, statistic, "difference", "decision", cells, reference,
        shares=shares, fairlearn=fairlearn,
    )  # fmt: skip


def _ratio(name: str, statistic: str, shares: Shares, cells: str, reference: str, fairlearn: str) -> Gap:
    return Gap(
        f"{name}_ratio", _CLASSES, statistic, "ratio", "decision", cells, reference,
        operator=">=", shares=shares, fairlearn=fairlearn,
    )  # fmt: skip


def _means(name: str, statistic: str, values: RowValues, cells: str, reference: str, *, root: bool = False) -> Gap:
    return Gap(
        name, _REGRESSION, statistic, "difference", "score", cells, reference,
        high=math.inf, values=values, root=root,
    )  # fmt: skip


def _bounded(tasks: frozenset[str], values: RowValues, cells: str) -> Gap:
    return Gap(
        "bounded_group_loss", tasks, "mean_loss", "worst", "score", cells,
        "Agarwal et al. 2019, Fair regression", high=math.inf, values=values,
    )  # fmt: skip


_HARDT = "Hardt et al. 2016, Equality of opportunity in supervised learning"
_AGARWAL = "Agarwal et al. 2018, A reductions approach to fair classification"
_CHOULDECHOVA = "Chouldechova 2017, Fair prediction with disparate impact"
_PARITY = ("demographic_parity", "positive_rate", positive_rate, "decided positive by rows", _AGARWAL)
_ODDS = ("equalized_odds", "equalized_odds", equalized_odds, "hits by positives; false positives by negatives", _HARDT)

GAPS: tuple[Gap, ...] = (
    _shares(*_PARITY, "demographic_parity_difference"),
    _ratio(*_PARITY, "demographic_parity_ratio"),
    _shares(*_ODDS, "equalized_odds_difference"),
    _ratio(*_ODDS, "equalized_odds_ratio"),
    _shares(
        "equal_opportunity", "true_positive_rate", true_positive_rate, "hits by positives", _HARDT,
        "equal_opportunity_difference",
    ),
    _shares(
        "predictive_equality", "false_positive_rate", false_positive_rate, "false positives by negatives",
        _CHOULDECHOVA, "false_positive_rate_difference",
    ),
    _shares(
        "predictive_parity", "precision", precision, "hits by decided positive", _CHOULDECHOVA,
        "precision_score_difference",
    ),
    _shares(
        "accuracy", "accuracy", accuracy, "right decisions by rows",
        "Berk et al. 2021, Fairness in criminal justice risk assessments", "accuracy_score_difference",
    ),
    Gap(
        "calibration_difference", _BINARY, "calibration", "difference", "score", "probability minus label by rows",
        "Pleiss et al. 2017, On fairness and calibration", values=calibration_error,
    ),
    _bounded(_BINARY, binary_loss, "log loss by rows"),
    _bounded(frozenset({"multiclass"}), multiclass_loss, "log loss by rows"),
    _bounded(_REGRESSION, squared_error, "squared error by rows"),
    _means(
        "mean_prediction_difference", "mean_prediction", prediction, "prediction by rows",
        "Calders et al. 2013, Controlling attribute effect in linear regression",
    ),
    _means(
        "mean_error_difference", "mean_error", error, "prediction minus target by rows",
        "Calders et al. 2013, Controlling attribute effect in linear regression",
    ),
    _means("mae_difference", "mean_absolute_error", absolute_error, "absolute error by rows", "as accuracy_difference"),
    _means(
        "rmse_difference", "mean_loss", squared_error, "squared error by rows, the root of it",
        "as accuracy_difference", root=True,
    ),
)  # fmt: skip


_MARY = "Mary et al. 2019, Fairness-aware learning for continuous attributes and treatments"
_OF_SCORES, _OF_DECISIONS = "correlation of the score with the attribute", "correlation of decisions with the attribute"

ATTRIBUTE_GAPS: tuple[Gap, ...] = (
    _correlated("attribute_correlation", "binary", "score", probability, _OF_SCORES),
    _correlated(
        "attribute_correlation", "multiclass", "score", probabilities, f"{_OF_SCORES}, largest of the classes'"
    ),
    _correlated("attribute_correlation", "regression", "score", predictions, _OF_SCORES),
    _correlated("decision_correlation", "binary", "decision", decision, _OF_DECISIONS),
    _correlated(
        "decision_correlation", "multiclass", "decision", decisions, f"{_OF_DECISIONS}, largest of the classes'"
    ),
)
"""What may be limited of a sensitive attribute that is a number."""


def gaps_for(task: str) -> tuple[str, ...]:
    """Names of the gaps between groups that fit a kind of task; those of the worst group for every metric of it.

    Raises:
        UnknownNameError: For a kind of task that there is none of.
    """
    worst = tuple(WORST + name for name in metrics_for(task))
    return (*(gap.name for gap in GAPS if task in gap.tasks), *worst)


def get_gap(name: str, task: str) -> Gap:
    """The gap of this name, for this kind of task.

    Raises:
        UnknownNameError: For a gap or kind of task that there is none of.
        OptionError: For a gap that does not fit the task.
    """
    fitting = gaps_for(task)
    if name.startswith(WORST):
        return _worst(name, task)
    known = (*GAPS, *ATTRIBUTE_GAPS)
    entries = [gap for gap in known if gap.name == name]
    if not entries:
        raise UnknownNameError("gap", name, {gap.name for gap in known} | set(fitting))
    for gap in entries:
        if task in gap.tasks:
            return gap
    others = " and ".join(kind for kind in _KINDS if any(kind in gap.tasks for gap in entries))
    raise OptionError(f"gap {name} fits {others}, not {task}; gaps for {task}: {', '.join(fitting)}")


def _worst(name: str, task: str) -> Gap:
    metric = get_metric(name.removeprefix(WORST), task)
    simple, quality = metric.name == "accuracy", quality_of(metric)
    decided = simple or quality is not None or metric.adjustment == "prior_shift"
    low, high = {
        "correlation": (-1.0, 1.0),
        "share of variance": (-math.inf, 1.0),
        "share": (0.0, 1.0),
        "probability": (0.0, 1.0),
    }.get(metric.unit, (0.0, math.inf))
    return Gap(
        name=WORST + metric.name,
        tasks=frozenset({task}),
        statistic={"accuracy": "accuracy", "f1": "f1"}.get(metric.name, "mean_loss"),
        compare="worst",
        reads="decision" if decided else "score",
        cells=f"{metric.name} of the group",
        reference="Sagawa et al. 2020, Distributionally robust neural networks for group shifts",
        operator=">=" if metric.direction == "maximize" else "<=",
        low=low,
        high=high,
        shares=accuracy if simple else None,
        quality=None if simple else quality,
        metric=None if simple or quality else metric,
    )
