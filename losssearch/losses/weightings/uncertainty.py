"""A weight that is learned with the model."""

from __future__ import annotations

import torch
from torch import Tensor

from losssearch.losses.state import Learned
from losssearch.losses.weighting import weighting


@weighting(
    reference="Kendall et al. 2018, eq. 10, with a learned s",
    formula="exp(-s)·{part}",
    latex=r"e^{-s}\,{part}",
    meaning="exp(-s) * loss + s / 2",
    affine=True,
    elementwise=True,
    needs_nonnegative=True,
    compares=True,
    log_variance=Learned(0.0),
)
def uncertainty(value: Tensor, *, log_variance: Tensor) -> Tensor:
    """``exp(-s)`` times the value, plus ``s / 2``, with a learned ``s``: the logarithm of a variance."""
    return torch.exp(-log_variance) * value + log_variance / 2
