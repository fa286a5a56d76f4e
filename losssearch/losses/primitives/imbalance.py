"""Terms that read the class prior, for classes of unequal size.

A class that is missing from the training part has prior 0; the formulas stay finite there.

Example:
    >>> import torch
    >>> import losssearch as ls
    >>> logits, labels, prior = torch.zeros(2, 2), torch.tensor([0, 1]), torch.tensor([0.9, 0.1])
    >>> ls.terms["logit_adjustment"].module(tau=1.0, reduction="none")(logits, labels, prior)
    tensor([0.1054, 2.3026])
"""

from __future__ import annotations

import torch
from torch import Tensor

from losssearch.losses.domains import Float
from losssearch.losses.labels import each_label, expected, of_label
from losssearch.losses.softmax import log_softmax
from losssearch.losses.term import loss_term
from losssearch.losses.traits import Traits

_SMALLEST_PRIOR = 1e-6
"""Priors below this count as this: under one sample in a million, a weight or shift is guesswork."""

_ROWS = 1000.0
"""Training rows in which the samples of a class are counted where a loss needs their number."""


def _log_prior(class_prior: Tensor, like: Tensor) -> Tensor:
    return class_prior.to(like.dtype).clamp_min(_SMALLEST_PRIOR).log()


@loss_term(
    reference="King and Zeng 2001; the power of Mikolov et al. 2013 and Mahajan et al. 2018",
    soft_labels=True,
    shift_invariant=True,
    power=Float(0.0, 1.5, default=1.0),
    traits=Traits(
        argmin="prior-adjusted probabilities",
        problems=("imbalance",),
        convex=True,
        smooth=True,
        bounded=True,
        oracle="torch.nn.functional.cross_entropy, weight",
    ),
)
def weighted_cross_entropy(logits: Tensor, labels: Tensor, class_prior: Tensor, *, power: Tensor) -> Tensor:
    """Cross-entropy in which rare classes count more.

    ``-w_y log p_y`` with ``w_c ∝ prior_c^-power``, scaled so that the mean weight under the prior is 1.
    Shapes: logits [batch, classes], labels [batch], class_prior [classes] → [batch].
    Limits: power = 0 is cross-entropy; power = 1 gives every class the same total weight.
    """
    log_prior = _log_prior(class_prior, logits)
    log_weight = -power * log_prior
    weight = torch.exp(log_weight - torch.logsumexp(log_weight + log_prior, -1))
    log_p = of_label(log_softmax(logits), labels)
    return expected(-of_label(weight.expand_as(logits), labels) * log_p, labels)


@loss_term(
    reference="Menon et al. 2021, eq. 10",
    soft_labels=True,
    shift_invariant=True,
    tau=Float(0.0, 3.0, default=1.0),
    traits=Traits(
        argmin="prior-adjusted probabilities",
        problems=("imbalance",),
        convex=True,
        smooth=True,
        bounded=True,
        oracle="torch.nn.functional.cross_entropy of shifted logits",
    ),
)
def logit_adjustment(logits: Tensor, labels: Tensor, class_prior: Tensor, *, tau: Tensor) -> Tensor:
    """Cross-entropy of logits shifted by the log-prior, so that the plain argmax favours no large class.

    Cross-entropy on ``z_c + τ log prior_c``. Shapes: logits [batch, classes], labels [batch],
    class_prior [classes] → [batch]. Limits: τ = 0 is cross-entropy; τ = 1 is balanced softmax and is
    consistent for balanced accuracy.
    """
    log_p = log_softmax(logits + tau * _log_prior(class_prior, logits))
    return expected(-of_label(log_p, labels), labels)


@loss_term(
    reference="Cao et al. 2019, LDAM",
    soft_labels=True,
    shift_invariant=True,
    max_margin=Float(0.0, 5.0, default=1.0),
    sharpness=Float(0.3, 10.0, default=1.0, log=True),
    traits=Traits(
        argmin="sharpened probabilities",
        problems=("imbalance",),
        convex=True,
        smooth=True,
        bounded=True,
        oracle="Cao et al. 2019, the authors' code, in NumPy",
    ),
)
def ldam(logits: Tensor, labels: Tensor, class_prior: Tensor, *, max_margin: Tensor, sharpness: Tensor) -> Tensor:
    """Cross-entropy with a larger margin for rarer classes.

    Cross-entropy on ``k (z_c - m_c [c = y])``, over k, with ``m_c ∝ prior_c^-1/4`` and its largest value
    ``max_margin``. The paper's logits are cosines times 30; here they are free, so margins are in logit
    units. Shapes: logits [batch, classes], labels [batch], class_prior [classes] → [batch].
    Limits: max_margin = 0 and sharpness k = 1 is cross-entropy; k → ∞ is a hinge on the worst class.
    """
    prior = class_prior.to(logits.dtype)
    # an absent class needs no margin, and must not shrink those of the others
    rarity = torch.where(prior > 0, torch.exp(-0.25 * _log_prior(class_prior, logits)), 0.0)
    margin = max_margin * rarity / rarity.amax(-1, keepdim=True)
    logits, label = each_label(logits, labels)
    is_label = label.unsqueeze(-1) == torch.arange(logits.shape[-1], device=logits.device)
    log_p = log_softmax(sharpness * (logits - torch.where(is_label, margin, 0.0)))
    return expected(-of_label(log_p, label) / sharpness, labels)


