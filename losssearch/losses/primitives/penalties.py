"""Penalties on what a model puts out, whatever the target is: they join a loss, and are none alone.

Example:
    >>> import torch
    >>> import losssearch as ls
    >>> ls.compose({"parts": [{"term": "cross_entropy"}, {"term": "entropy", "weight": 0.1}]}).spec.formula()
    '0.909·cross_entropy(smoothing=0) + 0.0909·entropy'
"""

from __future__ import annotations

import torch
from torch import Tensor

from losssearch.losses.softmax import log_softmax
from losssearch.losses.term import loss_term
from losssearch.losses.traits import Traits


@loss_term(
    reference="Grandvalet and Bengio 2005, Semi-supervised learning by entropy minimization",
    scaled=False,
    shift_invariant=True,
    traits=Traits(argmin="certainty", smooth=True, bounded=True, oracle="scipy.stats.entropy"),
)
def entropy(logits: Tensor) -> Tensor:
    """The entropy of the prediction: a penalty on indecision, whatever the label is.

    ``-Σ_c p_c log p_c``, between 0 and log C. `confidence_penalty` is cross-entropy with the opposite sign of it.
    Shapes: logits [batch, classes] → [batch].
    """
    log_p = log_softmax(logits)
    return -(log_p.exp() * log_p).sum(-1)


@loss_term(
    reference="Cogswell et al. 2016, Reducing overfitting in deep networks by decorrelating representations, eq. 2",
    per_sample=False,
    scaled=False,
    traits=Traits(argmin="independence", convex=True, smooth=True, oracle="numpy.cov"),
)
def decorrelation(scores: Tensor, sample_weight: Tensor | None) -> Tensor:
    """A penalty on columns of the output that vary together over the batch (DeCov, of what the model puts out).

    Half the sum of the squared covariances of each two different columns. Shapes: scores [batch, columns] → scalar; 0
    where there is one column.
    """
    weight = torch.ones_like(scores[:, 0]) if sample_weight is None else sample_weight.to(scores.dtype)
    total = weight.sum()
    share = (weight / torch.where(total > 0, total, 1.0)).unsqueeze(-1)
    apart = scores - (share * scores).sum(0)
    covariance = (share * apart).mT @ apart
    return (covariance - torch.diag_embed(covariance.diagonal())).square().sum() / 2
