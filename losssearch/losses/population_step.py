"""One mini-batch of a population, as all kinds of parts and balances are evaluated on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from torch import Tensor

from losssearch.losses.part import weighted
from losssearch.losses.population_kinds import Balancing, Kind, Members

if TYPE_CHECKING:
    from losssearch.data.batch import Batch

States: TypeAlias = tuple[Tensor, ...]
"""What the losses of a population carry from batch to batch: one tensor ``[R, entries, ...]`` for each state of each
kind of part or balance, with an entry for each of the kind's own members. What is kept for each training row is
``[R, entries, N, ...]``; as a batch sees it, it is of the rows of the batch alone. What the hypergradient moves is
``[R, entries, 3, ...]``: the value and Adam's two moments."""


def with_moments(value: Tensor) -> Tensor:
    """Values ``[R, entries, ...]`` with two moments of 0, ``[R, entries, 3, ...]``."""
    none = torch.zeros_like(value)
    return torch.stack((value, none, none), dim=2)


@dataclass(frozen=True)
class Step:
    """Outputs and learned values of all members [R·K, ...]."""

    outputs: Tensor
    batch: Batch
    facts: Batch
    learned: Tensor
    progress: Tensor
    states: States

    def given(self, kind: Kind) -> tuple[Any, ...]:
        """What a kind's functions take."""
        own = kind.members
        chosen = self.outputs if own.whole else self.outputs.index_select(0, own.rows)
        return chosen, kind.batch(self.batch), kind.facts(self.facts), self.progress, *self._kept(own)

    def values(self, kind: Kind) -> Tensor:
        """The weighted values [entries] of a kind."""
        return self._weighted(kind, self.given(kind))

    def _weighted(self, kind: Kind, given: tuple[Any, ...]) -> Tensor:
        values = kind.evaluate(*given)
        if kind.part.weighting.record.elementwise:
            values = weighted(kind.part, values, *given[-3:])
        return values

    def values_and_norms(self, kind: Kind) -> tuple[Tensor, Tensor]:
        """The weighted values [entries] of a kind, and the norms of their gradients at the outputs."""
        chosen, *rest = self.given(kind)
        # Without a graph, a view of what requires a gradient says that it does as well, but has none.
        if not (torch.is_grad_enabled() and chosen.requires_grad):
            chosen = chosen.detach().requires_grad_()
        with torch.enable_grad():
            values = self._weighted(kind, (chosen, *rest))
            (slope,) = torch.autograd.grad(values.sum(), chosen, retain_graph=True, materialize_grads=True)
        return values, slope.detach().flatten(1).norm(dim=1)

    def balanced(self, own: Balancing, values: Tensor, norms: Tensor) -> tuple[Any, ...]:
        """What a balance's functions take, of the values of all parts [R·K, parts] and the norms of their gradients."""
        chosen = (table.index_select(0, own.members.rows)[:, : own.parts] for table in (values, norms))
        return *chosen, self.progress, *self._kept(own.members)

    def _kept(self, members: Members) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        numbers = {name: value.to(self.outputs.dtype) for name, value in members.numbers.items()}
        return numbers, members.states(self.learned, self.states)


def scalar(value: float | Tensor, like: Tensor) -> Tensor:
    """``value`` as a scalar of the type of ``like``."""
    # Filled on the device: a tensor made from a number of Python's is copied there, and the copy waits for the device.
    return value if isinstance(value, Tensor) else like.new_full((), value)
