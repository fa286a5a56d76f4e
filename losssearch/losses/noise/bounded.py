"""Losses of single samples that one wrong label cannot move far: between cross-entropy and the absolute error.

Example:
    >>> import torch
    >>> import losssearch as ls
    >>> logits, labels = torch.tensor([[4.0, 0.0], [4.0, 0.0]]), torch.tensor([0, 1])
    >>> ls.terms["cross_entropy"].module(reduction="none")(logits, labels)
    tensor([0.0181, 4.0181])
    >>> ls.terms["taylor"].module(k=2.0, reduction="none")(logits, labels)
    tensor([0.0181, 1.4642])
"""

from __future__ import annotations

import torch
from torch import Tensor

from losssearch.losses.domains import Float
from losssearch.losses.labels import expected, of_label
from losssearch.losses.softmax import log_softmax
from losssearch.losses.term import loss_term
from losssearch.losses.traits import Traits

_POWERS = 8
"""The largest order of a Taylor series here."""


@loss_term(
    reference="Ma et al. 2020, Normalized loss functions, section 3: NCE+RCE; Wang et al. 2019 for log 0 = -4",
    soft_labels=True,
    shift_invariant=True,
    alpha=Float(0.01, 100.0, default=1.0, log=True),
    beta=Float(0.01, 100.0, default=1.0, log=True),
    traits=Traits(
        argmin="most frequent class",
        problems=("label-noise",),
        smooth=True,
        bounded=True,
        oracle="Ma et al. 2020, NCE+RCE in NumPy",
    ),
)
def normalised_active_passive(logits: Tensor, labels: Tensor, *, alpha: Tensor, beta: Tensor) -> Tensor:
    """Normalised cross-entropy plus reverse cross-entropy (NCE+RCE): both bounded, so robust to wrong labels.

    ``α log p_y / sum_c log p_c + 4 β (1 - p_y)``. It is `active_passive` with 4 β in place of β, for settings that are
    stated of NCE+RCE. Shapes: logits [batch, classes], labels [batch] → [batch], between 0 and α + 4 β. Limits: β → 0
    is α times normalised cross-entropy; α → 0 is 4 β times `generalised_cross_entropy` with q = 1.
    """
    log_p = log_softmax(logits)
    chosen = of_label(log_p, labels)
    total = log_p.sum(-1)
    ratio = chosen / (total.unsqueeze(-1) if labels.is_floating_point() else total)
    return expected(alpha * ratio - 4 * beta * torch.expm1(chosen), labels)


@loss_term(
    reference="Feng et al. 2020, Can cross entropy loss be robust to label noise?, eq. 5",
    soft_labels=True,
    shift_invariant=True,
    k=Float(1.0, float(_POWERS), default=2.0),
    traits=Traits(
        argmin="sharpened probabilities",
        problems=("label-noise",),
        smooth=True,
        bounded=True,
        oracle="Feng et al. 2020, eq. 5, in NumPy",
    ),
)
def taylor(logits: Tensor, labels: Tensor, *, k: Tensor) -> Tensor:
    """The first k powers of the Taylor series of cross-entropy: bounded, so robust to wrong labels.

    ``Σ_{i ≤ k} (1 - p_y)^i / i``; of a k between two whole numbers, the next power counts in part. Shapes: logits
    [batch, classes], labels [batch] → [batch]. Limits: k = 1 is ``1 - p_y``, which is `generalised_cross_entropy` with
    q = 1; k → ∞ is cross-entropy.
    """
    rest = -torch.expm1(of_label(log_softmax(logits), labels))
    counted = [(k - i + 1).clamp(0, 1) * rest**i / i for i in range(1, _POWERS + 1)]
    return expected(torch.stack(counted).sum(0), labels)


@loss_term(
    reference="Englesson and Azizpour 2021, Generalized Jensen-Shannon divergence loss, eq. 5",
    soft_labels=True,
    shift_invariant=True,
    pi=Float(0.01, 0.99, default=0.5),
    traits=Traits(
        argmin="sharpened probabilities",
        problems=("label-noise",),
        smooth=True,
        bounded=True,
        oracle="scipy.special.rel_entr",
    ),
)
def jensen_shannon(logits: Tensor, labels: Tensor, *, pi: Tensor) -> Tensor:
    """The divergence of label and prediction from a mixture of both: between cross-entropy and absolute error.

    ``(π KL(y ‖ m) + (1 - π) KL(p ‖ m)) / Z`` with ``m = π y + (1 - π) p`` and ``Z = -(1 - π) log(1 - π)``. Shapes:
    logits [batch, classes], labels [batch] → [batch]. Limits: π → 0 is cross-entropy; π → 1 is ``1 - p_y``.
    """
    log_p = of_label(log_softmax(logits), labels)
    p, rest = log_p.exp(), 1 - pi
    log_mixed = torch.log(pi + rest * p)
    of_others = -torch.expm1(log_p) * -torch.log(rest)  # a wrong class has p_c / ((1 - π) p_c)
    own = -pi * log_mixed + rest * (p * (log_p - log_mixed) + of_others)
    return expected(own / (-rest * torch.log(rest)), labels)


@loss_term(
    reference="Reed et al. 2015, Training deep neural networks on noisy labels with bootstrapping, eq. 6",
    soft_labels=True,
    shift_invariant=True,
    beta=Float(0.3, 1.0, default=0.95),
    traits=Traits(
        argmin="sharpened probabilities",
        problems=("label-noise",),
        convex=True,
        smooth=True,
        bounded=True,
        oracle="scipy.stats.entropy",
    ),
)
def bootstrap(logits: Tensor, labels: Tensor, *, beta: Tensor) -> Tensor:
    """Cross-entropy with a target of which a share is the model's own prediction.

    ``-Σ_c (β [c = y] + (1 - β) p_c) log p_c``, which is cross-entropy times β plus the entropy of the prediction times
    1 - β. Shapes: logits [batch, classes], labels [batch] → [batch]. Limits: β = 1 is cross-entropy.
    """
    log_p = log_softmax(logits)
    entropy = -(log_p.exp() * log_p).sum(-1)
    return -beta * expected(of_label(log_p, labels), labels) + (1 - beta) * entropy