@loss_term(
    reference="Kini et al. 2021, Label-imbalanced and group-sensitive classification, eq. 2",
    soft_labels=True,
    gamma=Float(0.0, 1.0, default=0.2),
    tau=Float(0.0, 3.0, default=1.0),
    traits=Traits(
        argmin="prior-adjusted probabilities",
        problems=("imbalance",),
        convex=True,
        smooth=True,
        bounded=True,
        oracle="torch.nn.functional.cross_entropy of scaled and shifted logits",
    ),
)
def vector_scaling(logits: Tensor, labels: Tensor, class_prior: Tensor, *, gamma: Tensor, tau: Tensor) -> Tensor:
    """Cross-entropy of logits with a factor and a shift per class: the factor still acts when all rows are separated.

    Cross-entropy on ``Δ_c z_c + τ log prior_c`` with ``Δ_c = (prior_c / max prior)^γ``. Shapes: logits [batch,
    classes], labels [batch], class_prior [classes] → [batch]. Limits: γ = 0 is `logit_adjustment`; γ = τ = 0 is
    cross-entropy.
    """
    log_prior = _log_prior(class_prior, logits)
    factor = torch.exp(gamma * (log_prior - log_prior.amax(-1, keepdim=True)))
    log_p = log_softmax(factor * logits + tau * log_prior)
    return expected(-of_label(log_p, labels), labels)


@loss_term(
    reference="Cui et al. 2019, Class-balanced loss based on effective number of samples, eq. 10",
    soft_labels=True,
    shift_invariant=True,
    beta=Float(0.0, 0.9999, default=0.999),
    traits=Traits(
        argmin="prior-adjusted probabilities",
        problems=("imbalance",),
        convex=True,
        smooth=True,
        bounded=True,
        oracle="Cui et al. 2019, eq. 10, with torch.nn.functional.cross_entropy, weight",
    ),
)
def class_balanced(logits: Tensor, labels: Tensor, class_prior: Tensor, *, beta: Tensor) -> Tensor:
    """Cross-entropy in which a class counts by its effective number of samples, which saturates as it grows.

    ``-w_y log p_y`` with ``w_c ∝ (1 - β) / (1 - β^n_c)``, scaled so that the mean weight under the prior is 1. The
    count n_c is that of 1,000 training rows; for the paper's β of N rows, take ``β^(N / 1000)``. Shapes: logits
    [batch, classes], labels [batch], class_prior [classes] → [batch]. Limits: β = 0 is cross-entropy; β → 1 is
    `weighted_cross_entropy` with power = 1.
    """
    prior = class_prior.to(logits.dtype).clamp_min(_SMALLEST_PRIOR)
    weight = (1 - beta) / -torch.expm1(_ROWS * prior * torch.log(beta))
    weight = weight / (weight * prior).sum(-1, keepdim=True)
    log_p = of_label(log_softmax(logits), labels)
    return expected(-of_label(weight.expand_as(logits), labels) * log_p, labels)


@loss_term(
    reference="Tan et al. 2020, Equalization loss, eq. 9 and 10, with the expectation of its random factor",
    soft_labels=True,
    shift_invariant=True,
    gamma=Float(0.0, 0.99, default=0.9),
    threshold=Float(0.05, 1.0, default=0.5, log=True),
    traits=Traits(
        argmin="prior-adjusted probabilities",
        problems=("imbalance",),
        convex=True,
        smooth=True,
        bounded=True,
        oracle="Tan et al. 2020, eq. 9, in loops",
    ),
)
def equalization(logits: Tensor, labels: Tensor, class_prior: Tensor, *, gamma: Tensor, threshold: Tensor) -> Tensor:
    """Cross-entropy in which samples of other classes hardly push down the scores of rare classes.

    ``-log(e^z_y / Σ_c w_c e^z_c)`` with ``w_c = 1 - γ`` of other classes whose prior is below ``threshold / C``, else
    1. The paper drops such classes at random, with probability γ; here they count for their expectation. Shapes:
    logits [batch, classes], labels [batch], class_prior [classes] → [batch]. Limits: γ = 0 is cross-entropy.
    """
    rare = class_prior.to(logits.dtype) * logits.shape[-1] < threshold
    shift = torch.where(rare, torch.log1p(-gamma), 0.0).to(logits.dtype)
    logits, label = each_label(logits, labels)
    is_label = label.unsqueeze(-1) == torch.arange(logits.shape[-1], device=logits.device)
    log_p = log_softmax(logits + torch.where(is_label, 0.0, shift))
    return expected(-of_label(log_p, label), labels)
