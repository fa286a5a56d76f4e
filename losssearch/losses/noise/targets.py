"""Targets made of what the model has predicted for a row so far, kept for each training row.

A model learns what most rows agree on before it memorises wrong labels, so its early predictions of a row tell more
than a wrong label does.

Example:
    The loss is told how many training rows there are and which of them are in a batch.

    >>> import torch
    >>> import losssearch as ls
    >>> loss = ls.compose({"parts": [{"term": "early_learning"}]}, rows=3)
    >>> logits, labels = torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 0])
    >>> first = loss(logits, labels, index=torch.tensor([2, 0]))
    >>> loss.kept_0
    tensor([[0.0807, 0.2193],
            [0.0000, 0.0000],
            [0.2642, 0.0358]])
"""

from __future__ import annotations

import torch
from torch import Tensor

from losssearch.losses.domains import Float
from losssearch.losses.labels import expected, of_label
from losssearch.losses.softmax import log_softmax
from losssearch.losses.state import Dimensions, State
from losssearch.losses.term import loss_term

_LEAST = 1e-4
"""Probabilities are kept this far from 0 and 1, as in the authors' code."""

_MEMORY = Float(0.0, 0.999, default=0.7)
"""The share of a kept target that stays."""


def _per_class(sizes: Dimensions) -> tuple[int]:
    return (sizes.classes,)


def inner(probabilities: Tensor) -> Tensor:
    """Probabilities away from 0 and 1."""
    return probabilities.clamp_min(_LEAST).clamp_max(1 - _LEAST)  # `clamp` of both cannot be recorded


def moved_target(kept: Tensor, probabilities: Tensor, beta: Tensor) -> Tensor:
    """Kept targets after the predictions of a batch, all [batch, classes]; nothing is differentiated through them."""
    seen = inner(probabilities.detach())
    return beta * kept + (1 - beta) * seen / seen.sum(-1, keepdim=True)


def next_early_learning(logits: Tensor, labels: Tensor, *, kept: Tensor, strength: Tensor, beta: Tensor) -> Tensor:
    """The targets of `early_learning` after a batch."""
    return moved_target(kept, log_softmax(logits).exp(), beta)


@loss_term(
    reference="Liu et al. 2020, Early-learning regularization, eq. 6 and 9",
    soft_labels=True,
    nonnegative=False,
    shift_invariant=True,
    kept=State(_per_class, moved_by="row update", update=next_early_learning),
    strength=Float(0.0, 30.0, default=3.0),
    beta=_MEMORY,
)
def early_learning(logits: Tensor, labels: Tensor, *, kept: Tensor, strength: Tensor, beta: Tensor) -> Tensor:
    """Cross-entropy plus a pull toward what the model predicted for the row before, against memorising wrong labels.

    ``-log p_y + λ log(1 - ⟨t, p⟩)`` with the row's target ``t ← β t + (1 - β) p``, from 0, p kept within [1e-4,
    1 - 1e-4]. λ is ``strength``. Shapes: logits [batch, classes], labels [batch] → [batch]; may be negative.
    Limits: λ = 0 is cross-entropy.
    """
    log_p = log_softmax(logits)
    p = log_p.exp()
    target = moved_target(kept, p, beta)
    return -expected(of_label(log_p, labels), labels) + strength * torch.log1p(-(target * inner(p)).sum(-1))
