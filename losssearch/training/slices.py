"""A population in slices that pass through the model one after the other, where memory does not hold all at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from losssearch.losses.population import PopulationLoss
from losssearch.models import StackedModel
from losssearch.models.stacked import StackedPass


@dataclass(frozen=True)
class Slice:
    """Neighbouring members with their losses and with what runs them forwards and backwards."""

    members: slice
    loss: PopulationLoss
    passage: StackedPass


def slices(model: StackedModel, loss: PopulationLoss, most: int) -> list[Slice]:
    """The members of ``loss`` in slices of even size, ``most`` in each at the most."""
    count = len(loss.specs)
    size = -(-count // -(-count // most))
    if size >= count:
        return [Slice(slice(None), loss, model.new_pass())]
    found = [slice(start, min(start + size, count)) for start in range(0, count, size)]
    return [Slice(own, loss.like(loss.specs[own]), model.new_pass()) for own in found]


def joined(tensors: Sequence[Tensor]) -> Tensor:
    """What all slices gave, members side by side: ``[R, K, ...]``."""
    return tensors[0] if len(tensors) == 1 else torch.cat(list(tensors), dim=1)
