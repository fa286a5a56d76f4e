"""A number that has one value first and another one later."""

from __future__ import annotations

from torch import Tensor

from losssearch.losses.domains import Float
from losssearch.losses.schedule import LEVEL, schedule


@schedule(
    formula="{start}→{end} at {at}",
    latex=r"{start} \to {end}\ \text{at}\ {at}",
    plain=True,
    between=True,
    start=LEVEL,
    end=LEVEL,
    at=Float(0.0, 1.0, default=0.5),
)
def step(progress: Tensor, *, start: Tensor, end: Tensor, at: Tensor) -> Tensor:
    """``start``, and ``end`` from the share ``at`` on."""
    after = (progress >= at).to(progress.dtype)
    return start * (1 - after) + end * after
