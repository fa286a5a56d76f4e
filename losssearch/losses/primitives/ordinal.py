"""Terms on grades, classes in an order: being off by two grades is worse than by one.

``cut_logits`` say of each grade but the last whether a row goes beyond it, given that it comes so far; ``logits`` are
class scores, whose order is that of the grades.

Example:
    >>> import torch
    >>> import losssearch as ls
    >>> logits = torch.tensor([[4.0, 0.0, 0.0], [4.0, 0.0, 0.0]])
    >>> ls.terms["squared_emd"].module(reduction="none")(logits, torch.tensor([1, 2]))
    tensor([0.9314, 1.8959])
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from losssearch.losses.softmax import softmax
from losssearch.losses.term import loss_term
from losssearch.losses.traits import Traits

_LEAST_EXPECTED = 1e-8
"""Below this much disagreement by chance, there is nothing that an agreement could be measured against."""


@loss_term(
    reference="Shi et al. 2023, Deep neural networks for rank-consistent ordinal regression, eq. 5",
    traits=Traits(convex=True, smooth=True, bounded=True, probabilistic=True, oracle="coral_pytorch.losses.corn_loss"),
)
def corn(cut_logits: Tensor, grade: Tensor) -> Tensor:
    """Whether a row goes beyond each grade, asked of those rows alone that come so far.

    ``-Σ_{k <= y} log σ(± o_k)``: minus for k = y, where the row stops, and plus before. Shapes: cut_logits [batch,
    grades - 1], grade [batch] from 0, int64 → [batch]. Limits: with two grades it is binary cross-entropy.
    """
    cuts = torch.arange(cut_logits.shape[-1], device=cut_logits.device)
    own = grade.unsqueeze(-1)
    sign = torch.where(own > cuts, -1.0, 1.0).to(cut_logits.dtype)
    return torch.where(own >= cuts, F.softplus(sign * cut_logits), 0.0).sum(-1)


@loss_term(
    reference="Hou et al. 2016, Squared earth mover's distance-based loss for training deep neural networks, eq. 5",
    shift_invariant=True,
    traits=Traits(
        argmin="probabilities", smooth=True, bounded=True, probabilistic=True, oracle="scipy.stats.rv_discrete.cdf"
    ),
)
def squared_emd(logits: Tensor, labels: Tensor) -> Tensor:
    """The squared distance between the cumulative shares of grades: probability far from the label costs more.

    ``Σ_k (F_k - 1[y <= k])²``, where F_k is the probability of grade k or a lower one. Shapes: logits [batch, grades],
    labels [batch] → [batch]. Limits: with two grades it is half of `brier`.
    """
    grades = torch.arange(logits.shape[-1], device=logits.device)
    reached = (labels.unsqueeze(-1) <= grades).to(logits.dtype)
    return (softmax(logits).cumsum(-1) - reached).square().sum(-1)


@loss_term(
    reference="de la Torre et al. 2018, Weighted kappa loss function for multi-class classification of ordinal data",
    per_sample=False,
    shift_invariant=True,
    traits=Traits(argmin="separation", smooth=True, bounded=True, oracle="sklearn.metrics.cohen_kappa_score"),
)
def soft_kappa(logits: Tensor, labels: Tensor, sample_weight: Tensor | None) -> Tensor:
    """One minus the quadratic kappa of a batch, with probabilities in place of decided grades.

    ``Σ_i Σ_j (y_i - j)² p_ij / Σ_k Σ_j (k - j)² n_k p_j``, where n_k is the share of label k in the batch and p_j the
    sum of the probabilities of grade j. Shapes: logits [batch, grades], labels [batch] → scalar. Limits: of
    probabilities 0 and 1 it is one minus the quadratic kappa.
    """
    grades = torch.arange(logits.shape[-1], device=logits.device)
    cost = (grades.unsqueeze(1) - grades).square().to(logits.dtype)
    share, truth = softmax(logits), (labels.unsqueeze(-1) == grades).to(logits.dtype)
    if sample_weight is None:
        weight = torch.full_like(share[:, :1], 1 / share.shape[0])
    else:
        weight = (sample_weight / sample_weight.sum().clamp_min(torch.finfo(logits.dtype).tiny)).unsqueeze(-1)
    found = (weight * (truth @ cost) * share).sum()
    chance = (weight * truth).sum(0) @ cost @ (weight * share).sum(0)
    return found / chance.clamp_min(_LEAST_EXPECTED)
