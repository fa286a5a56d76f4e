"""A number that goes there and back."""

from __future__ import annotations

import torch
from torch import Tensor

from losssearch.losses.domains import Float, Int
from losssearch.losses.schedule import LEVEL, schedule


@schedule(
    reference="Smith 2017; with one cycle, Smith 2022, eq. 4",
    formula="{start}→{end}→{start} x{cycles}",
    latex=r"{start} \to {end} \to {start}\ (\times {cycles})",
    plain=True,
    between=True,
    start=LEVEL,
    end=LEVEL,
    cycles=Int(1, 100, default=1),
    peak=Float(0.01, 0.99, default=0.5),
)
def cyclic(progress: Tensor, *, start: Tensor, end: Tensor, cycles: Tensor, peak: Tensor) -> Tensor:
    """From ``start`` to ``end`` and back, ``cycles`` times; ``end`` is reached after the share ``peak`` of each."""
    done = progress * cycles
    share = done - torch.floor(done)
    there = torch.minimum(share / peak, (1 - share) / (1 - peak))
    return start * (1 - there) + end * there
