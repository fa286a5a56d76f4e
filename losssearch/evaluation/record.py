"""The record of a metric: the facts that a study, a report and the contract tests read."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
from torch import Tensor

from losssearch.errors import DataError, OptionError
from losssearch.evaluation.measure import Measure
from losssearch.option_names import option
from losssearch.tasks.view import AdjustmentKind, View

Direction: TypeAlias = Literal["maximize", "minimize"]
Fit: TypeAlias = Callable[..., Tensor]
"""From outputs ``[M, N]`` or ``[M, N, C]``, target ``[M, N]`` and, for a prior shift, the class prior ``[M, C]``
to the parameter ``[M]`` of the adjustment that is best for a metric. ``weight=`` ``[M, N]``: how often a row counts."""

MetricFunction: TypeAlias = Callable[..., Any]
"""A user's own: a function of (outputs, target) or (outputs, batch), or one that was declared with ``@metric``."""

_Value = TypeVar("_Value", float, Tensor)


@dataclass(frozen=True)
class Metric:
    """A metric of one kind of task, with its numbers, and its facts.

    ``view`` is how it reads the outputs of that kind. ``function(outputs, target)`` gives ``[...]`` for outputs
    ``[..., N]`` (binary logits, positive above 0; predictions in the target's own unit) or ``[..., N, C]`` (multiclass
    logits), target ``[..., N]``. ``fit`` finds what ``adjustment`` tunes.
    """

    name: str
    direction: Direction
    view: View
    unit: str
    adjustment: AdjustmentKind
    function: Measure
    fit: Fit | None = None
    low: float = -math.inf
    high: float = math.inf
    """The ends of what it can be."""
    lowest: float = -math.inf
    """The smallest target that it can judge."""
    nonzero: bool = False
    """Whether it divides by the target."""
    grain: float = 0.0
    """What predictions count as at the least: targets must be far larger."""
    aims: tuple[tuple[str, float], ...] = ()
    """Numbers of its own that a loss can be aimed at, by name; a space file writes them ``$metric.NAME``."""
    cells: bool = False
    """Whether ``target`` is the cell of label and group, as `losssearch.evaluation.worst_cell.cells` makes it."""
    statistic: str = "mean_loss"
    """The statistic of the fairness losses that pushes on the worst group by this metric."""
    weighs: bool = True
    """Whether it can be computed with sample weights."""
    source: str = ""
    """Where it was defined, with a hash of its text; empty for a metric of losssearch itself."""

    def __call__(self, outputs: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
        """The value of every member; see `Measure.__call__`."""
        return self.function(outputs, target, weight)

    def check_weights(self) -> None:
        """Raise `OptionError` if it cannot be computed, or tuned, for weighted rows."""
        if not self.weighs:
            raise OptionError(
                f"metric {self.name} has no parameter named weight, so it cannot be computed with sample weights: give "
                f"it one, leave out {option('weight')}, or give another {option('metric')}"
            )
        if self.fit is not None and "weight" not in inspect.signature(self.fit).parameters:
            raise OptionError(
                f"metric {self.name} cannot be tuned for weighted rows: leave out {option('weight')}, or give "
                f"another {option('metric')}"
            )

    def check_target(self, target: npt.NDArray[Any]) -> None:
        """Raise `DataError` for targets that it cannot judge."""
        least = float(target.min())
        if least < self.lowest:
            raise DataError(
                f"metric {self.name} needs targets of at least {self.lowest:g}, but the target goes down to {least:g}: "
                "give another metric"
            )
        size = np.abs(np.asarray(target, dtype=np.float64))
        if self.nonzero and (count := int((size <= np.finfo(np.float64).eps * np.median(size)).sum())):
            raise DataError(
                f"metric {self.name} divides by the target, so it needs targets other than 0; the target is 0 in "
                f"{count} of {len(size)} rows: give another metric, such as mae, or leave those rows out"
            )
        if size.mean() < 1000 * self.grain:
            raise DataError(
                f"metric {self.name} takes predictions below {self.grain:g} for {self.grain:g}; the target's mean is "
                f"{float(size.mean()):.3g}: give it in a smaller unit, or another metric"
            )

    def better(self, a: float, b: float) -> bool:
        """Whether ``a`` is strictly better than ``b``; nan is worse than every number."""
        if math.isnan(a) or math.isnan(b):
            return math.isnan(b) and not math.isnan(a)
        return a > b if self.direction == "maximize" else a < b

    def utility(self, values: _Value) -> _Value:
        """``values`` with the sign at which higher is better."""
        return values if self.direction == "maximize" else -values
