"""A term: a margin loss with a margin that may be tuned."""

import torch
from torch import Tensor

import losssearch as ls


@ls.loss_term(reference="made up for a test", margin=ls.Float(0.5, 2.0, default=1.0))
def own_margin(logit: Tensor, labels: Tensor, *, margin: Tensor) -> Tensor:
    """Squared distance to a margin; one value per sample."""
    signed = torch.where(labels > 0, logit, -logit)
    return torch.relu(margin - signed).square()
