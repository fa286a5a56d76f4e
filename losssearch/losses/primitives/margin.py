"""Terms that ask for a margin between the label's score and every other class's.

They sum over the wrong classes (Weston and Watkins) instead of taking only the worst one. For two classes both are
the same; for more, the sum gives every violating class a gradient and trained better in Doğan et al. 2016.

Example:
    >>> import torch
    >>> import losssearch as ls
    >>> ls.terms["hinge"].module(reduction="none")(torch.tensor([[2.0, 0.0], [0.0, 0.5]]), torch.tensor([0, 0]))
    tensor([0.0000, 1.5000])
"""

from __future__ import annotations

import torch
from torch import Tensor

from losssearch.losses.labels import each_label, expected
from losssearch.losses.term import loss_term
from losssearch.losses.traits import Traits


def _violations(logits: Tensor, labels: Tensor) -> Tensor:
    """How far each wrong class is inside the unit margin, [..., classes]; 0 for the label's own."""
    is_label = labels.unsqueeze(-1) == torch.arange(logits.shape[-1], device=logits.device)
    gap = logits.gather(-1, labels.unsqueeze(-1)) - logits
    return (1 - gap).clamp_min(0).masked_fill(is_label, 0)


@loss_term(
    reference="Weston and Watkins 1999; Doğan et al. 2016",
    soft_labels=True,
    shift_invariant=True,
    traits=Traits(
        argmin="sharpened probabilities",
        convex=True,
        bounded=True,
        oracle="torch.nn.functional.multi_margin_loss; sklearn.metrics.hinge_loss",
    ),
)
def hinge(logits: Tensor, labels: Tensor) -> Tensor:
    """Linear in the missing margin; zero for samples beyond the margin.

    ``Σ_{c≠y} max(0, 1 - z_y + z_c)``. Shapes: logits [batch, classes], labels [batch] → [batch].
    For a binary logit z, shown as (-z/2, z/2), this is ``max(0, 1 ∓ z)``.
    """
    return expected(_violations(*each_label(logits, labels)).sum(-1), labels)


@loss_term(
    reference="Weston and Watkins 1999; Doğan et al. 2016",
    soft_labels=True,
    shift_invariant=True,
    traits=Traits(
        argmin="smoothed probabilities", convex=True, smooth=True, oracle="torch.nn.functional.multi_margin_loss, p=2"
    ),
)
def squared_hinge(logits: Tensor, labels: Tensor) -> Tensor:
    """Quadratic in the missing margin: smooth, and larger than `hinge` for large errors.

    ``Σ_{c≠y} max(0, 1 - z_y + z_c)²``. Shapes: logits [batch, classes], labels [batch] → [batch].
    """
    return expected(_violations(*each_label(logits, labels)).square().sum(-1), labels)
