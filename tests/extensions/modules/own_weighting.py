"""A weighting: a learned weight that never falls below a floor."""

import torch
from torch import Tensor

import losssearch as ls


@ls.weighting(
    formula="max({floor}, s)·{part}",
    affine=True,
    floor=ls.Float(0.0, 1.0, default=0.1),
    share=ls.State((2,), 0.5),
)
def own_floor(value: Tensor, *, floor: Tensor, share: Tensor) -> Tensor:
    """The value times the sum of two learned numbers, or the floor."""
    return torch.maximum(share.sum(), floor) * value
