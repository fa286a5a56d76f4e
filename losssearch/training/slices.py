"""A population in slices that pass through the model one after the other, where memory does not hold all at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

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
    two_levels: bool = False
    """Whether the hypergradient moves something of each of them, so that they train on rows of their own."""


def slices(model: StackedModel, loss: PopulationLoss, most: int, two_levels: Sequence[bool] = ()) -> list[Slice]:
    """The members of ``loss`` in slices of even size, ``most`` in each at the most; those on two levels apart."""
    count, found = len(loss.specs), list[Slice]()
    runs = [(flag, list(run)) for flag, run in groupby(range(count), lambda k: bool(two_levels) and two_levels[k])]
    for flag, run in runs:
        size = -(-len(run) // -(-len(run) // most))
        if size >= count:
            return [Slice(slice(None), loss, model.new_pass(), flag)]
        for start in range(run[0], run[-1] + 1, size):
            own = slice(start, min(start + size, run[-1] + 1))
            found.append(Slice(own, loss.like(loss.specs[own]), model.new_pass(), flag))
    return found


def joined(tensors: Sequence[Tensor]) -> Tensor:
    """What all slices gave, members side by side: ``[R, K, ...]``."""
    return tensors[0] if len(tensors) == 1 else torch.cat(list(tensors), dim=1)
