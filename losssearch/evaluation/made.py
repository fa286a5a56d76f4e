"""The parts of a metric: how its function is computed, what is tuned for it, and its oracle."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from losssearch.evaluation.measure import Addend, Measure, Summed, mean
from losssearch.evaluation.record import Fit
from losssearch.tasks.view import AdjustmentKind, View

Computed: TypeAlias = Callable[[Callable[..., Any], View], Measure]
"""From the declared function, with its numbers, and a view to the measure that computes the metric."""

Addends: TypeAlias = Callable[..., tuple[Addend, ...]]
"""From outputs and target to numbers for each row, of which only the sums count."""


def mean_of(addends: Addends, view: View) -> Summed:
    """Of a function that gives a column of numbers, one per row: their mean."""
    return Summed(view.columns, addends, mean, view.target_columns)


def of_sums(addends: Addends) -> Computed:
    """Of a function of the number of rows and of the sums of ``addends``: its value."""
    return lambda value, view: Summed(view.columns, addends, value, view.target_columns)


@dataclass(frozen=True)
class Oracle:
    """The field's own function for a metric, which the contract tests compare it with.

    ``path`` is imported and called with the target and what it ``reads`` of the outputs, by a name of the view;
    functions of torch and torchmetrics take these the other way round. ``options`` are its keywords, ``numbers`` those
    that are numbers of the metric.
    """

    path: str
    reads: str
    options: Mapping[str, Any] = field(default_factory=dict)
    numbers: Mapping[str, str] = field(default_factory=dict)
    tolerance: float = 1e-9


@dataclass(frozen=True)
class Made:
    """What a metric's fit is made of: its function with numbers, its measure, and 1 or -1 where lower is better."""

    function: Callable[..., Any]
    measure: Measure
    sign: float
    numbers: Mapping[str, float]


@dataclass(frozen=True)
class Tuning:
    """What is tuned after training, and how the best value is found on validation outputs."""

    kind: AdjustmentKind
    fit: Callable[[Made], Fit]


def always(kind: AdjustmentKind, fit: Fit) -> Tuning:
    """Tuning by a fit that depends on nothing of the metric."""
    return Tuning(kind, lambda made: fit)
