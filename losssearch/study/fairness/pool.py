"""The rows outside test that some training held out, each with one training that scores it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Pool:
    """All rows outside test that some training held out.

    ``rows`` ``[N]``: their numbers in the dataset, those of the search part first. ``training`` ``[N]``: whose model
    scores each; ``place`` ``[N]``: its rank among its validation rows, or among the confirmation rows.
    """

    rows: Tensor
    training: Tensor
    place: Tensor
    searched: int

    def gather(self, validation: Tensor, confirmation: Tensor) -> Tensor:
        """The outputs of these rows ``[N(, C)]`` from those of all trainings, ``[R, V(, C)]`` and ``[R, H(, C)]``."""
        own, first = (self.training, self.place), self.searched
        return torch.cat((validation[own[0][:first], own[1][:first]], confirmation[own[0][first:], own[1][first:]]))


def pool_of(validated: npt.NDArray[np.int64], confirmation: npt.NDArray[np.int64]) -> Pool:
    """The rows held out by trainings ``[R, V]`` and of all of them ``[H]``, each with one training that scores it."""
    trainings, width = validated.shape
    rows, where = np.unique(validated, return_inverse=True)
    place = np.full((trainings, len(rows)), -1)
    place[np.repeat(np.arange(trainings), width), where.reshape(-1)] = np.tile(np.arange(width), trainings)
    # Where several held out a row, they take turns.
    turn = (np.arange(trainings)[:, None] - np.arange(len(rows))) % trainings
    training = np.where(place >= 0, turn, trainings).argmin(0)
    held = np.arange(len(confirmation))
    return Pool(
        torch.from_numpy(np.concatenate((rows, confirmation))),
        torch.from_numpy(np.concatenate((training, held % trainings))),
        torch.from_numpy(np.concatenate((place[training, np.arange(len(rows))], held))),
        len(rows),
    )


def by_training(
    outputs: Tensor, training: Tensor, adjust: Sequence[Callable[[Tensor], Tensor]], axis: int = 0
) -> Tensor:
    """Outputs whose rows, along ``axis``, are adjusted as those of their training ``[N]`` are."""
    moved = outputs.clone()
    for one, own in enumerate(adjust):
        rows = (training == one).nonzero().squeeze(1)
        if len(rows):
            moved.index_copy_(axis, rows, own(outputs.index_select(axis, rows)))
    return moved
