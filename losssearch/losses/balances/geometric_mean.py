"""The geometric mean of the parts."""

from __future__ import annotations

import torch
from torch import Tensor

from losssearch.losses.balance import balance


@balance(
    reference="Chennupati et al. 2019, eq. 3",
    formula="geometric_mean({part})",
    latex=r"\mathrm{gm}\left[{part}\right]",
    meaning="the product of the parts, to the power of one over their number",
    needs_nonnegative=True,
)
def geometric_mean(values: Tensor) -> Tensor:
    """The geometric mean of the values: each part counts by its relative change, whatever its unit."""
    return torch.exp(torch.log(values.clamp_min(1e-8)).mean())
