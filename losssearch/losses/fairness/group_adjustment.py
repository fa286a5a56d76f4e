"""Cross-entropy that adjusts for how often each label occurs in each group."""

from __future__ import annotations

import torch
from torch import Tensor

from losssearch.losses.domains import Float
from losssearch.losses.fairness.reweighing import label_counts
from losssearch.losses.labels import expected, of_label
from losssearch.losses.softmax import log_softmax
from losssearch.losses.state import Dimensions, State
from losssearch.losses.term import loss_term
from losssearch.losses.traits import Traits

_OVERALL = 1e-3
"""Weight of a label's share among all rows in its share within a group, so that a cell without rows has some."""


def _rows(sizes: Dimensions) -> tuple[int, int]:
    return sizes.classes, sizes.groups


def label_shares(counts: Tensor, group: Tensor) -> Tensor:
    """Share ``[batch, classes]`` of each label in the group of each sample, by ``counts`` ``[classes, groups]``.

    Mixed with `_OVERALL` of its share among all; that alone for a sample of no group, or of one without rows.
    """
    counts, group = counts.clamp_min(0), group.clamp_min(0)  # an attribute that is a number may be below zero
    overall = (counts.sum(-1) / counts.sum().clamp_min(1e-6)).clamp_min(1e-6)
    size = counts.sum(0)
    within = torch.where(size > 0, counts / torch.where(size > 0, size, 1.0), overall.unsqueeze(-1))
    belongs = group.sum(-1, keepdim=True)
    mixed = group @ within.T / torch.where(belongs > 0, belongs, 1.0)
    return (1 - _OVERALL) * torch.where(belongs > 0, mixed, overall) + _OVERALL * overall


def next_group_logit_adjustment(
    logits: Tensor, labels: Tensor, group: Tensor, *, memory: Tensor, tau: Tensor
) -> Tensor:
    """The memory of `group_logit_adjustment` after a batch."""
    return label_counts(labels, group, memory).detach()


@loss_term(
    reference="Menon et al. 2021, eq. 10, with the label's share within the group as prior",
    soft_labels=True,
    shift_invariant=True,
    memory=State(_rows, moved_by="update", update=next_group_logit_adjustment, restarts=True),
    weighs_group=True,
    tau=Float(0.0, 3.0, default=1.0),
    traits=Traits(oracle="torch.nn.functional.cross_entropy of shifted logits"),
)
def group_logit_adjustment(logits: Tensor, labels: Tensor, group: Tensor, *, memory: Tensor, tau: Tensor) -> Tensor:
    """Cross-entropy of logits shifted by how usual each label is in the sample's group.

    A model need not learn what the group says of the label, so it is right on unusual pairs of the two as well.
    Cross-entropy on ``z_c + τ log π(c | g)``; the shares π are counted over all training batches so far, 0.1 % of
    them the label's share among all rows. Shapes: logits [batch, classes], labels [batch], group [batch, groups] →
    [batch]. Limits: τ = 0 is cross-entropy; with one group it is `logit_adjustment`.
    """
    shares = label_shares(label_counts(labels, group, memory), group)
    log_p = log_softmax(logits + tau * shares.log())
    return expected(-of_label(log_p, labels), labels)
