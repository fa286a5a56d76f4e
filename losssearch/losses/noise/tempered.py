"""The bi-tempered logistic loss: a logarithm that is bounded and a softmax with heavy tails.

Example:
    >>> import torch
    >>> import losssearch as ls
    >>> loss = ls.terms["bi_tempered"].module(t1=0.8, t2=1.2, reduction="none")
    >>> loss(torch.tensor([[2.0, 0.0], [0.0, 2.0]]), torch.tensor([0, 0]))
    tensor([0.0340, 1.2190])
"""

from __future__ import annotations

import torch
from torch import Tensor

from losssearch.losses.domains import Float
from losssearch.losses.labels import expected, of_label
from losssearch.losses.term import loss_term
from losssearch.losses.traits import Traits

_STEPS = 12
"""Newton steps for the normaliser: within a rounding error of the root for 10,000 classes and any temperature here."""


def tempered_step(logits: Tensor, shift: Tensor, heat: Tensor) -> Tensor:
    """The normaliser [batch] after one Newton step from ``shift``; ``heat`` is the temperature less 1.

    It makes ``Σ_c exp_t(z_c - shift)`` one. A power of that sum is concave in the shift, and linear where all logits
    are equal, so steps from below stay below and come close fast.
    """
    log_each = -torch.log1p(heat * (shift.unsqueeze(-1) - logits)) / heat
    log_sum = torch.logsumexp(log_each, -1)
    slope = (torch.exp(log_each - log_sum.unsqueeze(-1)) * torch.exp(heat * log_each)).sum(-1)
    return shift + torch.expm1(heat * log_sum) / (heat * slope)


def tempered_log_softmax(logits: Tensor, temperature: Tensor) -> Tensor:
    """Logarithms of the tempered softmax ``exp_t(z_c - λ)``, both [batch, classes], of a temperature above 1."""
    heat = temperature - 1
    shift = logits.detach().amax(-1)
    for _ in range(_STEPS):
        shift = tempered_step(logits.detach(), shift, heat.detach())
    # At the root two more steps change nothing, and have its first and second derivatives.
    shift = torch.maximum(shift.detach(), logits.detach().amax(-1))
    for _ in range(2):
        shift = tempered_step(logits, shift, heat)
    apart = (shift.unsqueeze(-1) - logits).clamp_min(0)
    return -torch.log1p(heat * apart) / heat


@loss_term(
    reference="Amid et al. 2019, Robust bi-tempered logistic loss based on Bregman divergences, eq. 7",
    soft_labels=True,
    shift_invariant=True,
    t1=Float(0.0, 0.99, default=0.8),
    t2=Float(1.01, 4.0, default=1.2),
    traits=Traits(
        argmin="sharpened probabilities",
        problems=("label-noise",),
        smooth=True,
        bounded=True,
        oracle="Amid et al. 2019, the normaliser by scipy.optimize.brentq",
    ),
)
def bi_tempered(logits: Tensor, labels: Tensor, *, t1: Tensor, t2: Tensor) -> Tensor:
    """Logistic loss with two temperatures: t1 bounds the loss of outliers, t2 gives the softmax heavy tails.

    ``-log_t1(p_y) + (Σ_c p_c^(2 - t1) - 1) / (2 - t1)`` with ``log_t(x) = (x^(1-t) - 1) / (1 - t)`` and the tempered
    softmax ``p_c = exp_t2(z_c - λ)``, ``exp_t(x) = max(0, 1 + (1 - t) x)^(1/(1-t))``, where λ makes them sum to 1.
    Shapes: logits [batch, classes], labels [batch] → [batch], at most ``1 / (1 - t1)``. Limits: t1 → 1 and t2 → 1 is
    cross-entropy.
    """
    log_p = tempered_log_softmax(logits, t2)
    cold, power = 1 - t1, 2 - t1
    own = -torch.expm1(cold * of_label(log_p, labels)) / cold
    return expected(own, labels) + (torch.exp(power * log_p).sum(-1) - 1) / power
