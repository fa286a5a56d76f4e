"""Cross-entropy that learns, from rows that the model does not train on, how its classes are to be treated.

Example:
    In a loop of your own the learned values stay as a search has found them: they are buffers.

    >>> import losssearch as ls
    >>> loss = ls.compose({"parts": [{"term": "auto_balance"}]}, classes=3)
    >>> [name for name, _ in loss.named_buffers() if name != "class_prior"], list(loss.parameters())
    (['shift_0', 'stretch_0'], [])
"""

from __future__ import annotations

import torch
from torch import Tensor

from losssearch.losses.labels import expected, of_label
from losssearch.losses.softmax import log_softmax
from losssearch.losses.state import Dimensions, State
from losssearch.losses.term import loss_term
from losssearch.losses.traits import Traits


def _classes(sizes: Dimensions) -> tuple[int, ...]:
    return (sizes.classes,)


@loss_term(
    reference="Li et al. 2021, AutoBalance, eq. 4, without its weights",
    soft_labels=True,
    shift=State(_classes, 0.0, "validation", within=(-12.0, 12.0), rate=0.1),
    stretch=State(_classes, 1.0, "validation", within=(0.2, 5.0), rate=0.02),
    traits=Traits(problems=("imbalance",), oracle="torch.nn.functional.cross_entropy of scaled and shifted logits"),
)
def auto_balance(logits: Tensor, labels: Tensor, *, shift: Tensor, stretch: Tensor) -> Tensor:
    """Cross-entropy of logits with a shift and a factor per class, both learned by the validation loss.

    Cross-entropy on ``Δ_c z_c + ι_c``. Where the metric treats all classes alike, the shift tends to the logarithm of
    the class prior, which is `logit_adjustment`. Shapes: logits [batch, classes], labels [batch] → [batch].
    Limits: ι = 0 and Δ = 1, as it starts, is cross-entropy.
    """
    log_p = of_label(log_softmax(logits * stretch + shift), labels)
    return expected(-log_p, labels)


@loss_term(
    reference="Ye et al. 2020, class-dependent temperatures, eq. 4; learned as by Li et al. 2021",
    soft_labels=True,
    log_temperature=State(_classes, 0.0, "validation", within=(-1.5, 1.5), rate=0.02),
    traits=Traits(problems=("imbalance",), oracle="torch.nn.functional.cross_entropy of tempered logits"),
)
def class_temperature(logits: Tensor, labels: Tensor, *, log_temperature: Tensor) -> Tensor:
    """Cross-entropy of logits with a temperature per class, learned by the validation loss.

    Cross-entropy on ``z_c / exp(t_c)``: a class of high temperature needs larger logits, as a rare class does whose
    features drift between training and use. Shapes: logits [batch, classes], labels [batch] → [batch].
    Limits: t = 0, as it starts, is cross-entropy.
    """
    log_p = of_label(log_softmax(logits * torch.exp(-log_temperature)), labels)
    return expected(-log_p, labels)


@loss_term(
    reference="Lin et al. 2017, eq. 4; learned as by Li et al. 2021",
    soft_labels=True,
    shift_invariant=True,
    gamma=State(_classes, 0.0, "validation", within=(0.0, 5.0), rate=0.05),
    traits=Traits(problems=("imbalance",), oracle="Lin et al. 2017, eq. 4, in NumPy"),
)
def class_focal(logits: Tensor, labels: Tensor, *, gamma: Tensor) -> Tensor:
    """Focal loss whose focus on hard samples is learned by the validation loss, for each class its own.

    ``-(1 - p_y)^γ_y log p_y``. Shapes: logits [batch, classes], labels [batch] → [batch].
    Limits: γ = 0, as it starts, is cross-entropy.
    """
    log_p = of_label(log_softmax(logits), labels)
    # a power below one has an infinite gradient at zero, so the base stops where p_y would round to 1
    rest = (-torch.expm1(log_p)).clamp_min(torch.finfo(log_p.dtype).eps)
    focus = of_label(gamma.to(log_p.dtype).expand_as(logits), labels)
    return expected(-(rest**focus) * log_p, labels)
