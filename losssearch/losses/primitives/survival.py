"""Terms on times that may be censored: the risk sets, the bins, or the pairs that a follow-up makes.

``time`` may be any increasing function of the time, such as its logarithm; ``event`` is 1 where the event was seen at
that time, and 0 where a row was followed up to then without it. ``risk`` is the logarithm of the hazard relative to
other rows: larger is sooner.

Example:
    >>> import torch
    >>> import losssearch as ls
    >>> risk, time, event = torch.tensor([1.0, 0.0, -1.0]), torch.tensor([1.0, 2.0, 3.0]), torch.tensor([1.0, 0.0, 1.0])
    >>> ls.terms["cox_breslow"].module()(risk, time, event)
    tensor(0.2038)
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from losssearch.losses.domains import Choice
from losssearch.losses.term import loss_term
from losssearch.losses.traits import Traits


def _log_running_sums(values: Tensor) -> Tensor:
    """``log Σ_{j <= i} e^v_j`` [batch] in log2(batch) passes; `torch.logcumsumexp` has no second derivative here."""
    reach = 1
    while reach < values.shape[0]:
        values = torch.cat((values[:reach], torch.logaddexp(values[reach:], values[:-reach])))
        reach *= 2
    return values


@loss_term(
    reference="Cox 1975, Partial likelihood; ties as in Efron 1977 or Breslow 1974",
    per_sample=False,
    ties=Choice("efron", "breslow", default="efron"),
    traits=Traits(
        problems=("censoring", "ties"),
        convex=True,
        smooth=True,
        bounded=True,
        oracle="torchsurv.loss.cox.neg_partial_log_likelihood",
    ),
)
def cox_breslow(risk: Tensor, time: Tensor, event: Tensor, *, ties: str) -> Tensor:
    """The negative partial likelihood: whoever has the event should have had the largest risk of all still followed.

    ``-Σ d_i (h_i - log Σ_{t_j >= t_i} e^h_j) / Σ d``. Of m events at one time, Efron's k-th, counted from 0, takes
    k / m of their own sum off the inner one; Breslow's takes nothing off. A batch without events costs 0. Shapes: risk
    [batch], time [batch], event [batch] → scalar. Limits: without equal times of events, both ties are the same.
    """
    order = torch.argsort(time, descending=True)
    h, t, d = risk[order], time[order], event[order].to(risk.dtype)
    still = (t.unsqueeze(0) >= t.unsqueeze(1)).sum(1) - 1  # the last row, latest first, that is at risk with each
    at_risk = _log_running_sums(h)[still]
    cost = at_risk - h
    if ties == "efron":
        tied = (t.unsqueeze(0) == t.unsqueeze(1)).to(h.dtype) * d
        before = torch.tril(tied, -1).sum(1) / tied.sum(1).clamp_min(1)
        # As shares of the risk set, whose sum cannot overflow; rows without the event do not count.
        cost = cost + torch.log1p(-before * d * (tied @ torch.exp(h - at_risk)))
    return (d * cost).sum() / d.sum().clamp_min(1)


@loss_term(
    reference="Gensheimer and Narasimhan 2019, A scalable discrete-time survival model for neural networks, eq. 3",
    traits=Traits(
        problems=("censoring",),
        convex=True,
        smooth=True,
        bounded=True,
        probabilistic=True,
        oracle="Gensheimer and Narasimhan 2019, eq. 3; the life table",
    ),
)
def discrete_hazard(hazards: Tensor, interval: Tensor, event: Tensor) -> Tensor:
    """The likelihood of surviving each bin of time before the last, and of the event in it if it was seen.

    ``-Σ_{k < b} log σ(-o_k) - d log σ(o_b)``, where b is the number of the time's bin, from 0: `torch.bucketize` of it
    by the ends of all bins but the last. Shapes: hazards [batch, bins], interval [batch], event [batch] → [batch].
    """
    place = interval.unsqueeze(-1)
    bins = torch.arange(hazards.shape[-1], device=hazards.device)
    survived = torch.where(bins < place, F.softplus(hazards), 0.0)
    seen = torch.where(bins == place, F.softplus(-hazards), 0.0)
    return survived.sum(-1) + event * seen.sum(-1)


@loss_term(
    reference="Shivaswamy et al. 2007, A support vector approach to censored targets",
    traits=Traits(problems=("censoring",), convex=True, smooth=True, oracle="Shivaswamy et al. 2007"),
)
def one_sided_squared(prediction: Tensor, target: Tensor, event: Tensor) -> Tensor:
    """The squared error of a time; a row that was followed without the event costs nothing if it is predicted later.

    ``(t - p)²`` with the event, ``max(0, t - p)²`` without. Shapes: prediction [batch], target [batch], event [batch] →
    [batch]. Limits: where every event was seen, it is `squared`.
    """
    residual = target - prediction
    return event * residual.square() + (1 - event) * residual.clamp_min(0).square()


@loss_term(
    reference="Steck et al. 2008, On ranking in survival analysis: bounds on the concordance index",
    per_sample=False,
    traits=Traits(
        problems=("censoring",),
        convex=True,
        smooth=True,
        bounded=True,
        oracle="Steck et al. 2008; sksurv.metrics.concordance_index_censored",
    ),
)
def pairwise_concordance(risk: Tensor, time: Tensor, event: Tensor, sample_weight: Tensor | None) -> Tensor:
    """Whoever has the event earlier should have the larger risk: a surrogate of one minus the concordance index.

    Mean of ``log(1 + e^-(h_i - h_j))`` over pairs of an event i and a row j that is followed for longer, or for as long
    without the event; 0 for a batch without such a pair. Shapes: risk [batch], time [batch], event [batch] → scalar.
    """
    seen = event.to(risk.dtype)
    later = time.unsqueeze(0) > time.unsqueeze(1)
    outlived = (time.unsqueeze(0) == time.unsqueeze(1)).to(risk.dtype) * (1 - seen)
    pairs = seen.unsqueeze(1) * torch.where(later, 1.0, outlived)
    if sample_weight is not None:
        pairs = pairs * sample_weight.unsqueeze(1) * sample_weight
    cost = -F.logsigmoid(risk.unsqueeze(1) - risk.unsqueeze(0))
    return (pairs * cost).sum() / pairs.sum().clamp_min(torch.finfo(risk.dtype).tiny)
