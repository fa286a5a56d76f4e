"""The mean over samples."""

from __future__ import annotations

from torch import Tensor

from losssearch.losses.reduction import reduction
from losssearch.losses.weights import weighted_mean


@reduction(formula="{part}")
def mean(losses: Tensor, sample_weight: Tensor | None) -> Tensor:
    """Mean of ``losses`` ``[batch]``, or ``Σ w ℓ / Σ w`` with weights."""
    return losses.mean() if sample_weight is None else weighted_mean(losses, sample_weight)
