"""The record of a gap, and ``@gap``: a gap is declared at the function that computes its rates."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, TypeVar

from torch import Tensor

from losssearch.evaluation.fairness.counts import Counts
from losssearch.evaluation.measure import Quality
from losssearch.evaluation.record import Metric
from losssearch.tasks.view import View

Shares: TypeAlias = Callable[[Counts], tuple[Tensor, Tensor]]
"""From counts to numerators and denominators ``[C, G, ...]`` of the shares that are compared."""
RowValues: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""From scores ``[M, N(, C)]`` and target ``[M, N]`` to the number of each row ``[M, N]`` whose mean is compared."""
Scores: TypeAlias = Callable[[Tensor], Tensor]
"""From outputs ``[M, N(, C)]`` to the numbers ``[C, M, N]`` whose correlation with a sensitive number is looked at."""
Operator: TypeAlias = Literal["<=", ">="]

_Function = TypeVar("_Function", bound=Callable[..., Any])


@dataclass(frozen=True)
class Gap:
    """How unequal groups are treated, as one number, and its facts.

    ``tasks`` names the kinds of task that it is for, or views of kinds. ``statistic`` names the statistic of the
    fairness losses that pushes on it. ``compare``: the largest difference of two groups, the smallest ratio of two
    groups, or the worst group alone. ``reads``: what it depends on, decisions or scores (probabilities, predictions).
    ``cells`` says what is counted, numerator by denominator, in each group. A limit lies in ``[low, high]``. One of
    ``shares``, ``values``, ``quality``, ``metric`` and ``scores`` computes it; ``root`` takes the root of the mean of
    ``values``. ``fairlearn`` is its name there, if any. A gap with ``scores`` is one of an attribute that is a number,
    all others are between groups.
    """

    name: str
    tasks: frozenset[str]
    statistic: str
    compare: Literal["difference", "ratio", "worst"]
    reads: Literal["decision", "score"]
    cells: str
    reference: str
    what: str = ""
    """What is compared, in words."""
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

    @property
    def meaning(self) -> str:
        """What it is, in words."""
        compared = {"difference": "largest difference", "ratio": "smallest ratio"}.get(self.compare)
        return f"the {compared} between two groups in {self.what}" if compared else self.what

    def fits(self, kind: str, view: View) -> bool:
        """Whether it is for this kind of task, or for all of this view."""
        return kind in self.tasks or view.name in self.tasks


_declared: list[Gap] = []


def declared() -> tuple[Gap, ...]:
    """Every declared gap, in the order of declaration."""
    return tuple(_declared)


def gap(
    name: str,
    *,
    task: View | Iterable[View],
    statistic: str,
    computed: Literal["shares", "values", "scores"],
    compare: Literal["difference", "ratio", "worst"],
    reads: Literal["decision", "score"],
    cells: str,
    reference: str,
    what: str,
    operator: Operator = "<=",
    high: float = 1.0,
    root: bool = False,
    fairlearn: str = "",
) -> Callable[[_Function], _Function]:
    """Declare a gap that the decorated function computes, as `Gap` says of ``computed``; the function stays as it is.

    A function may be declared several times: the lowest decorator comes first wherever gaps are listed.
    """
    views = [task] if isinstance(task, View) else list(task)

    def declare(function: _Function) -> _Function:
        given: dict[str, Any] = {computed: function}
        tasks = frozenset(view.name for view in views)
        _declared.append(
            Gap(
                name, tasks, statistic, compare, reads, cells, reference, what,
                operator=operator, high=high, root=root, fairlearn=fairlearn, **given,
            )
        )  # fmt: skip
        return function

    return declare


UNBOUNDED = math.inf
"""The highest limit of a gap that may be any number."""
