"""A number that moves at one speed."""

from __future__ import annotations

from torch import Tensor

from losssearch.losses.schedule import LEVEL, schedule


@schedule(formula="{start}→{end}", latex=r"{start} \to {end}", plain=True, between=True, start=LEVEL, end=LEVEL)
def linear(progress: Tensor, *, start: Tensor, end: Tensor) -> Tensor:
    """From ``start`` to ``end`` over the training."""
    return start + (end - start) * progress
