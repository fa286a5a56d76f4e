"""The computation of a metric: a value for each member of a population, and for resampled rows of one member.

Most metrics are a function of a few sums over rows (`Summed`); this is what makes a bootstrap cheap, for it
then needs only weighted sums. Metrics of ranks and medians bring their own two computations.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import torch
from torch import Tensor

from losssearch.errors import OptionError
from losssearch.evaluation.members import map_members

Resampled: TypeAlias = Callable[[Tensor], Tensor]
"""From how often each row was drawn, ``[N, B]`` float64, to the metric of each of ``B`` resamples, ``[B]``."""


class Quality(Protocol):
    """A metric of yes-or-no decisions: from counts, float64 tensors that broadcast, to its value."""

    def __call__(self, rows: int, hits: Tensor, predicted: Tensor, positives: Tensor, /) -> Tensor:
        """The value, by the rows, the true positives, the rows predicted positive and the positive rows."""


@dataclass(frozen=True)
class Measure(ABC):
    """A metric's computation. ``class_axis``: outputs end in a class dimension."""

    class_axis: bool

    @property
    def target_columns(self) -> bool:
        """Whether a target ends in an axis of columns, ``[..., N, T]``."""
        return False

    @property
    def weighs(self) -> bool:
        """Whether it can be computed for weighted rows."""
        return True

    @abstractmethod
    def plain(self, outputs: Tensor, target: Tensor) -> Tensor:
        """The values ``[M]`` of finite outputs ``[M, N]`` or ``[M, N, C]`` on ``target`` ``[M, N]``."""

    @abstractmethod
    def resampled(self, outputs: Tensor, target: Tensor) -> Resampled:
        """Prepare one member, ``[N]`` or ``[N, C]`` and ``[N]``, for a bootstrap over its rows."""

    def weighed(self, outputs: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        """As `plain`, for rows that count as often as ``weight`` ``[M, N]``, above zero, says."""
        rows = zip(outputs, target, weight.double(), strict=True)
        return torch.stack([self.resampled(own, labels)(often[:, None])[0] for own, labels, often in rows])

    def __call__(self, outputs: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
        """The value of every member.

        Args:
            outputs: Binary logits or predictions ``[..., N]``, or logits ``[..., N, C]``.
            target: ``[..., N]``; leading dimensions broadcast to those of ``outputs``.
            weight: Sample weights, finite and above zero, ``[..., N]``, broadcast likewise: a row of weight 2 counts as
                two equal rows.

        Returns:
            ``[...]``, float64; nan for a member with a non-finite output.

        Raises:
            OptionError: Where the shapes do not fit each other, or there are no rows.
        """
        rows = outputs.shape[-2 if self.class_axis else -1] if outputs.dim() > self.class_axis else 0
        of_target = target.shape[-2 if self.target_columns else -1] if target.dim() > self.target_columns else 0
        if rows == 0 or of_target != rows:
            found = f"{list(outputs.shape)} and {list(target.shape)}"
            raise OptionError(f"outputs and target must have the same rows, at least one; got {found}")
        columns = frozenset({0} if self.target_columns else ())
        if weight is not None:
            return map_members(self.weighed, outputs, target, weight, class_axis=self.class_axis, columns=columns)
        return map_members(self.plain, outputs, target, class_axis=self.class_axis, columns=columns)


@dataclass(frozen=True)
class Addend:
    """A number for each row, ``[..., N]``, to be summed over all rows or over the rows of each group."""

    values: Tensor
    groups: Tensor | None = None
    """Group ids ``[..., N]``, int64, in ``[0, count)``."""
    count: int = 0

    def total(self, weight: Tensor | None = None) -> Tensor:
        """The sums, float64: ``[...]``, or ``[..., count]`` with groups; rows count by ``weight`` ``[..., N]``."""
        if weight is not None:
            return Addend(self.values.double() * weight.double(), self.groups, self.count).total()
        if self.groups is None:
            return self.values.sum(-1, dtype=torch.int64 if self.values.dtype == torch.bool else torch.float64).double()
        sums = torch.zeros(*self.groups.shape[:-1], self.count, dtype=torch.float64, device=self.values.device)
        return sums.scatter_add_(-1, self.groups, self.values.double())

    def weighted(self, weights: Tensor) -> Tensor:
        """The sums over weighted rows, for values ``[N]`` and weights ``[N, B]``: ``[B]`` or ``[B, count]``."""
        values = self.values.double()
        if self.groups is None:
            return values @ weights
        sums = torch.zeros(self.count, weights.shape[1], dtype=torch.float64, device=weights.device)
        return sums.index_add_(0, self.groups, weights * values.unsqueeze(1)).T


@dataclass(frozen=True)
class Summed(Measure):
    """A metric that is a function ``value`` of the number of rows and of the sums of ``addends``."""

    addends: Callable[[Tensor, Tensor], tuple[Addend, ...]]
    value: Callable[..., Tensor]
    """Rows may be a number, or the sum of weights of each resample, ``[B]``."""
    several: bool = False
    """Whether a target ends in an axis of columns."""

    @property
    def target_columns(self) -> bool:
        """See `Measure.target_columns`."""
        return self.several

    def plain(self, outputs: Tensor, target: Tensor) -> Tensor:
        """See `Measure.plain`."""
        return self.value(
            target.shape[-2 if self.several else -1], *(addend.total() for addend in self.addends(outputs, target))
        )

    def weighed(self, outputs: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        """See `Measure.weighed`."""
        rows = weight.sum(-1, dtype=torch.float64)
        return self.value(rows, *(addend.total(weight) for addend in self.addends(outputs, target)))

    def resampled(self, outputs: Tensor, target: Tensor) -> Resampled:
        """See `Measure.resampled`."""
        addends = self.addends(outputs, target)
        return lambda weights: self.value(weights.sum(0), *(addend.weighted(weights) for addend in addends))


def mean(rows: int, total: Tensor) -> Tensor:
    """The mean over rows."""
    return total / rows


def divide(numerator: Tensor, denominator: Tensor, otherwise: float = 0.0) -> Tensor:
    """``numerator / denominator``, and ``otherwise`` where the denominator is zero."""
    safe = torch.where(denominator == 0, 1.0, denominator)
    return torch.where(denominator == 0, otherwise, numerator / safe)
