"""Losses that allow for a level of noise in the labels, which is given or learned.

Example:
    The share of wrong labels is a parameter of the module: pass it to the optimiser.

    >>> import losssearch as ls
    >>> [name for name, _ in ls.terms["learned_noise"].module().named_parameters()]
    ['level']
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from losssearch.losses.domains import Float
from losssearch.losses.labels import expected, of_label
from losssearch.losses.softmax import log_softmax
from losssearch.losses.state import Learned
from losssearch.losses.term import loss_term
from losssearch.losses.traits import Traits
from losssearch.losses.weights import weighted_mean


@loss_term(
    reference="Natarajan et al. 2013 and Sukhbaatar et al. 2015: noise in the likelihood, uniform over classes",
    soft_labels=True,
    shift_invariant=True,
    level=Learned(-2.0),
    traits=Traits(
        argmin="denoised probabilities",
        problems=("label-noise",),
        smooth=True,
        bounded=True,
        oracle="Natarajan et al. 2013 in NumPy",
    ),
)
def learned_noise(logits: Tensor, labels: Tensor, *, level: Tensor) -> Tensor:
    """Minus the log-likelihood of labels a learned share of which was drawn at random.

    ``-log((1 - ρ) p_y + ρ / C)`` with ``ρ = σ(level)``. Shapes: logits [batch, classes], labels [batch] → [batch].
    Limits: level → -∞ is cross-entropy.
    """
    clean = of_label(log_softmax(logits), labels) + F.logsigmoid(-level)
    drawn = F.logsigmoid(level) - math.log(logits.shape[-1])
    return -expected(torch.logaddexp(clean, drawn), labels)


@loss_term(
    reference="Natarajan et al. 2013; Patrini et al. 2017, forward correction, eq. 6, uniform over classes",
    soft_labels=True,
    shift_invariant=True,
    rho=Float(0.0, 0.95, default=0.2),
    traits=Traits(
        argmin="denoised probabilities",
        problems=("label-noise",),
        smooth=True,
        bounded=True,
        oracle="torch.nn.functional.nll_loss of mixed probabilities",
    ),
)
def forward_uniform(logits: Tensor, labels: Tensor, *, rho: Tensor) -> Tensor:
    """Minus the log-likelihood of labels of which a given share was drawn at random.

    ``-log((1 - ρ) p_y + ρ / C)``, at most ``log(C / ρ)``. Shapes: logits [batch, classes], labels [batch] → [batch].
    Limits: ρ = 0 is cross-entropy; `learned_noise` learns ρ.
    """
    clean = of_label(log_softmax(logits), labels) + torch.log1p(-rho)
    drawn = torch.log(rho / logits.shape[-1]).to(logits.dtype)
    return -expected(torch.logaddexp(clean, drawn), labels)


@loss_term(
    reference="Ishida et al. 2020, Flooding; the level of Toner and Storkey 2023, the entropy of the noise",
    per_sample=False,
    soft_labels=True,
    level=Float(0.0, 3.0, default=0.1),
    traits=Traits(problems=("label-noise",), oracle="Ishida et al. 2020 in NumPy"),
)
def flood(plain_loss: Tensor, sample_weight: Tensor | None, *, level: Tensor) -> Tensor:
    """The mean loss, turned round where it falls below a level: what is below could only be wrong labels, memorised.

    ``|L - b| + b`` with b the ``level`` and L the mean of cross-entropy, or of squared error. Shapes: plain_loss
    [batch] → scalar. Limits: b = 0 is L.
    """
    mean = plain_loss.mean() if sample_weight is None else weighted_mean(plain_loss, sample_weight)
    least = level.to(mean.dtype)
    return (mean - least).abs() + least
