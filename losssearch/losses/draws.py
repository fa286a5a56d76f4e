"""Random numbers of a pure function, whose generator is a state of three numbers (Wichmann and Hill 1982).

All of its products are whole numbers below 2^24, which single precision holds: the same on every device, and in an
exported loss.
"""

from __future__ import annotations

import torch
from torch import Tensor


def start_draws(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """The state of a generator ``[..., 3]``."""
    return torch.randint(1, 30_000, shape, generator=generator).float()


def uniform(draws: Tensor) -> Tensor:
    """The random number in [0, 1) that a generator ``[..., 3]`` is at."""
    one, two, three = draws.unbind(-1)
    return torch.remainder(one / 30269 + two / 30307 + three / 30323, 1.0)


def next_draws(draws: Tensor) -> Tensor:
    """The state after that number."""
    one, two, three = draws.unbind(-1)
    moved = (torch.remainder(171 * one, 30269), torch.remainder(172 * two, 30307), torch.remainder(170 * three, 30323))
    return torch.stack(moved, -1)
