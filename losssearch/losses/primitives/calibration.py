"""Terms for confidence that means what it says. The last two are penalties: they join a loss, and are none alone.

Example:
    Two samples at 0.88 confidence, one of which is right.

    >>> import torch
    >>> import losssearch as ls
    >>> logits, labels = torch.tensor([[2.0, 0.0], [2.0, 0.0]]), torch.tensor([0, 1])
    >>> ls.terms["mmce"].module()(logits, labels)
    tensor(0.1450)
"""

from __future__ import annotations

import torch
from torch import Tensor

from losssearch.losses.domains import Float
from losssearch.losses.labels import expected, of_label
from losssearch.losses.softmax import log_softmax, softmax
from losssearch.losses.term import loss_term
from losssearch.losses.traits import Traits

_BINS = 15
"""Bins of the confidence, as the usual estimate of the calibration error has."""


@loss_term(
    reference="Pereyra et al. 2017, Regularizing neural networks by penalizing confident output distributions",
    soft_labels=True,
    nonnegative=False,
    shift_invariant=True,
    beta=Float(0.0, 1.0, default=0.1),
    traits=Traits(
        argmin="smoothed probabilities",
        problems=("miscalibration",),
        smooth=True,
        bounded=True,
        oracle="torch.distributions.Categorical.entropy",
    ),
)
def confidence_penalty(logits: Tensor, labels: Tensor, *, beta: Tensor) -> Tensor:
    """Cross-entropy less a share of the entropy of the prediction, against unlimited confidence.

    ``-log p_y + β Σ_c p_c log p_c``. Shapes: logits [batch, classes], labels [batch] → [batch]; may be negative.
    Limits: β = 0 is cross-entropy.
    """
    log_p = log_softmax(logits)
    return -expected(of_label(log_p, labels), labels) + beta * (log_p.exp() * log_p).sum(-1)


@loss_term(
    reference="Liu et al. 2022, The devil is in the margin: margin-based label smoothing, eq. 9",
    soft_labels=True,
    shift_invariant=True,
    margin=Float(0.0, 20.0, default=6.0),
    strength=Float(0.0, 1.0, default=0.1),
    traits=Traits(
        argmin="smoothed probabilities",
        problems=("miscalibration",),
        convex=True,
        bounded=True,
        oracle="Liu et al. 2022, eq. 9, in NumPy",
    ),
)
def margin_label_smoothing(logits: Tensor, labels: Tensor, *, margin: Tensor, strength: Tensor) -> Tensor:
    """Cross-entropy with a penalty on scores that are further than a margin below the largest.

    ``-log p_y + λ Σ_c max(0, max_k z_k - z_c - m)``, λ the ``strength``. Label smoothing is such a penalty without a
    margin, so it acts on all. Shapes: logits [batch, classes], labels [batch] → [batch]. Limits: λ = 0 or m → ∞ is
    cross-entropy.
    """
    below = logits.amax(-1, keepdim=True) - logits
    penalty = (below - margin).clamp_min(0).sum(-1)
    return -expected(of_label(log_softmax(logits), labels), labels) + strength * penalty


def confidence_and_hit(logits: Tensor, labels: Tensor, sample_weight: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """The largest probability of each sample, how far it is right (0 or 1), and its share of the batch; all [batch]."""
    confidence = softmax(logits).amax(-1)
    decided = logits.argmax(-1)
    if labels.is_floating_point():
        hit = labels.gather(-1, decided.unsqueeze(-1)).squeeze(-1)
    else:
        hit = (decided == labels).to(logits.dtype)
    weight = torch.ones_like(confidence) if sample_weight is None else sample_weight.to(confidence.dtype)
    total = weight.sum()
    return confidence, hit, weight / torch.where(total > 0, total, 1.0)


@loss_term(
    reference="Karandikar et al. 2021, Soft calibration objectives for neural networks, section 4.1, squared",
    soft_labels=True,
    per_sample=False,
    shift_invariant=True,
    scaled=False,
    temperature=Float(1e-3, 0.1, default=0.01, log=True),
    traits=Traits(
        argmin="agreement",
        problems=("miscalibration",),
        bounded=True,
        oracle="torchmetrics.functional.calibration_error, l2, of confidences at the middle of bins",
    ),
)
def soft_ece(logits: Tensor, labels: Tensor, sample_weight: Tensor | None, *, temperature: Tensor) -> Tensor:
    """The squared calibration error with soft bins: a penalty on confidence that is not the share of right answers.

    ``Σ_b s_b (accuracy_b - confidence_b)²`` over 15 bins, of which a sample of confidence c belongs to bin b by the
    softmax of ``-(c - middle_b)² / T``. Alone it can be made small by a model that knows nothing. Shapes: logits
    [batch, classes], labels [batch] → scalar. Limits: T → 0 is the squared calibration error of 15 bins.
    """
    confidence, hit, share = confidence_and_hit(logits, labels, sample_weight)
    middle = (torch.arange(_BINS, device=logits.device).to(logits.dtype) + 0.5) / _BINS
    member = softmax(-((confidence.unsqueeze(-1) - middle).square()) / temperature)
    gap, size = (share * (hit - confidence)) @ member, share @ member
    return (gap.square() / size.clamp_min(1e-12)).sum()


@loss_term(
    reference="Kumar et al. 2018, Trainable calibration measures from kernel mean embeddings, eq. 5, squared",
    soft_labels=True,
    per_sample=False,
    shift_invariant=True,
    scaled=False,
    width=Float(0.05, 2.0, default=0.4, log=True),
    traits=Traits(
        argmin="agreement",
        problems=("miscalibration",),
        bounded=True,
        oracle="sklearn.metrics.pairwise.laplacian_kernel",
    ),
)
def mmce(logits: Tensor, labels: Tensor, sample_weight: Tensor | None, *, width: Tensor) -> Tensor:
    """The squared maximum mean calibration error: as `soft_ece`, with a kernel in place of bins.

    ``Σ_ij s_i s_j (hit_i - c_i) (hit_j - c_j) exp(-|c_i - c_j| / width)`` of confidences c and shares s of the batch.
    [batch, batch] numbers, so it is for mini-batches. Shapes: logits [batch, classes], labels [batch] → scalar.
    Limits: width → ∞ is the squared difference of accuracy and mean confidence.
    """
    confidence, hit, share = confidence_and_hit(logits, labels, sample_weight)
    gap = share * (hit - confidence)
    kernel = torch.exp(-(confidence.unsqueeze(1) - confidence.unsqueeze(0)).abs() / width)
    return torch.einsum("i,ij,j->", gap, kernel, gap)
