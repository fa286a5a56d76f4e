"""Parts that have become smaller lately count less."""

from __future__ import annotations

import torch
from torch import Tensor

from losssearch.losses.balance import balance, per_part
from losssearch.losses.domains import Float, Int
from losssearch.losses.state import State


def next_count(
    values: Tensor, *, temperature: Tensor, window: Tensor, count: Tensor, total: Tensor, last: Tensor, before: Tensor
) -> Tensor:
    """Batches of the window that is not over."""
    return torch.where(count + 1 >= window, 0.0, count + 1)


def next_total(
    values: Tensor, *, temperature: Tensor, window: Tensor, count: Tensor, total: Tensor, last: Tensor, before: Tensor
) -> Tensor:
    """The sums of their values."""
    return torch.where(count + 1 >= window, 0.0, total + values)


def next_last(
    values: Tensor, *, temperature: Tensor, window: Tensor, count: Tensor, total: Tensor, last: Tensor, before: Tensor
) -> Tensor:
    """The means of the last window that is over."""
    return torch.where(count + 1 >= window, (total + values) / (count + 1), last)


def next_before(
    values: Tensor, *, temperature: Tensor, window: Tensor, count: Tensor, total: Tensor, last: Tensor, before: Tensor
) -> Tensor:
    """Those of the window before it."""
    return torch.where(count + 1 >= window, last, before)


@balance(
    reference="Liu et al. 2019, eq. 7, over windows of batches",
    formula="dwa[{temperature}]({part})",
    latex=r"\mathrm{dwa}_{{temperature}}\left[{part}\right]",
    needs_nonnegative=True,
    temperature=Float(0.1, 10.0, default=2.0, log=True),
    window=Int(1, 1000, default=50),
    count=State((), 0.0, "update", next_count, restarts=True),
    total=State(per_part, 0.0, "update", next_total, restarts=True),
    last=State(per_part, 0.0, "update", next_last, restarts=True),
    before=State(per_part, 0.0, "update", next_before, restarts=True),
)
def dwa(
    values: Tensor, *, temperature: Tensor, window: Tensor, count: Tensor, total: Tensor, last: Tensor, before: Tensor
) -> Tensor:
    """Weights by how fast each part fell: ``P softmax(L[t-1] / L[t-2] / temperature)``, means over ``window`` batches.

    Weights are 1 until two windows are over.
    """
    ratio = torch.where(before > 0, last / torch.where(before > 0, before, 1.0), 1.0)
    return values.shape[0] * torch.softmax(ratio / temperature, 0)
