"""The value of a loss from those of its parts, by its balance. Works under ``torch.func.vmap``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from losssearch.losses.balance import Balance
from losssearch.losses.part import received, updated
from losssearch.losses.schedule import Scheduled, flat_numbers, number_at


def balance_numbers(balance: Balance) -> dict[str, float]:
    """Every number of the balance that may differ between members of a population."""
    found: dict[str, float] = {}
    for name, number in balance.numbers:
        found |= flat_numbers(name, number)
    return found


def balance_kind(balance: Balance, parts: int) -> tuple[object, ...]:
    """What must be equal for two losses with this number of ``parts`` to be balanced together."""
    schedules = [(name, *number.course) for name, number in balance.numbers if isinstance(number, Scheduled)]
    return balance.kind, parts, tuple(schedules)


def balanced(
    balance: Balance,
    values: Tensor,
    norms: Tensor | None,
    progress: Tensor,
    numbers: Mapping[str, Any],
    states: Mapping[str, Tensor],
) -> Tensor:
    """The loss, a scalar, from the values of its parts ``[parts]``; `balance_numbers` names the ``numbers``.

    ``norms`` ``[parts]``, of the values' gradients at the outputs, may be None where the balance does not read them.
    """
    read, given = _arguments(balance, values, norms, progress, numbers, states)
    return total(balance.record.function(*read, **given), values)


def next_balance(
    balance: Balance,
    values: Tensor,
    norms: Tensor | None,
    progress: Tensor,
    numbers: Mapping[str, Any],
    states: Mapping[str, Tensor],
) -> dict[str, Tensor]:
    """The states of the balance that an update moves, after one batch."""
    read, given = _arguments(balance, values, norms, progress, numbers, states)
    return {name: update(*read, **given) for name, update in updated(balance.record.states).items()}


def _arguments(
    balance: Balance,
    values: Tensor,
    norms: Tensor | None,
    progress: Tensor,
    numbers: Mapping[str, Any],
    states: Mapping[str, Tensor],
) -> tuple[list[Tensor | None], dict[str, Any]]:
    given = {name: number_at(name, number, numbers, progress) for name, number in balance.numbers}
    read = {"values": values, "norms": norms, "progress": progress}
    return [read[name] for name in balance.record.reads], given | received(balance.record.states, states)


def total(found: Tensor, values: Tensor) -> Tensor:
    """What a balance gives as the loss: itself, or the sum of the ``values`` under weights that it gives."""
    return (found.detach() * values).sum() if found.dim() else found


def output_norms(values: Sequence[Tensor], output: Tensor) -> Tensor:
    """The norms ``[parts]`` of the gradients of the parts' values at the outputs, which need a graph to them."""
    slopes = [
        torch.autograd.grad(value, output, retain_graph=True, allow_unused=True)[0] if value.requires_grad else None
        for value in values
    ]
    return torch.stack([output.new_zeros(()) if slope is None else slope.norm() for slope in slopes])
