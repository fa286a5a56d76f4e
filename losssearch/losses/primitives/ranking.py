"""Terms on the order of the samples in a batch: surrogates of ROC AUC and average precision.

They return one value per batch, and 0 for a batch without positives or negatives. Those over pairs need
[batch, batch] numbers, so they are for mini-batches.

Example:
    >>> import torch
    >>> import losssearch as ls
    >>> ls.terms["pairwise_auc"].module()(torch.tensor([2.0, 0.0, -1.0]), torch.tensor([1, 0, 0]))
    tensor(0.0878)
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from losssearch.losses.domains import Choice, Float
from losssearch.losses.softmax import softmax
from losssearch.losses.term import loss_term
from losssearch.losses.traits import Traits


@loss_term(
    reference="Yan et al. 2003; Gao and Zhou 2015",
    per_sample=False,
    surrogate=Choice("logistic", "squared_hinge", default="logistic"),
    traits=Traits(
        argmin="separation",
        problems=("imbalance",),
        convex=True,
        smooth=True,
        bounded=True,
        oracle="Yan et al. 2003 over all pairs in NumPy",
    ),
)
def pairwise_auc(logit: Tensor, labels: Tensor, sample_weight: Tensor | None, *, surrogate: str) -> Tensor:
    """Every positive should score above every negative: a surrogate of one minus ROC AUC.

    Mean of ``φ(z_i - z_j)`` over pairs of a positive i and a negative j, with ``φ(d) = log(1 + e^-d)`` or
    ``max(0, 1 - d)²``. Shapes: logit [batch], labels [batch] in {0, 1} → scalar.
    """
    gap = logit.unsqueeze(1) - logit.unsqueeze(0)
    cost = -F.logsigmoid(gap) if surrogate == "logistic" else (1 - gap).clamp_min(0).square()
    positive = labels.to(logit.dtype)
    negative = 1 - positive
    if sample_weight is not None:
        positive, negative = positive * sample_weight, negative * sample_weight
    tiny = torch.finfo(logit.dtype).tiny
    pairs = positive.sum() * negative.sum()
    return torch.einsum("i,ij,j->", positive, cost, negative) / pairs.clamp_min(tiny)


@loss_term(
    reference="Ying et al. 2016; one against the rest",
    per_sample=False,
    shift_invariant=True,
    traits=Traits(
        argmin="separation",
        problems=("imbalance",),
        smooth=True,
        bounded=True,
        oracle="Ying et al. 2016 over all pairs in NumPy",
    ),
)
def one_vs_rest_auc(logits: Tensor, labels: Tensor, sample_weight: Tensor | None) -> Tensor:
    """Each class's samples should have more of its probability than all others: macro AUC, squared.

    Mean over classes of the mean of ``(1 - (p_i - p_j))²`` over pairs of a sample i of the class and a
    sample j of another, computed without the pairs. Shapes: logits [batch, classes], labels [batch]
    → scalar. Classes that are missing from the batch are ignored.
    """
    p = softmax(logits)
    inside = (labels.unsqueeze(-1) == torch.arange(logits.shape[-1], device=logits.device)).to(logits.dtype)
    outside = 1 - inside
    if sample_weight is not None:
        inside, outside = inside * sample_weight.unsqueeze(-1), outside * sample_weight.unsqueeze(-1)
    tiny = torch.finfo(logits.dtype).tiny
    inside_count, outside_count = inside.sum(0), outside.sum(0)
    inside_mean = (p * inside).sum(0) / inside_count.clamp_min(tiny)
    outside_mean = (p * outside).sum(0) / outside_count.clamp_min(tiny)
    inside_variance = ((p - inside_mean).square() * inside).sum(0) / inside_count.clamp_min(tiny)
    outside_variance = ((p - outside_mean).square() * outside).sum(0) / outside_count.clamp_min(tiny)
    cost = inside_variance + outside_variance + (1 - inside_mean + outside_mean).square()
    counted = (inside_count > 0) & (outside_count > 0)
    return torch.where(counted, cost, 0.0).sum() / counted.sum().clamp_min(1)


@loss_term(
    reference="Brown et al. 2020, Smooth-AP",
    per_sample=False,
    temperature=Float(0.05, 5.0, default=1.0, log=True),
    traits=Traits(
        argmin="separation",
        problems=("imbalance",),
        smooth=True,
        bounded=True,
        oracle="sklearn.metrics.average_precision_score of saturated outputs",
    ),
)
def smooth_average_precision(
    logit: Tensor, labels: Tensor, sample_weight: Tensor | None, *, temperature: Tensor
) -> Tensor:
    """Positives should be ranked at the top: one minus average precision with soft ranks.

    The rank of a sample is ``1 + Σ_j σ((z_j - z_i) / T)``, among positives and among all; average
    precision is the mean of their ratio over positives. Shapes: logit [batch], labels [batch] in {0, 1}
    → scalar. Limits: T → 0 is one minus average precision.
    """
    above = torch.sigmoid((logit.unsqueeze(0) - logit.unsqueeze(1)) / temperature)
    positive = labels.to(logit.dtype)
    # a sample's own entry is σ(0) = 1/2, so 1 + the sum over the others is 1/2 + the whole sum
    size: Tensor | int = positive.shape[0]
    ranks = above.sum(1) if sample_weight is None else above @ sample_weight
    if sample_weight is not None:
        positive, size = positive * sample_weight, sample_weight.sum()
    precision = (0.5 + above @ positive) / (0.5 + ranks)
    count = positive.sum()
    mixed = (count > 0) & (count < size)
    return torch.where(mixed, 1 - (precision * positive).sum() / count.clamp_min(torch.finfo(count.dtype).tiny), 0.0)
