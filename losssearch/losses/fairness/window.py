"""Sums over groups, carried across mini-batches, and the rates that they give.

A small group has a handful of rows in a mini-batch, or none: its rate there is mostly noise. The sums are therefore
kept in an exponential window. The window gives the value; the gradient is that of the current mini-batch, as if all
the window's batches moved like it, which is unbiased where they are alike and exact where the window is empty.

Rows of the memory: numerators [cells], denominators [cells], and how many batches the window holds [1].
"""

from __future__ import annotations

import torch
from torch import Tensor

_EMPTY = 1e-6
"""A denominator up to this holds no rows."""


def window_rows(cells: int) -> int:
    """How many rows of memory a window with this number of cells has."""
    return 2 * cells + 1


def window_sums(
    forms: tuple[Tensor, Tensor], group: Tensor, memory: Tensor, decay: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Numerators and denominators ``[cells, groups]`` of the window with this batch in it, and its length ``[groups]``.

    ``forms``: two tensors ``[cells, batch]``; ``group`` ``[batch, groups]``; ``memory`` ``[rows, groups]``.
    """
    cells = forms[0].shape[0]
    own = torch.cat(forms) @ group
    batches = 1 + decay * memory[2 * cells]
    sums = (decay * memory[: 2 * cells] + own).detach() + batches * (own - own.detach())
    return sums[:cells], sums[cells:], batches


def group_rates(numerator: Tensor, denominator: Tensor, shrinkage: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Rates ``[cells, groups]``, overall rates ``[cells]``, and which cells hold rows ``[cells, groups]``.

    Each cell is given ``shrinkage`` rows more, at the overall rate. A cell without rows has the overall rate, so it is
    never the largest, the least or off the mean.
    """
    total = denominator.sum(-1)
    overall = torch.where(total > _EMPTY, numerator.sum(-1) / torch.where(total > _EMPTY, total, 1.0), 0.0)
    present = denominator > _EMPTY
    rows = torch.where(present, denominator + shrinkage, 1.0)
    rates = (numerator + shrinkage * overall[:, None]) / rows
    return torch.where(present, rates, overall[:, None]), overall, present


def next_window(forms: tuple[Tensor, Tensor], group: Tensor, memory: Tensor, decay: Tensor) -> Tensor:
    """The memory ``[rows, groups]`` with this batch in it."""
    own = torch.cat(forms) @ group
    return (decay * memory + torch.cat((own, torch.ones_like(own[:1])))).detach()
