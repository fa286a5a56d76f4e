"""Terms on the class probability of single samples: cross-entropy and its relatives.

All work on log-probabilities, so values and gradients stay finite when a softmax saturates.

Example:
    >>> import torch
    >>> import losssearch as ls
    >>> logits, labels = torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 0])
    >>> ls.terms["cross_entropy"].module(reduction="none")(logits, labels)
    tensor([0.1269, 1.3133])
    >>> ls.terms["focal"].module(gamma=2.0, reduction="none")(logits, labels)
    tensor([0.0018, 0.7019])
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from losssearch.losses.domains import Float
from losssearch.losses.labels import expected, of_label, positive_share
from losssearch.losses.softmax import log_softmax, softmax
from losssearch.losses.term import loss_term
from losssearch.losses.traits import Traits

_LOG_ZERO = 4.0
"""Minus the number that stands for log 0 in reverse cross-entropy (Wang et al. 2019 choose -4)."""


@loss_term(
    reference="maximum likelihood; smoothing of Szegedy et al. 2016, section 7",
    soft_labels=True,
    shift_invariant=True,
    smoothing=Float(0.0, 0.4, default=0.0),
    traits=Traits(
        argmin="probabilities",
        problems=("miscalibration",),
        convex=True,
        smooth=True,
        bounded=True,
        probabilistic=True,
        oracle="torch.nn.functional.cross_entropy",
    ),
)
def cross_entropy(logits: Tensor, labels: Tensor, *, smoothing: Tensor) -> Tensor:
    """Minus the log-probability of the label, mixed with the mean over all classes.

    Rewards calibrated probabilities; smoothing keeps it from rewarding unlimited confidence.
    ``-(1 - s) log p_y - s mean_c log p_c``. Shapes: logits [batch, classes], labels [batch] → [batch].
    Limits: s = 0 is plain cross-entropy.
    """
    log_p = log_softmax(logits)
    return -(1 - smoothing) * expected(of_label(log_p, labels), labels) - smoothing * log_p.mean(-1)


@loss_term(
    reference="maximum likelihood; smoothing of Szegedy et al. 2016, section 7",
    soft_labels=True,
    smoothing=Float(0.0, 0.4, default=0.0),
    traits=Traits(
        argmin="probabilities",
        problems=("miscalibration",),
        convex=True,
        smooth=True,
        bounded=True,
        probabilistic=True,
        oracle="torch.nn.functional.binary_cross_entropy_with_logits",
    ),
)
def binary_cross_entropy(logit: Tensor, labels: Tensor, *, smoothing: Tensor) -> Tensor:
    """Cross-entropy of one logit z for two classes.

    ``-t log σ(z) - (1 - t) log σ(-z)`` with ``t = y (1 - s) + s / 2``. Shapes: logit [batch],
    labels [batch] in {0, 1} → [batch]. Limits: equals `cross_entropy` on the logits (-z/2, z/2).
    """
    share = positive_share(labels, logit) * (1 - smoothing) + smoothing / 2
    return -share * F.logsigmoid(logit) - (1 - share) * F.logsigmoid(-logit)


@loss_term(
    reference="Elkan 2001, The foundations of cost-sensitive learning",
    soft_labels=True,
    ratio=Float(0.05, 20.0, default=1.0, log=True),
    traits=Traits(
        argmin="cost-weighted probabilities",
        problems=("costs",),
        convex=True,
        smooth=True,
        bounded=True,
        oracle="torch.nn.functional.binary_cross_entropy_with_logits, pos_weight",
    ),
)
def cost_sensitive_cross_entropy(logit: Tensor, labels: Tensor, *, ratio: Tensor) -> Tensor:
    """Binary cross-entropy in which a missed positive costs ``ratio`` times a false alarm.

    ``-r y log σ(z) - (1 - y) log σ(-z)``. Shapes: logit [batch], labels [batch] in {0, 1} → [batch].
    Limits: r = 1 is `binary_cross_entropy`.
    """
    positive = positive_share(labels, logit)
    return -ratio * positive * F.logsigmoid(logit) - (1 - positive) * F.logsigmoid(-logit)


@loss_term(
    reference="Lin et al. 2017, eq. 4",
    soft_labels=True,
    shift_invariant=True,
    gamma=Float(0.0, 5.0, default=2.0),
    traits=Traits(
        argmin="smoothed probabilities",
        problems=("imbalance", "miscalibration"),
        smooth=True,
        bounded=True,
        oracle="Lin et al. 2017, eq. 4, in NumPy",
    ),
)
def focal(logits: Tensor, labels: Tensor, *, gamma: Tensor) -> Tensor:
    """Cross-entropy with easy samples down-weighted.

    Rewards work on samples that are still wrong. ``-(1 - p_y)^γ log p_y``. Shapes: logits
    [batch, classes], labels [batch] → [batch]. Limits: γ = 0 is cross-entropy.
    """
    log_p = of_label(log_softmax(logits), labels)
    # a power below one has an infinite gradient at zero, so the base stops where p_y would round to 1
    rest = (-torch.expm1(log_p)).clamp_min(torch.finfo(log_p.dtype).eps)
    return expected(-(rest**gamma) * log_p, labels)


@loss_term(
    reference="Leng et al. 2022, Poly-1",
    soft_labels=True,
    shift_invariant=True,
    epsilon=Float(-1.0, 6.0, default=1.0),
    traits=Traits(
        argmin="sharpened probabilities",
        convex=True,
        smooth=True,
        bounded=True,
        oracle="Leng et al. 2022, Poly-1, in NumPy",
    ),
)
def poly1(logits: Tensor, labels: Tensor, *, epsilon: Tensor) -> Tensor:
    """Cross-entropy with the weight of its leading polynomial term changed.

    ``-log p_y + ε (1 - p_y)``; ε > 0 pushes harder on confident samples, ε < 0 less. Shapes: logits
    [batch, classes], labels [batch] → [batch]. Limits: ε = 0 is cross-entropy.
    """
    log_p = of_label(log_softmax(logits), labels)
    return expected(-log_p - epsilon * torch.expm1(log_p), labels)


@loss_term(
    reference="Brier 1950, eq. 2",
    soft_labels=True,
    shift_invariant=True,
    traits=Traits(
        argmin="probabilities",
        problems=("miscalibration", "label-noise"),
        smooth=True,
        bounded=True,
        probabilistic=True,
        oracle="Brier 1950, eq. 2, in NumPy",
    ),
)
def brier(logits: Tensor, labels: Tensor) -> Tensor:
    """The squared error of the probabilities: rewards calibration, and limits the effect of one wrong label.

    ``sum_c (p_c - [c = y])²``, between 0 and 2. Shapes: logits [batch, classes], labels [batch] → [batch].
    Limits: for two classes it is ``2 (1 - p_y)²``.
    """
    p = softmax(logits)
    return p.square().sum(-1) - 2 * expected(of_label(p, labels), labels) + 1


@loss_term(
    reference="Zhang and Sabuncu 2018",
    soft_labels=True,
    shift_invariant=True,
    q=Float(0.01, 1.0, default=0.7),
    traits=Traits(
        argmin="sharpened probabilities",
        problems=("label-noise",),
        smooth=True,
        bounded=True,
        oracle="Zhang and Sabuncu 2018 in NumPy",
    ),
)
def generalised_cross_entropy(logits: Tensor, labels: Tensor, *, q: Tensor) -> Tensor:
    """Between cross-entropy and absolute error: robust to wrong labels.

    ``(1 - p_y^q) / q``. Shapes: logits [batch, classes], labels [batch] → [batch].
    Limits: q → 0 is cross-entropy; q = 1 is ``1 - p_y``, half the absolute error of the probabilities.
    """
    return expected(-torch.expm1(q * of_label(log_softmax(logits), labels)) / q, labels)


@loss_term(
    reference="Wang et al. 2019, Symmetric cross entropy",
    soft_labels=True,
    shift_invariant=True,
    alpha=Float(0.01, 10.0, default=0.1, log=True),
    beta=Float(0.01, 10.0, default=1.0, log=True),
    traits=Traits(
        argmin="sharpened probabilities",
        problems=("label-noise",),
        smooth=True,
        bounded=True,
        oracle="Wang et al. 2019, forward and reverse entropy in NumPy",
    ),
)
def symmetric_cross_entropy(logits: Tensor, labels: Tensor, *, alpha: Tensor, beta: Tensor) -> Tensor:
    """Cross-entropy plus reverse cross-entropy, which limits the effect of one wrong label.

    ``-α log p_y + 4 β (1 - p_y)``, log 0 taken as -4. Shapes: logits [batch, classes], labels [batch]
    → [batch]. Limits: α times `poly1` with ε = 4 β / α.
    """
    log_p = of_label(log_softmax(logits), labels)
    return expected(-alpha * log_p - _LOG_ZERO * beta * torch.expm1(log_p), labels)


@loss_term(
    reference="Ma et al. 2020, Normalized loss functions, section 3: NCE+MAE",
    soft_labels=True,
    shift_invariant=True,
    alpha=Float(0.01, 100.0, default=1.0, log=True),
    beta=Float(0.01, 100.0, default=1.0, log=True),
    traits=Traits(
        argmin="sharpened probabilities",
        problems=("label-noise",),
        smooth=True,
        bounded=True,
        oracle="Ma et al. 2020, eq. 6, in NumPy",
    ),
)
def active_passive(logits: Tensor, labels: Tensor, *, alpha: Tensor, beta: Tensor) -> Tensor:
    """Normalised cross-entropy plus absolute error (NCE+MAE): both bounded, so robust to wrong labels.

    ``α log p_y / sum_c log p_c + β (1 - p_y)``: the active part raises the label's probability, the passive one lowers
    all others. Shapes: logits [batch, classes], labels [batch] → [batch], between 0 and α + β. Limits: β → 0 is
    normalised cross-entropy; α → 0 is β times `generalised_cross_entropy` with q = 1. NCE+RCE (reverse cross-entropy,
    log 0 taken as -4) is the same loss with 4 β in place of β.
    """
    log_p = log_softmax(logits)
    chosen = of_label(log_p, labels)
    # the sum over classes is at most -C log C, so the ratio and its slope stay finite at any logits
    total = log_p.sum(-1)
    ratio = chosen / (total.unsqueeze(-1) if labels.is_floating_point() else total)
    return expected(alpha * ratio - beta * torch.expm1(chosen), labels)


@loss_term(
    reference="Ridnik et al. 2021, Asymmetric loss for multi-label classification, eq. 7",
    soft_labels=True,
    gamma_positive=Float(0.0, 4.0, default=0.0),
    gamma_negative=Float(0.0, 8.0, default=4.0),
    margin=Float(0.0, 0.5, default=0.05),
    traits=Traits(
        argmin="sharpened probabilities",
        problems=("imbalance", "costs"),
        smooth=True,
        bounded=True,
        oracle="timm.loss.AsymmetricLossMultiLabel",
    ),
)
def asymmetric(
    logit: Tensor, labels: Tensor, *, gamma_positive: Tensor, gamma_negative: Tensor, margin: Tensor
) -> Tensor:
    """Focal loss with a focus of its own for each class, which leaves out the easiest negatives (ASL).

    ``-y (1 - p)^γ₊ log p - (1 - y) p_m^γ₋ log(1 - p_m)`` with ``p = σ(z)`` and ``p_m = max(0, p - m)``: for few
    positives among many negatives. Shapes: logit [batch], labels [batch] in {0, 1} → [batch]. Limits: γ₊ = γ₋ = m = 0
    is `binary_cross_entropy`; γ₊ = γ₋ and m = 0 is `focal`.
    """
    log_p, log_rest, positive = F.logsigmoid(logit), F.logsigmoid(-logit), positive_share(labels, logit)
    least = torch.finfo(logit.dtype).eps  # a power below one has an infinite gradient at zero
    of_positive = -((-torch.expm1(log_p)).clamp_min(least) ** gamma_positive) * log_p
    shown = (log_p.exp() - margin).clamp_min(least)
    cost = (-torch.logaddexp(log_rest, torch.log(margin).to(logit.dtype))).clamp_min(0)  # -log(1 - p + m), or 0
    return positive * of_positive + (1 - positive) * shown**gamma_negative * cost
