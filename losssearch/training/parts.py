"""A population in parts that pass through the model one after the other, where memory does not hold all at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from losssearch.losses.population import PopulationLoss
from losssearch.models import StackedModel
from losssearch.models.stacked import StackedPass


@dataclass(frozen=True)
class Part:
    """Neighbouring members with their losses and with what runs them forwards and backwards."""

    members: slice
    loss: PopulationLoss
    passage: StackedPass


def parts(model: StackedModel, loss: PopulationLoss, most: int) -> list[Part]:
    """The members of ``loss`` in parts of even size, ``most`` in each at the most."""
    count = len(loss.specs)
    size = -(-count // -(-count // most))
    if size >= count:
        return [Part(slice(None), loss, model.new_pass())]
    slices = [slice(start, min(start + size, count)) for start in range(0, count, size)]
    return [Part(own, loss.like(loss.specs[own]), model.new_pass()) for own in slices]


def joined(tensors: Sequence[Tensor]) -> Tensor:
    """What all parts gave, members side by side: ``[R, K, ...]``."""
    return tensors[0] if len(tensors) == 1 else torch.cat(list(tensors), dim=1)
