"""A number that starts and arrives slowly."""

from __future__ import annotations

import torch
from torch import Tensor

from losssearch.losses.schedule import LEVEL, schedule


@schedule(
    reference="Loshchilov and Hutter 2017, eq. 5, without restarts",
    formula="cosine({start}→{end})",
    latex=r"\cos({start} \to {end})",
    plain=True,
    between=True,
    start=LEVEL,
    end=LEVEL,
)
def cosine(progress: Tensor, *, start: Tensor, end: Tensor) -> Tensor:
    """From ``start`` to ``end`` along half a wave of a cosine."""
    left = (1 + torch.cos(torch.pi * progress)) / 2
    return start * left + end * (1 - left)
