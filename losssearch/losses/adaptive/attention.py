"""Terms that weigh each training row by what the model has made of it so far.

Example:
    >>> import torch
    >>> import losssearch as ls
    >>> loss = ls.compose({"parts": [{"term": "squared"}, {"term": "point_attention", "rate": 0.1}]}, rows=2)
    >>> loss.spec.formula()
    '0.5·point_attention(rate=0.1) + 0.5·squared'
"""

from __future__ import annotations

import torch
from torch import Tensor

from losssearch.losses.domains import Float
from losssearch.losses.state import State
from losssearch.losses.term import loss_term
from losssearch.losses.traits import Traits
from losssearch.losses.weights import weighted_mean

_MOST = 100.0
"""The largest multiplier of a row."""


def next_multiplier(plain_loss: Tensor, sample_weight: Tensor | None, *, rate: Tensor, multiplier: Tensor) -> Tensor:
    """The multipliers of the rows of a batch after a step up the loss."""
    return (multiplier * (1 + 2 * rate * plain_loss.detach())).clamp_max(_MOST)


@loss_term(
    reference="McClenny and Braga-Neto 2023, Self-adaptive physics-informed neural networks, eq. 11 to 14",
    rate=Float(1e-4, 1.0, default=0.01, log=True),
    multiplier=State((), 1.0, "row update", next_multiplier),
    traits=Traits(oracle="McClenny and Braga-Neto 2023, eq. 11, in NumPy"),
)
def point_attention(plain_loss: Tensor, sample_weight: Tensor | None, *, rate: Tensor, multiplier: Tensor) -> Tensor:
    """The plain loss with a weight for each training row that climbs as long as the row costs something.

    ``λ_i² ℓ_i``, and after the batch ``λ_i ← λ_i + rate · 2 λ_i ℓ_i``, which is the gradient by λ, up to 100; λ² counts
    relative to its mean over the batch. For data without noise: wrong labels and outliers come to count most. Shapes:
    plain_loss [batch] → [batch]. Limits: rate = 0 is the plain loss.
    """
    weight = multiplier.square()
    mean = weight.mean() if sample_weight is None else weighted_mean(weight, sample_weight)
    return weight / torch.where(mean > 0, mean, 1.0) * plain_loss
