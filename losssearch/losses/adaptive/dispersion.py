"""Terms on counts whose dispersion is learned with the model.

Example:
    >>> import losssearch as ls
    >>> list(ls.terms["negative_binomial"].states)
    ['log_r']
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from losssearch.losses.state import State
from losssearch.losses.term import loss_term
from losssearch.losses.traits import Traits


@loss_term(
    reference="Lawless 1987, eq. 1",
    nonnegative=False,
    log_r=State(()),
    traits=Traits(oracle="scipy.stats.nbinom.logpmf"),
)
def negative_binomial(log_rate: Tensor, exposure: Tensor, target: Tensor, *, log_r: Tensor) -> Tensor:
    """The negative log-likelihood of counts whose variance is ``μ + μ²/r``, with r learned.

    ``-ln Γ(y+r) + ln Γ(r) + ln y! - r ln(r/(r+μ)) - y ln(μ/(r+μ))`` with ``μ = e exp η``. Shapes: log_rate [batch],
    exposure [batch], target [batch] → [batch]. Limits: r → ∞ is `poisson_log_rate` and what does not depend on it.
    """
    log_mean, size = log_rate + exposure.log(), log_r.exp()
    apart = log_mean - log_r
    constant = torch.lgamma(size) + torch.lgamma(target + 1) - torch.lgamma(target + size)
    return constant + size * F.softplus(apart) + target * F.softplus(-apart)
