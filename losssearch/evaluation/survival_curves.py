"""Survival curves on a grid of times: what a risk alone gives with a baseline, and their errors under censoring.

The view of a study of survival has ``2 G + 1`` columns: the risk, the curve at each of G times, and the times.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

TIMES = 14
"""How many times a curve is known at, G: the inner edges of as many bins and one more."""

NEVER = -100.0
"""The logarithm of a cumulative hazard of nothing."""

STEEPEST = 5.0
"""The largest logarithm of a hazard ratio per standard deviation of the risk."""

STEPS = 12
"""Newton steps toward it."""


def risk_of(outputs: Tensor) -> Tensor:
    """The risk ``[..., N]``: larger is sooner."""
    return outputs[..., 0]


def curves_of(outputs: Tensor) -> Tensor:
    """The probability ``[..., N, G]`` to be without the event after each time."""
    return outputs[..., 1 : 1 + TIMES]


def times_of(outputs: Tensor) -> Tensor:
    """The times ``[..., N, G]`` of the curves."""
    return outputs[..., 1 + TIMES :]


def without_curve(outputs: Tensor) -> Tensor:
    """Members ``[...]`` whose curves are 1 throughout: a risk alone."""
    return (curves_of(outputs) == 1).all(-1).all(-1)


def with_baseline(outputs: Tensor, numbers: Tensor) -> Tensor:
    """Outputs whose risks have curves ``exp(-e^(l_k + b h))``; numbers ``[..., 1 + G]`` are b and each l."""
    slope, level = numbers[..., None, :1], numbers[..., None, 1:]
    made = torch.exp(-torch.exp(level + slope * outputs[..., :1]))
    curves = torch.where(without_curve(outputs)[..., None, None], made, curves_of(outputs))
    return torch.cat((outputs[..., :1], curves, times_of(outputs)), -1)


def fit_baseline(outputs: Tensor, target: Tensor, *, weight: Tensor | None = None) -> Tensor:
    """Slope and baseline ``[M, 1 + G]`` of proportional hazards by the risk, as Cox 1972 and Breslow 1974.

    ``outputs`` ``[M, N, 2 G + 1]``, ``target`` ``[M, N, 2]``: time, and 1 where the event was seen.
    """
    time, event = target[..., 0].double(), target[..., 1].double()
    often = torch.ones_like(time) if weight is None else weight.double()
    risk = risk_of(outputs).double()
    centre, spread = risk.mean(-1, keepdim=True), risk.std(-1, keepdim=True, correction=0).clamp_min(1e-12)
    order = time.argsort(dim=-1, descending=True)
    scaled, seen, often, time = (one.gather(-1, order) for one in ((risk - centre) / spread, event, often, time))
    last = torch.searchsorted(-time, -time, right=True) - 1  # of those still followed, latest first
    slope = torch.zeros_like(centre)
    for _ in range(STEPS):
        hazard = often * torch.exp(slope * scaled)
        still, first, second = (
            (hazard * power).cumsum(-1).gather(-1, last) for power in (torch.ones_like(scaled), scaled, scaled.square())
        )
        mean = first / still
        pull = (seen * often * (scaled - mean)).sum(-1, keepdim=True)
        bend = (seen * often * (second / still - mean.square())).sum(-1, keepdim=True)
        step = torch.where(bend > 1e-12, pull / bend.clamp_min(1e-12), 0.0)
        slope = (slope + step.clamp(-1, 1)).clamp(0, STEEPEST)
    still = (often * torch.exp(slope * scaled)).cumsum(-1).gather(-1, last)
    jumps = seen * often / still
    reached = time.unsqueeze(-1) <= times_of(outputs)[:, :1].double()
    level = (jumps.unsqueeze(-1) * reached).sum(-2).log().clamp_min(NEVER)
    slope = slope / spread
    return torch.cat((slope, level - slope * centre), -1)


def squared_errors(curves: Tensor, times: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Brier scores ``[M, G]`` at each time, weighted by the inverse probability of being still followed.

    ``curves`` ``[M, N, G]``, ``times`` ``[M, G]``, ``target`` ``[M, N, 2]``, ``weight`` ``[M, N]``.
    """
    time, seen = target[..., 0], target[..., 1]
    own, at_times = _still_followed(time, seen, weight, times)
    over = time.unsqueeze(-1) <= times.unsqueeze(-2)
    gone = torch.where(own > 0, seen / own.clamp_min(1e-300), 0.0).unsqueeze(-1)
    here = torch.where(at_times > 0, 1 / at_times.clamp_min(1e-300), 0.0).unsqueeze(-2)
    cost = torch.where(over, gone * curves.square(), here * (1 - curves).square())
    return (weight.unsqueeze(-1) * cost).sum(-2) / weight.sum(-1, keepdim=True)


def over_time(scores: Tensor, times: Tensor) -> Tensor:
    """The mean ``[M]`` of scores ``[M, G]`` over the span of the times, by the trapezoid rule."""
    span = times[:, -1] - times[:, 0]
    area = torch.trapezoid(scores, times)
    return torch.where(span > 0, area / torch.where(span > 0, span, 1.0), scores.mean(-1))


def _still_followed(time: Tensor, seen: Tensor, weight: Tensor, times: Tensor) -> tuple[Tensor, Tensor]:
    """Kaplan and Meier's share that is not censored, at each row's own time ``[M, N]`` and at ``times`` ``[M, G]``.

    Of events and censored rows at one time, the events come first.
    """
    order = time.argsort(dim=-1)
    t, d, w = (one.gather(-1, order) for one in (time, seen, weight))
    block = F.pad((t[:, 1:] != t[:, :-1]).long().cumsum(-1), (1, 0))
    events, censored = (torch.zeros_like(w).scatter_add(-1, block, w * part) for part in (d, 1 - d))
    followed = w.sum(-1, keepdim=True) - F.pad((events + censored).cumsum(-1)[:, :-1], (1, 0))
    left = followed - events
    share = torch.where(left > 1e-12, 1 - censored / left.clamp_min(1e-12), 1.0).clamp(0, 1).cumprod(-1)
    sorted_share = share.gather(-1, block)
    own = torch.empty_like(sorted_share).scatter(-1, order, sorted_share)
    upto = torch.searchsorted(t.contiguous(), times.contiguous(), right=True)
    return own, F.pad(sorted_share, (1, 0), value=1.0).gather(-1, upto)
