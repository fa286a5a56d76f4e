"""Counts of the pairs of rows whose order of events is known, and of those that a risk puts in this order."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

WEIGHTINGS = 128
"""Resamples that are counted at once: eight bytes each per row, and a handful of temporaries."""


def concordance_of(risk: Tensor, time: Tensor, event: Tensor, weight: Tensor) -> Tensor:
    """Share ``[M, B]`` of the comparable pairs that are in order; equal risks count half.

    A pair is comparable if one row has the event and the other is followed for longer, or for as long without it.
    ``risk``, ``time`` and ``event`` are ``[M, N]``, ``weight`` ``[M, N, B]``: how often each row counts. One half
    without a comparable pair.
    """
    parts = [_concordance(risk, time, event, some) for some in weight.split(WEIGHTINGS, -1)]
    return torch.cat(parts, -1)


def _concordance(risk: Tensor, time: Tensor, event: Tensor, weight: Tensor) -> Tensor:
    in_order = _pairs_above(risk, time, event, weight)
    reversed_ = _pairs_above(-risk, time, event, weight)
    comparable = _comparable(time, event, weight)
    share = (in_order + comparable - reversed_) / (2 * torch.where(comparable > 0, comparable, 1.0))
    return torch.where(comparable > 0, share, 0.5)


def _order(risk: Tensor, time: Tensor, event: Tensor) -> Tensor:
    """Places ``[M, N]`` by time; at one time events come first, those of the smallest risk before others."""
    order = risk.argsort(dim=-1, stable=True)
    order = order.gather(-1, (1 - event).gather(-1, order).argsort(dim=-1, stable=True))
    return order.gather(-1, time.gather(-1, order).argsort(dim=-1, stable=True))


def _comparable(time: Tensor, event: Tensor, weight: Tensor) -> Tensor:
    order = _order(torch.zeros_like(time), time, event)
    time, event = time.gather(-1, order), event.gather(-1, order)
    weight = weight.gather(1, order.unsqueeze(-1).expand_as(weight))
    new = (time[:, 1:] != time[:, :-1]) | (event[:, 1:] != event[:, :-1])
    block = F.pad(new.long().cumsum(-1), (1, 0))
    end = torch.searchsorted(block, block, right=True)
    upto = F.pad(weight.cumsum(1), (0, 0, 1, 0))
    after = upto[:, -1:] - upto.gather(1, end.unsqueeze(-1).expand_as(weight))
    return (weight * event.unsqueeze(-1) * after).sum(1)


def _pairs_above(risk: Tensor, time: Tensor, event: Tensor, weight: Tensor) -> Tensor:
    """Weight ``[M, B]`` of the comparable pairs whose earlier row has the larger risk, by merging halves of the rows.

    Of events at one time none comes before one of a larger risk, so that such pairs do not count.
    """
    order = _order(risk, time, event)
    wide = order.unsqueeze(-1).expand_as(weight)
    risk, earlier = risk.gather(-1, order), (weight * event.unsqueeze(-1)).gather(1, wide)
    later = weight.gather(1, wide)
    members, rows, draws = weight.shape
    size = 1 << (rows - 1).bit_length()
    risk = F.pad(risk, (0, size - rows), value=torch.inf)
    earlier, later = (F.pad(one, (0, 0, 0, size - rows)) for one in (earlier, later))
    found = weight.new_zeros(members, draws)
    half = 1
    while half < size:
        halves = risk.reshape(-1, 2, half)
        left, places = halves[:, 0].contiguous().sort(-1)
        mass = earlier.reshape(-1, 2, half, draws)[:, 0].gather(1, places.unsqueeze(-1).expand(-1, -1, draws))
        upto = F.pad(mass.cumsum(1), (0, 0, 1, 0))
        below = torch.searchsorted(left, halves[:, 1].contiguous(), right=True)
        above = upto[:, -1:] - upto.gather(1, below.unsqueeze(-1).expand(-1, -1, draws))
        pairs = (above * later.reshape(-1, 2, half, draws)[:, 1]).sum(1)
        found = found + pairs.reshape(members, -1, draws).sum(1)
        half *= 2
    return found
