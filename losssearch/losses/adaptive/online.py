"""Terms for classes of unequal size that count, while they train, what each class has shown so far.

Example:
    >>> import torch
    >>> import losssearch as ls
    >>> loss = ls.compose({"parts": [{"term": "recall_weighted", "decay": 0.0}]}, classes=2)
    >>> logits, labels = torch.tensor([[2.0, 0.0], [1.0, 0.0]]), torch.tensor([0, 1])
    >>> loss(logits, labels)  # nothing is known yet: cross-entropy
    tensor(0.7201)
    >>> loss(logits, labels)  # class 0 is recalled, class 1 is not
    tensor(0.6566)
"""

from __future__ import annotations

import torch
from torch import Tensor

from losssearch.losses.domains import Float
from losssearch.losses.labels import class_shares
from losssearch.losses.softmax import log_softmax
from losssearch.losses.state import Dimensions, State
from losssearch.losses.term import loss_term
from losssearch.losses.traits import Traits

_LEAST_SCORE = -4.605170185988091
"""The logarithm of 1 %: below it, the score of the label no longer makes others count more, as in the authors' code."""


def _per_class(sizes: Dimensions) -> tuple[int]:
    return (sizes.classes,)


def counted_shares(logits: Tensor, labels: Tensor, sample_weight: Tensor | None) -> Tensor:
    """One-hot labels [batch, classes], each as often as its weight says."""
    own = class_shares(labels, logits)
    return own if sample_weight is None else own * sample_weight.unsqueeze(-1)


def next_hits(
    logits: Tensor, labels: Tensor, sample_weight: Tensor | None, *, decay: Tensor, hits: Tensor, seen: Tensor
) -> Tensor:
    """How many samples of each class were decided right, in a window that decays."""
    decided = class_shares(logits.argmax(-1), logits)
    return decay * hits + (counted_shares(logits, labels, sample_weight) * decided).sum(-2)


def next_seen(
    logits: Tensor, labels: Tensor, sample_weight: Tensor | None, *, decay: Tensor, hits: Tensor, seen: Tensor
) -> Tensor:
    """How many samples there were of each class, in the same window."""
    return decay * seen + counted_shares(logits, labels, sample_weight).sum(-2)


@loss_term(
    reference="Tian et al. 2022, Striking the right balance: recall loss, eq. 6",
    shift_invariant=True,
    decay=Float(0.0, 0.999, default=0.9),
    hits=State(_per_class, 0.0, "update", next_hits, restarts=True),
    seen=State(_per_class, 0.0, "update", next_seen, restarts=True),
    traits=Traits(problems=("imbalance",), oracle="torch.nn.functional.cross_entropy"),
)
def recall_weighted(
    logits: Tensor, labels: Tensor, sample_weight: Tensor | None, *, decay: Tensor, hits: Tensor, seen: Tensor
) -> Tensor:
    """Cross-entropy in which classes that are recognised already count less.

    ``-(1 - recall_y) log p_y``, with the recall of each class over the batches so far, of which each counts ``decay``
    times the next. Shapes: logits [batch, classes], labels [batch] → [batch]. Limits: while no sample is decided right
    it is cross-entropy.
    """
    own = class_shares(labels, logits)
    recall = (hits / seen.clamp_min(1e-6)).clamp_max(1.0)
    return -(own * (1 - recall) * log_softmax(logits)).sum(-1)


def next_counts(
    logits: Tensor, labels: Tensor, sample_weight: Tensor | None, *, p: Tensor, q: Tensor, counts: Tensor
) -> Tensor:
    """How many samples of each class there were so far."""
    return counts + counted_shares(logits, labels, sample_weight).sum(-2)


@loss_term(
    reference="Wang et al. 2021, Seesaw loss, eq. 3 to 7",
    shift_invariant=True,
    p=Float(0.0, 2.0, default=0.8),
    q=Float(0.0, 4.0, default=2.0),
    counts=State(_per_class, 0.0, "update", next_counts, restarts=True),
    traits=Traits(problems=("imbalance",), oracle="Wang et al. 2021, the authors' code, in loops"),
)
def seesaw(
    logits: Tensor, labels: Tensor, sample_weight: Tensor | None, *, p: Tensor, q: Tensor, counts: Tensor
) -> Tensor:
    """Cross-entropy that punishes rare classes less for the samples of frequent ones, unless they win.

    ``log(1 + Σ_j S_yj exp(z_j - z_y))`` with ``S_yj = min(1, n_j / n_y)^p · max(1, σ_j / σ_y)^q``: n counts the
    samples so far, this batch included; σ is the softmax, through which nothing is differentiated here. Shapes:
    logits [batch, classes], labels [batch] → [batch]. Limits: p = q = 0 is cross-entropy.
    """
    own = class_shares(labels, logits)
    so_far = counts + counted_shares(logits, labels, sample_weight).sum(-2)
    counted = torch.log(so_far.clamp_min(1.0))
    mitigated = p * (counted - (own * counted).sum(-1, keepdim=True)).clamp_max(0.0)
    scores = log_softmax(logits.detach())
    of_label = (own * scores).sum(-1, keepdim=True).clamp_min(_LEAST_SCORE)
    compensated = q * (scores - of_label).clamp_min(0.0)
    return -(own * log_softmax(logits + (mitigated + compensated) * (1 - own))).sum(-1)
