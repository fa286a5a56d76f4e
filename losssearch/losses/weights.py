"""Sample weights, and the reduction of per-sample losses."""

from __future__ import annotations

import torch
from torch import Tensor

from losssearch.losses.arriving import bounds


def sample_weights(weight: Tensor, output: Tensor) -> Tensor:
    """One weight per sample [batch], in the type of ``output``; raises `ValueError` if it is anything else."""
    batch = output.shape[0]
    if weight.shape not in ((batch,), (batch, 1)):
        raise ValueError(f"weight must be one number per sample, [{batch}], got {list(weight.shape)}")
    weight = weight.reshape(batch).to(output.dtype)
    found = bounds(weight)
    if found is None:
        return torch.where((weight >= 0) & (weight < torch.inf), weight, torch.nan)
    low, high = found
    if not (low >= 0 and high < torch.inf):
        raise ValueError(f"weight must hold finite numbers of 0 and above, got {high if low >= 0 else low:g}")
    return weight


def weighted_mean(losses: Tensor, sample_weight: Tensor) -> Tensor:
    """``Σ w ℓ / Σ w`` of losses and weights ``[batch]``; 0 if all weights are 0."""
    total = sample_weight.sum()
    return (sample_weight * losses).sum() / torch.where(total > 0, total, 1.0)


def checked_reduction(reduction: str, batch_level: str = "") -> str:
    """Return ``reduction`` if it is valid, else raise `ValueError`; with a ``batch_level`` part only the mean is."""
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"a reduction must be one of mean, sum, none; got {reduction!r}")
    if batch_level and reduction != "mean":
        raise ValueError(
            f"the reduction of this loss must be mean, since {batch_level} gives one value per batch; got {reduction!r}"
        )
    return reduction
