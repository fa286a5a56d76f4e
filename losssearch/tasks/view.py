"""The predictive view: what a model's outputs mean to a metric, whichever loss trained it.

A kind of task has one view. Metrics and gaps name the views, or the kinds of task, that they are for. Kinds with one
view share its metrics.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from torch import Tensor

AdjustmentKind: TypeAlias = Literal[
    "none",
    "threshold",
    "temperature",
    "prior_shift",
    "shift",
    "factor_and_floor",
    "residual_quantiles",
    "breslow_baseline",
    "grade_cuts",
]
"""What may be tuned after training: see `losssearch.evaluation.adjustment`."""

Read: TypeAlias = Callable[[Tensor], Tensor]
"""From the outputs of one model, ``[N]`` or ``[N, C]``, to what a metric reads of them."""


@dataclass(frozen=True)
class View:
    """How the outputs and the target of one kind of task are read by whoever judges a model.

    Args:
        name: Of the view; metrics and gaps may name it in place of kinds of task.
        decide: From outputs ``[..., N]`` or ``[..., N, C]`` to what is decided or predicted, ``[..., N]``.
        reads: What a metric may name as a parameter, and how it follows from the outputs.
        tunes: What is tuned by default for a metric that reads one of these; nothing for the others.
        columns: Whether outputs end in an axis of columns: classes, or heads.
        target_columns: Whether targets do: ``[..., N, T]`` in place of ``[..., N]``.
        labels: Whether targets are numbers of classes from 0.
    """

    name: str
    decide: Read
    reads: Mapping[str, Read] = field(default_factory=dict)
    tunes: Mapping[str, AdjustmentKind] = field(default_factory=dict)
    columns: bool = False
    target_columns: bool = False
    labels: bool = False

    @property
    def thresholded(self) -> bool:
        """Whether a decision is a threshold on one score per row."""
        return self.labels and not self.columns


def above_zero(outputs: Tensor) -> Tensor:
    """1 where the logit of the positive class is above 0."""
    return (outputs > 0).long()


def likeliest(outputs: Tensor) -> Tensor:
    """The class with the highest logit."""
    return outputs.argmax(-1)


def unchanged(outputs: Tensor) -> Tensor:
    """The outputs themselves."""
    return outputs


def sigmoid(outputs: Tensor) -> Tensor:
    """The probability of the positive class."""
    return outputs.double().sigmoid()


def softmax(outputs: Tensor) -> Tensor:
    """The probability of each class."""
    return outputs.double().softmax(-1)


LOGIT = View(
    "logit",
    decide=above_zero,
    reads={"scores": unchanged, "probabilities": sigmoid, "decisions": above_zero},
    tunes={"decisions": "threshold", "probabilities": "temperature"},
    labels=True,
)
"""One logit per row, of the positive class."""

LOGITS = View(
    "logits",
    decide=likeliest,
    reads={"scores": unchanged, "probabilities": softmax, "decisions": likeliest},
    tunes={"decisions": "prior_shift", "probabilities": "temperature"},
    columns=True,
    labels=True,
)
"""One logit per row and class."""

PREDICTION = View(
    "prediction",
    decide=unchanged,
    reads={"scores": unchanged, "predictions": unchanged},
    tunes={"predictions": "shift"},
)
"""One prediction per row, in the target's own unit."""


RANKED = View("ranked", decide=unchanged, reads={"scores": unchanged}, columns=True, target_columns=True)
"""One score per document of a query; targets are grades, below zero for padding."""


def median(outputs: Tensor) -> Tensor:
    """The middle one of several quantiles."""
    return outputs[..., outputs.shape[-1] // 2]


QUANTILES = View(
    "quantiles",
    decide=median,
    reads={"quantiles": unchanged, "predictions": median},
    tunes={"quantiles": "residual_quantiles", "predictions": "residual_quantiles"},
    columns=True,
)
"""Quantiles per row at 0.05, 0.10, …, 0.95, in the target's own unit."""


def first(outputs: Tensor) -> Tensor:
    """The first column."""
    return outputs[..., 0]


def between(outputs: Tensor) -> Tensor:
    """The columns of the first half, after the first."""
    return outputs[..., 1 : 1 + outputs.shape[-1] // 2]


SURVIVAL = View(
    "survival",
    decide=first,
    reads={"risk": first, "curves": between},
    tunes={"curves": "breslow_baseline"},
    columns=True,
    target_columns=True,
)
"""A risk per row, then the probability to be without the event after each of some times, then these times."""

GRADES = View(
    "grades",
    decide=likeliest,
    reads={"scores": unchanged, "probabilities": softmax, "decisions": likeliest},
    tunes={"decisions": "grade_cuts"},
    columns=True,
    labels=True,
)
"""One logit per row and grade; the grades are in an order."""

RATE = View(
    "rate",
    decide=first,
    reads={"rates": unchanged, "predictions": first},
    tunes={"rates": "factor_and_floor", "predictions": "factor_and_floor"},
    columns=True,
    target_columns=True,
)
"""Per row the rate, in counts per exposure, and the share of such rows that are always zero; the target is the count
and the exposure."""
