"""Parts that have become smaller since a random time back count less."""

from __future__ import annotations

import torch
from torch import Tensor

from losssearch.losses.balance import balance, per_part
from losssearch.losses.domains import Float
from losssearch.losses.draws import next_draws, start_draws, uniform
from losssearch.losses.state import State


def since(values: Tensor, reference: Tensor, temperature: Tensor) -> Tensor:
    """Weights by what is left of each part since it was ``reference``."""
    left = values / torch.where(reference > 0, reference, 1.0)
    return values.shape[0] * torch.softmax(left / temperature, 0)


def next_weights(
    values: Tensor,
    *,
    temperature: Tensor,
    decay: Tensor,
    lookback: Tensor,
    weights: Tensor,
    first: Tensor,
    last: Tensor,
    draws: Tensor,
    seen: Tensor,
) -> Tensor:
    """The weights of this batch."""
    back = since(values, torch.where(seen > 0, first, values), temperature)
    near = since(values, torch.where(seen > 0, last, values), temperature)
    history = torch.where(uniform(draws) < lookback, weights, back)
    return torch.where(seen > 0, decay * history + (1 - decay) * near, torch.ones_like(values))


def next_first(
    values: Tensor,
    *,
    temperature: Tensor,
    decay: Tensor,
    lookback: Tensor,
    weights: Tensor,
    first: Tensor,
    last: Tensor,
    draws: Tensor,
    seen: Tensor,
) -> Tensor:
    """The values of the first batch."""
    return torch.where(seen > 0, first, values)


def next_last(
    values: Tensor,
    *,
    temperature: Tensor,
    decay: Tensor,
    lookback: Tensor,
    weights: Tensor,
    first: Tensor,
    last: Tensor,
    draws: Tensor,
    seen: Tensor,
) -> Tensor:
    """The values of the last batch."""
    return values


def next_drawn(
    values: Tensor,
    *,
    temperature: Tensor,
    decay: Tensor,
    lookback: Tensor,
    weights: Tensor,
    first: Tensor,
    last: Tensor,
    draws: Tensor,
    seen: Tensor,
) -> Tensor:
    """What the next random number is made of."""
    return next_draws(draws)


def next_seen(
    values: Tensor,
    *,
    temperature: Tensor,
    decay: Tensor,
    lookback: Tensor,
    weights: Tensor,
    first: Tensor,
    last: Tensor,
    draws: Tensor,
    seen: Tensor,
) -> Tensor:
    """Whether there was a batch."""
    return torch.ones_like(seen)


@balance(
    reference="Bischof and Kraus 2021, eq. 15",
    formula="relobralo[{temperature}]({part})",
    latex=r"\mathrm{relobralo}_{{temperature}}\left[{part}\right]",
    needs_nonnegative=True,
    temperature=Float(0.05, 10.0, default=1.0, log=True),
    decay=Float(0.0, 1.0, default=0.99),
    lookback=Float(0.0, 1.0, default=0.99),
    weights=State(per_part, 1.0, "update", next_weights, restarts=True),
    first=State(per_part, 0.0, "update", next_first, restarts=True),
    last=State(per_part, 0.0, "update", next_last, restarts=True),
    draws=State((3,), start_draws, "update", next_drawn, restarts=True),
    seen=State((), 0.0, "update", next_seen, restarts=True),
)
def relobralo(
    values: Tensor,
    *,
    temperature: Tensor,
    decay: Tensor,
    lookback: Tensor,
    weights: Tensor,
    first: Tensor,
    last: Tensor,
    draws: Tensor,
    seen: Tensor,
) -> Tensor:
    """Relative loss balancing with random look-back.

    Weights are ``decay`` times their history plus ``1 - decay`` times ``P softmax(L[t] / (temperature L[t-1]))``. The
    history is that of the last batch with the probability ``lookback``, and otherwise the same softmax since the first
    batch.
    """
    return next_weights(
        values,
        temperature=temperature,
        decay=decay,
        lookback=lookback,
        weights=weights,
        first=first,
        last=last,
        draws=draws,
        seen=seen,
    )
