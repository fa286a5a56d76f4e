"""One scale for the scores of several trainings of one loss, so that one threshold cuts them alike.

Trainings differ in where their logits lie: at one threshold, one accepts more rows than another, and their gaps differ
as well. On rows that all of them scored, without a look at labels, each score is replaced by the mean score of the same
rank. The order within a training stays.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class CommonScale:
    """For each training, its distinct scores of the shared rows and the mean scores of the same ranks, both rising."""

    own: tuple[npt.NDArray[np.float64], ...]
    common: tuple[npt.NDArray[np.float64], ...]

    @classmethod
    def of(cls, scores: Tensor) -> CommonScale:
        """The scale of trainings that scored the same rows, ``[R, H]``."""
        ordered = np.sort(scores.double().numpy(), axis=1)
        mean = ordered.mean(0)
        own, common = [], []
        for row in ordered:
            values, first, count = np.unique(row, return_index=True, return_counts=True)
            own.append(values)
            common.append(np.add.reduceat(mean, first) / count)
        return cls(tuple(own), tuple(common))

    def apply(self, scores: Tensor) -> Tensor:
        """Scores ``[R, N]`` on the common scale, double precision."""
        moved = [_moved(*pair) for pair in zip(scores.double().numpy(), self.own, self.common, strict=True)]
        return torch.from_numpy(np.stack(moved))

    def back(self, threshold: float) -> tuple[float, ...]:
        """What a threshold on the common scale is for each training's own scores."""
        at = np.array([threshold])
        return tuple(float(_moved(at, common, own)[0]) for own, common in zip(self.own, self.common, strict=True))


def _moved(
    values: npt.NDArray[np.float64], start: npt.NDArray[np.float64], end: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Values along the line through the points, which continues at slope 1 beyond them."""
    inside = np.interp(values, start, end)
    moved: npt.NDArray[np.float64] = inside + np.minimum(values - start[0], 0.0) + np.maximum(values - start[-1], 0.0)
    return moved
