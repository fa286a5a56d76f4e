"""How the loss of one sample is drawn over an axis, by kind of task."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Picture:
    """The axis of a loss's curve, and the batch at a place on it.

    Args:
        axis: What the axis says.
        over: The short name of the axis, as in "slope over the margin".
        reach: The axis goes from minus this to this.
        batch: ``batch(place, label, classes, others)``: outputs and targets of the sample at ``place``, a scalar,
            whose class is ``label``, followed by those of the samples ``others`` ``[n]``, which stay where they are.
    """

    axis: str
    over: str
    reach: float
    batch: Callable[[Tensor, int, int, Tensor], tuple[Tensor, Tensor]]
