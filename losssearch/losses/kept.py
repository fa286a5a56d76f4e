"""The states of a whole loss: whose each is, what it is called in a module, and how it starts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from torch import Tensor

from losssearch.losses.part import part_choices, part_states
from losssearch.losses.spec import LossSpec
from losssearch.losses.state import Dimensions, State

if TYPE_CHECKING:
    from losssearch.data.batch import Sizes

BALANCE = "balance"
"""Stands for the number of the part in the names of a balance's states."""

T = TypeVar("T")


@dataclass(frozen=True)
class Kept:
    """One state of a loss, of the part number ``place``, or of the balance where that is None."""

    place: int | None
    name: str
    state: State
    dimensions: Dimensions

    @property
    def key(self) -> str:
        """Its name among the learned parameters of a module: ``0_alpha``."""
        return f"{BALANCE if self.place is None else self.place}_{self.name}"

    @property
    def buffer(self) -> str:
        """Its name among the buffers of a module: ``memory_0``."""
        return f"{self.name}_{BALANCE if self.place is None else self.place}"

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the whole tensor, without the axis of rows."""
        return self.state.size(self.dimensions)

    def first(self, seed: int = 0) -> Tensor:
        """The initial value of one row, where there is one per row; see `State.first`."""
        return self.state.first(self.dimensions, self.key, seed)

    def start(self, seed: int = 0) -> Tensor:
        """The initial value; see `State.start`."""
        return self.state.start(self.dimensions, self.key, seed)


def kept_states(spec: LossSpec, sizes: Sizes) -> Iterator[Kept]:
    """The states of the parts in their order, then those of the balance."""
    for place, part in enumerate(spec.parts):
        dimensions = Dimensions.of(sizes, choices=part_choices(part))
        for name, state in part_states(part).items():
            yield Kept(place, name, state, dimensions)
    dimensions = Dimensions.of(sizes, parts=len(spec.parts))
    for name, state in spec.balance.record.states.items():
        yield Kept(None, name, state, dimensions)


def learns(spec: LossSpec) -> bool:
    """Whether the optimiser moves states of the loss with the model."""
    return any(state.optimised for state in _states(spec))


def by_validation(spec: LossSpec) -> bool:
    """Whether the hypergradient moves states of the loss."""
    return any(state.by_validation for state in _states(spec))


def _states(spec: LossSpec) -> list[State]:
    return [
        *(state for part in spec.parts for state in part_states(part).values()),
        *spec.balance.record.states.values(),
    ]


def learned_alone(learned: Mapping[str, T], *places: int) -> dict[str, T]:
    """The learned states of the parts at ``places`` of a spec, named as `LossSpec.alone` of them has them.

    ``learned``: by name in the composed loss's state, ``0_alpha`` or ``learned.0_alpha``.
    """
    found: dict[str, T] = {}
    for name, value in learned.items():
        index, own = name.removeprefix("learned.").split("_", 1)
        if index != BALANCE and int(index) in places:
            found[f"{sorted(places).index(int(index))}_{own}"] = value
    return found
