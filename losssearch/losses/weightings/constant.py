"""A weight that is a number, or follows a schedule."""

from __future__ import annotations

from torch import Tensor

from losssearch.losses.domains import WEIGHT
from losssearch.losses.weighting import weighting


@weighting(
    formula="{weight}·{part}",
    latex=r"{weight}\,{part}",
    affine=True,
    elementwise=True,
    plain=True,
    weight=WEIGHT,
)
def constant(value: Tensor, *, weight: Tensor) -> Tensor:
    """``weight`` times the value."""
    return weight * value
