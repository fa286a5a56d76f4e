"""Terms on grades that learn where one grade ends and the next begins along a single score.

Example:
    The cuts are a parameter of the module: pass it to the optimiser. For three grades there are two.

    >>> import losssearch as ls
    >>> ls.terms["cumulative_logit"].states["steps"].moved_by
    'loss'
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from losssearch.losses.state import Dimensions, State
from losssearch.losses.term import loss_term
from losssearch.losses.traits import Traits

_SMALLEST_STEP = 1e-3
"""Keeps the cuts apart, so that every grade has a probability above 0."""


def _between(dimensions: Dimensions) -> tuple[int, ...]:
    return (dimensions.classes - 1,)


@loss_term(
    reference="McCullagh 1980, Regression models for ordinal data: proportional odds",
    steps=State(_between),
    traits=Traits(convex=True, smooth=True, bounded=True, probabilistic=True, oracle="scipy.stats.logistic.cdf"),
)
def cumulative_logit(score: Tensor, grade: Tensor, *, steps: Tensor) -> Tensor:
    """The likelihood of the grade where a score with logistic noise lies between the grade's two cuts.

    ``-log(σ(c_y - s) - σ(c_{y-1} - s))``, the cuts at the ends being infinite. Each cut is the one before it and
    ``0.001 + softplus`` of a step, so they stay in order; the first step moves them all, and steps of 0 put them
    symmetrically around 0. Shapes: score [batch], grade [batch] from 0, int64 → [batch]. Limits: with two grades it is
    binary cross-entropy of the score less the cut.
    """
    steps = steps.to(score.dtype)
    gaps = _SMALLEST_STEP + F.softplus(steps[1:])
    rising = F.pad(gaps, (1, 0)).cumsum(0)
    cuts = steps[0] + rising - rising[-1] / 2
    last = cuts.shape[0]
    above = torch.where(grade < last, F.softplus(score - cuts[grade.clamp_max(last - 1)]), 0.0)
    below = torch.where(grade > 0, F.softplus(cuts[(grade - 1).clamp_min(0)] - score), 0.0)
    # σ(a) - σ(b) is σ(a) σ(-b) (1 - e^-(a - b)), which cannot cancel; the last factor is that of the inner grades.
    inner = F.pad(torch.log(-torch.expm1(-gaps)), (1, 1))
    return above + below - inner[grade]


@loss_term(
    reference="Cao et al. 2020, Rank consistent ordinal regression for neural networks, eq. 4",
    offsets=State(_between),
    traits=Traits(convex=True, smooth=True, bounded=True, oracle="coral_pytorch.losses.coral_loss"),
)
def coral(score: Tensor, grade: Tensor, *, offsets: Tensor) -> Tensor:
    """Whether a row goes beyond each grade, by one score and one learned offset per grade.

    ``-Σ_k log σ(± (s + b_k))``: plus where the grade is above k. Shapes: score [batch], grade [batch] from 0, int64 →
    [batch]. Limits: with two grades it is binary cross-entropy of the score and the offset.
    """
    logits = score.unsqueeze(-1) + offsets.to(score.dtype)
    beyond = grade.unsqueeze(-1) > torch.arange(logits.shape[-1], device=score.device)
    return F.softplus(torch.where(beyond, -logits, logits)).sum(-1)
