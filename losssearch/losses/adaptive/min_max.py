"""Terms with variables that climb the loss while the model descends it.

Example:
    >>> import torch
    >>> import losssearch as ls
    >>> loss = ls.compose({"parts": [{"term": "auc_margin"}]}, class_prior=torch.tensor([0.5, 0.5]))
    >>> sorted(loss.learned)
    ['0_level', '0_negative', '0_positive']
    >>> round(loss(torch.tensor([0.0, 0.0]), torch.tensor([0, 1])).item(), 4)
    0.125
"""

from __future__ import annotations

import torch
from torch import Tensor

from losssearch.losses.domains import Float
from losssearch.losses.labels import positive_share
from losssearch.losses.state import State
from losssearch.losses.term import loss_term
from losssearch.losses.traits import Traits


@loss_term(
    reference="Yuan et al. 2021, Large-scale robust deep AUC maximization, eq. 5",
    nonnegative=False,
    margin=Float(0.1, 1.0, default=1.0),
    positive=State((), 1.0, "loss"),
    negative=State((), 0.0, "loss"),
    level=State((), 0.0, "ascent"),
    traits=Traits(problems=("imbalance",), oracle="libauc.losses.AUCMLoss 1.4, version 1, in NumPy"),
)
def auc_margin(
    logit: Tensor,
    labels: Tensor,
    class_prior: Tensor,
    *,
    margin: Tensor,
    positive: Tensor,
    negative: Tensor,
    level: Tensor,
) -> Tensor:
    """The squared distance of the mean scores of two classes to a margin, as a min-max problem of single samples.

    With h = σ(z), the share π of class 1 and the variables a (``positive``), b (``negative``), which descend, and α
    (``level``), which climbs and counts as 0 below 0:
    ``(1-π)(h-a)²[y=1] + π(h-b)²[y=0] + 2α(π(1-π)m + πh[y=0] - (1-π)h[y=1]) - π(1-π)α²``. The best α is the margin less
    the difference of the mean scores, if it is not met. Shapes: logit [batch], labels [batch], class_prior [2] →
    [batch]; may be negative.
    """
    share, own, h = class_prior[1].to(logit.dtype), positive_share(labels, logit), torch.sigmoid(logit)
    both = share * (1 - share)
    # Below 0 it has the value of 0 and its own slope, so that it finds back: the best one there is the same.
    below = level.clamp_max(0.0)
    alpha = level - below.detach()
    pull = both * (below.square() - below.square().detach())
    gap = both * margin + share * h * (1 - own) - (1 - share) * h * own
    spread = (1 - share) * (h - positive).square() * own + share * (h - negative).square() * (1 - own)
    return spread + 2 * alpha * gap - both * alpha.square() - pull
