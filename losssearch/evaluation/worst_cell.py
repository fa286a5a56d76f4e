"""The worst cell of label and group, or the worst group, as a metric: ``worst_cell(accuracy)``, ``worst_group(f1)``.

Such a metric reads a cell in place of a label: ``label + classes · group`` (`cells`), so that whatever resamples,
pairs or splits rows needs to know nothing of groups. Cells, or groups, with fewer than `FEWEST` rows are left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeAlias

import torch
from torch import Tensor

from losssearch.errors import OptionError
from losssearch.evaluation.measure import Addend, Measure, Resampled, divide
from losssearch.evaluation.metrics.thresholded import quality_of
from losssearch.evaluation.ordering import argsort
from losssearch.evaluation.prior_shift import best_tau, hits_by_cell
from losssearch.evaluation.record import Metric
from losssearch.evaluation.threshold import best_cut

FEWEST = 5
"""Rows that a cell, or a group, needs: of fewer, a share of right answers is mostly chance."""

CELL, GROUP = "worst_cell", "worst_group"
EXAMPLES = (f"{CELL}(accuracy)", f"{GROUP}(accuracy)")
_CALL = re.compile(rf"\s*({CELL}|{GROUP})\s*(?:\((.*)\))?\s*", re.DOTALL)

Values: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""From right answers and rows ``[..., groups, classes]`` to the value of each cell or group ``[..., cells]``."""


def cells(labels: Tensor, group: Tensor, classes: int) -> Tensor:
    """The cell of each row, int64: labels ``[...]`` in [0, classes) and group ids ``[...]`` as one number."""
    return labels.long() + classes * group.long()


def nested(name: str) -> tuple[str, str] | None:
    """``worst_cell`` or ``worst_group`` and the metric within; None for the name of any other metric."""
    found = _CALL.fullmatch(name)
    if found is None:
        return None
    if not (found[2] or "").strip():
        raise OptionError(f"metric {found[1]} is written as a call, such as {found[1]}(accuracy), got {name!r}")
    return found[1], found[2].strip()


def inner_name(head: str, inner: str) -> str:
    """The name of the metric that a worst cell or group is made of: recall is the accuracy of a cell."""
    return "accuracy" if (head, inner) == (CELL, "recall") else inner


def worst_metric(head: str, inner: Metric) -> Metric:
    """The metric of the worst cell or group by ``inner``, a metric of decisions between classes.

    Raises `OptionError` for an inner metric that says nothing of a cell or group.
    """
    thresholded = inner.view.thresholded
    sign = 1.0 if inner.direction == "maximize" else -1.0
    function = Worst(inner.view.columns, _values(inner, head), head == GROUP, sign)
    return replace(
        inner,
        name=f"{head}({inner.name})",
        adjustment="threshold" if thresholded else "prior_shift",
        function=function,
        fit=partial(_fit_threshold if thresholded else _fit_prior_shift, worst=function),
        cells=True,
        aims=(),
    )


def _values(inner: Metric, head: str) -> Values:
    if inner.name == "accuracy" and not inner.source:
        return _recall if head == CELL else _accuracy
    if head == CELL:
        raise OptionError(
            f"{CELL} takes accuracy: the rows of a cell have one label, so the share of right answers is all there is "
            f"to measure; got {inner.name}. {GROUP} takes other metrics of decisions too"
        )
    if inner.name == "balanced_accuracy" and not inner.source:
        return _balanced
    quality = quality_of(inner)
    if quality is not None and not inner.cells:
        return partial(_decided, quality=quality)
    counted = ", f1, mcc or cost(fp=…,fn=…)" if inner.view.thresholded else ""
    raise OptionError(f"{GROUP} takes a metric of decisions, accuracy, balanced_accuracy{counted}; got {inner.name}")


def _recall(hits: Tensor, rows: Tensor) -> Tensor:
    return divide(hits, rows).flatten(-2)


def _accuracy(hits: Tensor, rows: Tensor) -> Tensor:
    return divide(hits.sum(-1), rows.sum(-1))


def _balanced(hits: Tensor, rows: Tensor) -> Tensor:
    return divide(divide(hits, rows).sum(-1), (rows > 0).double().sum(-1))


def _decided(hits: Tensor, rows: Tensor, *, quality: Callable[..., Tensor]) -> Tensor:
    predicted = hits[..., 1] + rows[..., 0] - hits[..., 0]
    count = rows.sum(-1)
    found: Tensor = quality(torch.where(count == 0, 1.0, count), hits[..., 1], predicted, rows[..., 1])
    return found


