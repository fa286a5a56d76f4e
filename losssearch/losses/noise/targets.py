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
from losssearch.losses.labels import class_shares, expected, of_label
from losssearch.losses.softmax import log_softmax
from losssearch.losses.state import Dimensions, State
from losssearch.losses.term import loss_term
from losssearch.losses.traits import Traits

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


def kept_target(kept: Tensor, shares: Tensor) -> Tensor:
    """The targets of `early_learning` as shares of classes; not a number for a row that was never seen."""
    return kept / kept.sum(-1, keepdim=True)


@loss_term(
    reference="Liu et al. 2020, Early-learning regularization, eq. 6 and 9",
    soft_labels=True,
    nonnegative=False,
    shift_invariant=True,
    kept=State(_per_class, moved_by="row update", update=next_early_learning, tells={"target": kept_target}),
    strength=Float(0.0, 30.0, default=3.0),
    beta=_MEMORY,
    traits=Traits(problems=("label-noise",), oracle="Liu et al. 2020, the authors' code, in NumPy"),
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


def next_self_correction(
    logits: Tensor, labels: Tensor, progress: Tensor, *, moved: Tensor, alpha: Tensor, begin: Tensor
) -> Tensor:
    """How far the targets of `self_correction` are from the labels after a batch."""
    shares = class_shares(labels, logits)
    after = moved_target(moved + shares, log_softmax(logits).exp(), alpha) - shares
    return torch.where(progress >= begin, after, moved)


def corrected_target(moved: Tensor, shares: Tensor) -> Tensor:
    """The targets of `self_correction`."""
    return moved + shares


@loss_term(
    reference="Lu and He 2022, SELC: Self-ensemble label correction, eq. 4 and 5",
    soft_labels=True,
    shift_invariant=True,
    moved=State(_per_class, moved_by="row update", update=next_self_correction, tells={"target": corrected_target}),
    alpha=Float(0.0, 0.999, default=0.9),
    begin=Float(0.0, 1.0, default=0.1),
    traits=Traits(problems=("label-noise",), oracle="Lu and He 2022 in NumPy"),
)
def self_correction(
    logits: Tensor, labels: Tensor, progress: Tensor, *, moved: Tensor, alpha: Tensor, begin: Tensor
) -> Tensor:
    """Cross-entropy with a target that starts as the label and moves toward what the model predicts for the row.

    ``-sum_c t_c log p_c`` with the row's target ``t ← α t + (1 - α) p`` once ``progress ≥ begin``, p kept within
    [1e-4, 1 - 1e-4]. Shapes: logits [batch, classes], labels [batch], progress scalar → [batch]. Limits: before
    ``begin`` it is cross-entropy.
    """
    log_p, shares = log_softmax(logits), class_shares(labels, logits)
    after = moved_target(moved + shares, log_p.exp(), alpha)
    return -(torch.where(progress >= begin, after, moved + shares) * log_p).sum(-1)


def next_temporal_ensembling(logits: Tensor, labels: Tensor, *, kept: Tensor, strength: Tensor, beta: Tensor) -> Tensor:
    """The predictions that `temporal_ensembling` keeps, and the share of them that is not the start, after a batch."""
    p = log_softmax(logits).exp()
    return beta * kept + (1 - beta) * torch.cat((p, torch.ones_like(p[:, :1])), -1)


def mean_prediction(kept: Tensor, shares: Tensor) -> Tensor:
    """The means of earlier predictions of `temporal_ensembling`; not a number for a row that was never seen."""
    return kept[..., :-1] / kept[..., -1:]


def _per_class_and_one(sizes: Dimensions) -> tuple[int]:
    return (sizes.classes + 1,)


@loss_term(
    reference="Laine and Aila 2017, Temporal ensembling, algorithm 2, of all rows",
    soft_labels=True,
    shift_invariant=True,
    kept=State(
        _per_class_and_one, moved_by="row update", update=next_temporal_ensembling, tells={"target": mean_prediction}
    ),
    strength=Float(0.0, 100.0, default=5.0),
    beta=Float(0.0, 0.999, default=0.6),
    traits=Traits(problems=("label-noise",), oracle="torch.nn.functional.cross_entropy"),
)
def temporal_ensembling(logits: Tensor, labels: Tensor, *, kept: Tensor, strength: Tensor, beta: Tensor) -> Tensor:
    """Cross-entropy plus the distance from the mean of what the model predicted for the row in earlier epochs.

    ``-log p_y + λ sum_c (p_c - z_c)²`` with the row's mean ``Z ← β Z + (1 - β) p`` of earlier batches, from 0, and
    ``z = Z / (1 - β^n)`` after n of them; a row that is seen for the first time has no distance. λ is ``strength``.
    Shapes: logits [batch, classes], labels [batch] → [batch]. Limits: λ = 0 is cross-entropy.
    """
    log_p = log_softmax(logits)
    seen = kept[:, -1:]
    mean = kept[:, :-1] / torch.where(seen > 0, seen, 1.0)
    apart = torch.where(seen > 0, log_p.exp() - mean, 0.0).square().sum(-1)
    return -expected(of_label(log_p, labels), labels) + strength * apart
