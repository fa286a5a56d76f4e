"""Weights that are drawn anew for each batch."""

from __future__ import annotations

import torch
from torch import Tensor

from losssearch.losses.balance import balance
from losssearch.losses.draws import next_draws, start_draws, uniform
from losssearch.losses.state import Dimensions, State


def three_per_part(sizes: Dimensions) -> tuple[int, ...]:
    """The shape of what each part's random numbers are made of."""
    return (sizes.parts, 3)


def next_drawn(values: Tensor, *, draws: Tensor) -> Tensor:
    """Two random numbers later, for each part."""
    return next_draws(next_draws(draws))


@balance(
    reference="Lin et al. 2022, random loss weighting",
    formula="random({part})",
    latex=r"\mathrm{random}\left[{part}\right]",
    meaning="weights that are the softmax of normal random numbers, new for each batch",
    draws=State(three_per_part, start_draws, "update", next_drawn, restarts=True),
)
def random(values: Tensor, *, draws: Tensor) -> Tensor:
    """Weights that are the softmax of standard normal numbers, drawn for each batch by a generator that is kept."""
    size = torch.sqrt(-2 * torch.log(uniform(draws).clamp_min(1e-7)))
    return torch.softmax(size * torch.cos(2 * torch.pi * uniform(next_draws(draws))), 0)