@dataclass(frozen=True)
class Worst(Measure):
    """The lowest (``sign`` 1) or highest (-1) of the ``values`` of all cells, or groups, with `FEWEST` rows.

    nan if none has as many. Sample weights change the values, and not which cells have rows enough.
    """

    values: Values
    by_group: bool
    sign: float

    def kept(self, rows: Tensor) -> Tensor:
        """Which cells of ``rows`` ``[..., groups, classes]`` count: of those in groups, or themselves, large enough."""
        size = rows.sum(-1, keepdim=True).expand_as(rows) if self.by_group else rows
        return (size >= FEWEST) & (rows > 0)

    def utility(self, hits: Tensor, rows: Tensor) -> Tensor:
        """The worst utility ``[...]`` by right answers and rows ``[..., groups, classes]``; inf where none has rows."""
        found = self.sign * self.values(hits, rows)
        present = rows.sum(-1) > 0 if self.by_group else (rows > 0).flatten(-2)
        return torch.where(present, found, torch.inf).amin(-1)

    def plain(self, outputs: Tensor, target: Tensor) -> Tensor:
        """See `Measure.plain`."""
        hits, rows = self._addends(outputs, target)
        return self._value(hits.total(), rows.total(), self.kept(self._table(rows.total(), outputs)), outputs)

    def resampled(self, outputs: Tensor, target: Tensor) -> Resampled:
        """See `Measure.resampled`; what counts is decided once, on the rows themselves."""
        hits, rows = self._addends(outputs, target)
        kept = self.kept(self._table(rows.total(), outputs))
        return lambda weights: self._value(hits.weighted(weights), rows.weighted(weights), kept, outputs)

    def by_cell(self, outputs: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Right answers and rows ``[..., groups, classes]``, float64."""
        hits, rows = self._addends(outputs, target)
        return self._table(hits.total(), outputs), self._table(rows.total(), outputs)

    def _addends(self, outputs: Tensor, target: Tensor) -> tuple[Addend, Addend]:
        classes = self._classes(outputs)
        cell = target.long()
        label = cell % classes
        decided = outputs.argmax(-1) if self.class_axis else (outputs > 0).long()
        right, count = decided == label, classes * (int(cell.max()) // classes + 1)
        return Addend(right, cell, count), Addend(torch.ones_like(right), cell, count)

    def _value(self, hits: Tensor, rows: Tensor, kept: Tensor, outputs: Tensor) -> Tensor:
        hits, rows = (torch.where(kept, self._table(part, outputs), 0.0) for part in (hits, rows))
        found = self.sign * self.utility(hits, rows)
        return torch.where(found.isinf(), torch.nan, found)

    def _table(self, values: Tensor, outputs: Tensor) -> Tensor:
        table: Tensor = values.unflatten(-1, (-1, self._classes(outputs)))
        return table

    def _classes(self, outputs: Tensor) -> int:
        return outputs.shape[-1] if self.class_axis else 2


def _fit_threshold(scores: Tensor, target: Tensor, *, worst: Worst, weight: Tensor | None = None) -> Tensor:
    """The threshold ``[M]`` that is best for the worst cell or group, over all there are."""
    order = argsort(scores).flip(-1)
    ordered, cell = scores.gather(-1, order), target.long().gather(-1, order)
    often = None if weight is None else weight.double().gather(-1, order)
    utility = torch.full((len(scores), scores.shape[1] + 1), torch.inf, dtype=torch.float64, device=scores.device)
    for group in range(int(cell.max()) // 2 + 1):
        members = [cell == 2 * group + label for label in (0, 1)]
        accepted = [_counted(member if often is None else member * often) for member in members]
        rows = torch.stack([count[:, -1:] for count in accepted], -1).unsqueeze(-2)
        hits = torch.stack((accepted[0][:, -1:] - accepted[0], accepted[1]), -1).unsqueeze(-2)
        kept = worst.kept(torch.stack([member.sum(-1) for member in members], -1)[:, None, None])
        found = worst.utility(torch.where(kept, hits, 0.0), torch.where(kept, rows, 0.0).expand_as(hits))
        utility = torch.minimum(utility, found)
    return best_cut(ordered, utility.nan_to_num(posinf=0.0))


def _counted(member: Tensor) -> Tensor:
    """How many of the first k rows are ``member`` ``[M, N]``, or what they weigh, for k from 0: ``[M, N + 1]``."""
    counts: Tensor = torch.nn.functional.pad(member.cumsum(-1, dtype=torch.float64), (1, 0))
    return counts


def _fit_prior_shift(
    logits: Tensor, target: Tensor, class_prior: Tensor, *, worst: Worst, weight: Tensor | None = None
) -> Tensor:
    """The ``tau`` ``[M]`` that is best for the worst cell or group."""
    hits, rows = hits_by_cell(logits, target.long(), class_prior, weight)
    _, counted = worst.by_cell(logits, target)
    kept = worst.kept(counted)[:, None]
    found: Tensor = worst.utility(torch.where(kept, hits, 0.0), torch.where(kept, rows, 0.0).expand_as(hits))
    return best_tau(found.nan_to_num(posinf=0.0))
