"""Terms for numeric targets of which some ranges are rare.

Example:
    >>> import torch
    >>> import losssearch as ls
    >>> prediction, target = torch.tensor([0.0, 0.1, 1.0]), torch.tensor([0.0, 0.0, 2.0])
    >>> ls.terms["balanced_mse"].module(sigma=1.0)(prediction, target)
    tensor(0.7838)
"""

from __future__ import annotations

import torch
from torch import Tensor

from losssearch.losses.domains import Float
from losssearch.losses.term import loss_term
from losssearch.losses.traits import Traits


@loss_term(
    reference="Ren et al. 2022, Balanced MSE for imbalanced visual regression, eq. 3.7 (batch-based Monte-Carlo)",
    per_sample=False,
    nonnegative=False,
    sigma=Float(0.1, 3.0, default=0.5, log=True),
    traits=Traits(
        argmin="beyond the target",
        problems=("imbalance",),
        convex=True,
        smooth=True,
        bounded=True,
        oracle="Ren et al. 2022, eq. 3.7, with scipy.special.logsumexp",
    ),
)
def balanced_mse(prediction: Tensor, target: Tensor, sample_weight: Tensor | None, *, sigma: Tensor) -> Tensor:
    """Squared error as if all targets were as frequent: rare ones are not pulled to the mean.

    The mean over samples of ``-2σ² log(exp(-(p_i - t_i)²/2σ²) / mean_j exp(-(p_i - t_j)²/2σ²))`` over the targets j of
    the batch. The prediction itself is balanced: it lies further from the bulk of the targets than the conditional
    mean. [batch, batch] numbers, so it is for mini-batches. Shapes: prediction [batch], target [batch] → scalar; may
    be negative. Limits: σ → 0 is `squared` plus a constant, where targets differ.
    """
    spread = 2 * sigma.square().to(prediction.dtype)
    apart = -(prediction.unsqueeze(1) - target.unsqueeze(0)).square() / spread
    weight = torch.ones_like(target) if sample_weight is None else sample_weight.to(target.dtype)
    total = weight.sum()
    share = weight / torch.where(total > 0, total, 1.0)
    # the largest exponent is taken off before weights, of which some or all may be 0
    most = apart.detach().amax(1, keepdim=True)
    mixed = (torch.exp(apart - most) @ share).clamp_min(torch.finfo(apart.dtype).tiny)
    own = (target - prediction).square() / spread
    return spread * (share * (own + torch.log(mixed) + most.squeeze(1))).sum()
