"""Weights that make group and label independent in the training data."""

from __future__ import annotations

import torch
from torch import Tensor

from losssearch.losses.domains import Float
from losssearch.losses.labels import class_shares, expected, of_label
from losssearch.losses.softmax import log_softmax
from losssearch.losses.state import Dimensions, State
from losssearch.losses.term import loss_term
from losssearch.losses.traits import Traits


def label_counts(labels: Tensor, group: Tensor, memory: Tensor) -> Tensor:
    """Rows ``[classes, groups]`` of each label and group that were seen up to this batch."""
    return memory + class_shares(labels, memory.T).to(group.dtype).T @ group


def _rows(sizes: Dimensions) -> tuple[int, int]:
    return sizes.classes, sizes.groups


def next_reweighed_cross_entropy(
    logits: Tensor, labels: Tensor, group: Tensor, *, memory: Tensor, power: Tensor
) -> Tensor:
    """The memory of `reweighed_cross_entropy` after a batch."""
    return label_counts(labels, group, memory).detach()


@loss_term(
    reference="Kamiran and Calders 2012, section 4.2",
    soft_labels=True,
    shift_invariant=True,
    memory=State(_rows, moved_by="update", update=next_reweighed_cross_entropy, restarts=True),
    weighs_group=True,
    power=Float(0.0, 2.0, default=1.0),
    traits=Traits(oracle="Kamiran and Calders 2012 in NumPy"),
)
def reweighed_cross_entropy(logits: Tensor, labels: Tensor, group: Tensor, *, memory: Tensor, power: Tensor) -> Tensor:
    """Cross-entropy with weights under which group and label would be independent.

    ``-w log p_y`` with ``w = (P(g) P(y) / P(g, y))^power``, the shares counted over all batches so far. Shapes: logits
    [batch, classes], labels [batch], group [batch, groups] → [batch]. Limits: power = 0 is cross-entropy.
    """
    counts = label_counts(labels, group, memory)
    independent = counts.sum(0) * counts.sum(1, keepdim=True) / counts.sum().clamp_min(1e-6)
    held = (counts > 0) & (independent > 0)
    ratio = torch.where(held, independent / torch.where(held, counts, 1.0), 1.0)
    of_class = group @ (power * ratio.log()).exp().T / group.sum(-1, keepdim=True).clamp_min(1e-6)
    return expected(-of_label(of_class, labels) * of_label(log_softmax(logits), labels), labels)
