"""All parts fall at one pace, relative to their size."""

from __future__ import annotations

import torch
from torch import Tensor

from losssearch.losses.balance import balance, per_part
from losssearch.losses.domains import Float
from losssearch.losses.state import State


def logarithms(values: Tensor) -> Tensor:
    """Of values that may be 0."""
    return torch.log(values.clamp_min(1e-8))


def next_logits(values: Tensor, *, rate: Tensor, decay: Tensor, logits: Tensor, last: Tensor, seen: Tensor) -> Tensor:
    """What the weights are the softmax of, moved by what the last step has done to each part."""
    share = torch.softmax(logits, 0)
    fallen = torch.where(seen > 0, last - logarithms(values), 0.0)
    return logits - rate * share * (fallen - (share * fallen).sum()) - decay * logits


def next_last(values: Tensor, *, rate: Tensor, decay: Tensor, logits: Tensor, last: Tensor, seen: Tensor) -> Tensor:
    """The logarithms of the values of the last batch."""
    return logarithms(values)


def next_seen(values: Tensor, *, rate: Tensor, decay: Tensor, logits: Tensor, last: Tensor, seen: Tensor) -> Tensor:
    """Whether there was a batch."""
    return torch.ones_like(seen)


@balance(
    reference="Liu et al. 2023, algorithm 1, from batch to batch",
    formula="famo[{rate}]({part})",
    latex=r"\mathrm{famo}_{{rate}}\left[{part}\right]",
    needs_nonnegative=True,
    rate=Float(1e-3, 10.0, default=0.1, log=True),
    decay=Float(0.0, 0.5, default=1e-3),
    logits=State(per_part, 0.0, "update", next_logits, restarts=True),
    last=State(per_part, 0.0, "update", next_last, restarts=True),
    seen=State((), 0.0, "update", next_seen, restarts=True),
)
def famo(values: Tensor, *, rate: Tensor, decay: Tensor, logits: Tensor, last: Tensor, seen: Tensor) -> Tensor:
    """The logarithms of the parts, under weights that favour what has fallen least by the last step.

    The weights of the values are proportional to ``softmax(logits) / L`` and sum to 1.
    """
    logits = next_logits(values, rate=rate, decay=decay, logits=logits, last=last, seen=seen)
    own = torch.softmax(logits, 0) / values.clamp_min(1e-8)
    return own / own.sum()
