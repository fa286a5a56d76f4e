"""The mean over the samples with the largest losses."""

from __future__ import annotations

import torch
from torch import Tensor

from losssearch.losses.domains import SHARE
from losssearch.losses.reduction import reduction


@reduction(
    formula="CVaR[{share}]({part})",
    latex=r"\mathrm{CVaR}_{{share}}\left[{part}\right]",
    meaning="the worst share",
    share=SHARE,
)
def cvar(losses: Tensor, sample_weight: Tensor | None, *, share: Tensor) -> Tensor:
    """Mean of the ``share`` of ``losses`` ``[batch]`` that is largest (CVaR); the last one counts in part.

    With weights ``[batch]`` the share is one of their sum, and a sample counts as much as its weight.
    """
    if sample_weight is not None:
        ordered, order = losses.sort(descending=True)
        weight = sample_weight.gather(0, order)
        before = weight.cumsum(0) - weight
        kept = torch.minimum((share * weight.sum() - before).clamp_min(0), weight)
        total = kept.sum()
        return (kept * ordered).sum() / torch.where(total > 0, total, 1.0)
    ordered = losses.sort(descending=True).values
    count = share * losses.shape[0]
    rank = torch.arange(losses.shape[0], dtype=losses.dtype, device=losses.device)
    kept = (count - rank).clamp(0, 1)
    return (kept * ordered).sum() / kept.sum()
