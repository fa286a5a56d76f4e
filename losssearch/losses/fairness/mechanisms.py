"""From a violation and its limit to what a model descends, and the multiplier that some of these ways keep.

Multipliers move by the excess over the limit as a share of the limit, at most ``rate`` a batch, so that one rate serves
statistics of any scale. ``dual`` and ``proxy`` keep the logarithm of their multiplier, which starts at 1; ``augmented``
keeps the multiplier itself, from 0.
"""

from __future__ import annotations

import torch
from torch import Tensor

MECHANISMS = ("penalty", "dual", "augmented", "proxy")

_LEAST_LIMIT = 0.02
"""A limit below this is no unit to measure an excess in."""
_LARGEST_LOG = 7.0
"""Multipliers stay between a thousandth and a thousand."""


def constrained(mechanism: str, violation: Tensor, limit: Tensor, multiplier: Tensor) -> Tensor:
    """What the model descends; ``multiplier`` is the memory's number, a scalar."""
    limit = limit.to(violation.dtype)  # of two scalars the wider would set the type
    excess = violation - limit
    if mechanism == "penalty":
        return torch.relu(excess)
    if mechanism == "augmented":
        unit = limit.clamp_min(_LEAST_LIMIT)
        active = multiplier + excess / unit > 0
        return torch.where(active, multiplier * excess + excess.square() / (2 * unit), -unit * multiplier.square() / 2)
    return multiplier.exp() * excess


def next_multiplier(mechanism: str, violation: Tensor, limit: Tensor, multiplier: Tensor, rate: Tensor) -> Tensor:
    """The memory's number after a batch with this violation."""
    moved = multiplier + rate * ((violation - limit) / limit.clamp_min(_LEAST_LIMIT)).clamp(-1, 1)
    return moved.clamp_min(0) if mechanism == "augmented" else moved.clamp(-_LARGEST_LOG, _LARGEST_LOG)
