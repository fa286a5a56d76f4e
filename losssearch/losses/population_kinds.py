"""What is evaluated together in a population: the parts of one kind, or the balances of one kind, as tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.func import vmap

from losssearch.losses.balancing import balance_numbers, balanced, next_balance
from losssearch.losses.kept import Kept
from losssearch.losses.offer import Offer, Reading
from losssearch.losses.part import (
    EVALUATED,
    next_states,
    part_choices,
    part_numbers,
    part_value,
    reduced,
    term_inputs,
)
from losssearch.losses.spec import LossSpec, Part
from losssearch.losses.state import State

if TYPE_CHECKING:
    from losssearch.data.batch import Batch


@dataclass(frozen=True)
class Entry:
    """A part of a member's loss, or its balance where ``place`` is None.

    ``states``: what it keeps; ``columns``: the first column of each learned one among those of its member.
    """

    member: int
    spec: LossSpec
    place: int | None
    states: tuple[Kept, ...]
    columns: dict[str, int]

    @property
    def part(self) -> Part:
        """The part."""
        assert self.place is not None  # noqa: S101  (asked of entries that are parts)
        return self.spec.parts[self.place]


@dataclass(frozen=True)
class Members:
    """The members that have one kind of part or of balance, in all replicas: ``entries`` = replicas × such members."""

    rows: Tensor
    """[entries], places in the outputs of all members, [R·K]."""
    whole: bool
    """Whether ``rows`` are all of them, in order."""
    replicas: Tensor
    """[entries], places in the batches of all replicas."""
    places: Tensor
    """[entries], numbers of the parts in their losses."""
    numbers: dict[str, Tensor]
    learned: dict[str, tuple[Tensor, tuple[int, ...]]]
    """Name to the columns of each entry in what its member learns, [entries] or [entries, size], and the shape."""
    frozen: dict[str, Tensor]
    """Name to what never changes, of the declared shape."""
    carried: tuple[tuple[int, str, State], ...]
    """Place among the population's states, name, and declaration."""

    @property
    def follows(self) -> bool:
        """Whether an update moves something of it."""
        return any(state.update is not None for _, _, state in self.carried)

    def tensors(self) -> list[Tensor]:
        """All of them, in a fixed order."""
        columns = [columns for columns, _ in self.learned.values()]
        return [
            self.rows,
            self.replicas,
            self.places,
            *self.numbers.values(),
            *columns,
            *self.frozen.values(),
        ]

    def of(self, tensors: Iterator[Tensor]) -> Members:
        """The same made of other tensors, in the order of `tensors`."""
        rows, replicas, places = next(tensors), next(tensors), next(tensors)
        return replace(
            self,
            rows=rows,
            replicas=replicas,
            places=places,
            numbers={name: next(tensors) for name in self.numbers},
            learned={name: (next(tensors), shape) for name, (_, shape) in self.learned.items()},
            frozen={name: next(tensors) for name in self.frozen},
        )

    def states(self, learned: Tensor, carried: Sequence[Tensor]) -> dict[str, Tensor]:
        """What each entry keeps, [entries, ...]: of all that its member learns [R·K, L] and of what is carried."""
        found: dict[str, Tensor] = {}
        for name, (columns, shape) in self.learned.items():
            scalar = columns.dim() == 1
            own = learned[self.rows if scalar else self.rows[:, None], columns]
            found[name] = own if scalar else own.unflatten(-1, shape)
        for name, value in self.frozen.items():
            found[name] = value.to(learned.dtype).expand(len(self.rows), *value.shape)
        for place, name, state in self.carried:
            own = carried[place].flatten(0, 1)
            found[name] = (own[:, 0] if state.by_validation else own).to(learned.dtype)
        return found

    def kept(self, after: Mapping[str, Tensor], carried: list[Tensor]) -> None:
        """Put the next values of what the entries carry, [entries, ...], in the place of the old."""
        for place, name, state in self.carried:
            if state.update is not None:
                old = carried[place]
                carried[place] = after[name].to(old.dtype).view_as(old)


@dataclass(frozen=True)
class Kind:
    """The parts of one kind, in all replicas."""

    part: Part
    evaluate: Callable[..., Tensor]
    """Reduced values [entries] of outputs, batch and facts [entries, ...], progress, numbers and states.

    They are weighted too where the weighting is not elementwise."""
    follow: Callable[..., dict[str, Tensor]]
    """The next states, by name, of the same."""
    members: Members
    reading: Reading
    """What the term reads."""
    summed: bool
    """Whether the losses are the sums of their parts."""

    def batch(self, batch: Batch) -> Batch:
        """What this kind's term reads of a batch, and the weights where there are some, [entries, ...]."""
        names = (*self.reading.own_fields, "weight") if "weight" in batch else self.reading.own_fields
        return {name: batch[name].index_select(0, self.members.replicas) for name in names if name in batch}

    def facts(self, facts: Batch) -> Batch:
        """What this kind's term reads of the facts, [entries, ...]."""
        names = self.reading.facts
        return {name: facts[name].index_select(0, self.members.replicas) for name in names if name in facts}


@dataclass(frozen=True)
class Balancing:
    """The balances of one kind, in all replicas."""

    evaluate: Callable[..., Tensor]
    """Losses [entries] of the values of their parts [entries, parts], the norms of these values' gradients, or one that
    stands for them where they are not read, progress, numbers and states."""
    follow: Callable[..., dict[str, Tensor]]
    """The next states, by name, of the same."""
    members: Members
    parts: int


def moved(members: Sequence[Members], device: torch.device) -> list[Members]:
    """The same on a device, in one transfer for each dtype: each transfer waits for the device."""
    if device.type == "cpu":
        return list(members)
    tensors = [tensor for own in members for tensor in own.tensors()]
    pieces: dict[torch.dtype, Iterator[Tensor]] = {}
    for dtype in {tensor.dtype for tensor in tensors}:
        own = [tensor for tensor in tensors if tensor.dtype == dtype]
        packed = torch.cat([tensor.flatten() for tensor in own]).to(device)
        pieces[dtype] = iter(packed.split([tensor.numel() for tensor in own]))
    there = (next(pieces[tensor.dtype]).view(tensor.shape) for tensor in tensors)
    return [own.of(there) for own in members]


def members_of(
    entries: Sequence[Entry], numbers: Sequence[Mapping[str, float]], first: int, replicas: int, count: int
) -> Members:
    """The members that these entries are of, on the CPU; ``first`` is the place of their first carried state."""
    own, replica = torch.tensor([entry.member for entry in entries]), torch.arange(replicas)
    states = entries[0].states
    learned: dict[str, tuple[Tensor, tuple[int, ...]]] = {}
    for kept in states:
        if kept.state.optimised:
            columns = torch.tensor([entry.columns[kept.name] for entry in entries]).repeat(replicas)
            shape = kept.shape
            size = torch.Size(shape).numel()
            learned[kept.name] = (columns[:, None] + torch.arange(size) if shape else columns), shape
    moving = (kept for kept in states if kept.state.carried)
    return Members(
        rows=(replica[:, None] * count + own).flatten(),
        whole=[entry.member for entry in entries] == list(range(count)),
        replicas=replica.repeat_interleave(len(entries)),
        places=torch.tensor([entry.place or 0 for entry in entries]).repeat(replicas),
        numbers={name: torch.tensor([own[name] for own in numbers]).repeat(replicas) for name in numbers[0]},
        learned=learned,
        frozen={kept.name: kept.start() for kept in states if kept.state.moved_by == "frozen"},
        carried=tuple((first + place, kept.name, kept.state) for place, kept in enumerate(moving)),
    )


def kind_of(entries: Sequence[Entry], first: int, replicas: int, count: int, offer: Offer) -> Kind:
    """The kind that these parts are of, on the CPU."""
    part = entries[0].part
    reading = offer.reading(part.term.reads)

    def named_of(output: Tensor, batch: Batch, facts: Batch, progress: Tensor) -> dict[str, Tensor]:
        return reading.named(output, batch, {**facts, "progress": progress}) | {"progress": progress}

    def inputs(*given: Any) -> list[Tensor | None]:
        return term_inputs(part.term, named_of(*given))

    together = part.term.together and part.term.together([part_choices(entry.part) for entry in entries] * replicas)

    def evaluated_of(output: Tensor, batch: Batch, facts: Batch, progress: Tensor, *_: object) -> dict[str, Tensor]:
        """The values of the term for all entries, where it evaluates them together."""
        if together is None:
            return {}
        return {EVALUATED: together(*vmap(inputs, in_dims=(0, 0, 0, None))(output, batch, facts, progress))}

    def over(function: Callable[..., object]) -> Callable[..., object]:
        def one(
            output: Tensor,
            batch: Batch,
            facts: Batch,
            progress: Tensor,
            numbers: dict[str, Tensor],
            states: dict[str, Tensor],
            evaluated: dict[str, Tensor],
        ) -> object:
            return function(part, named_of(output, batch, facts, progress) | evaluated, numbers, states)

        mapped: Callable[..., object] = vmap(one, in_dims=(0, 0, 0, None, 0, 0, 0))
        return lambda *given: mapped(*given, evaluated_of(*given))

    return Kind(
        part=part,
        evaluate=over(reduced if part.weighting.record.elementwise else part_value),  # type: ignore[arg-type]
        follow=over(next_states),  # type: ignore[arg-type]
        members=members_of(entries, [part_numbers(entry.part) for entry in entries], first, replicas, count),
        reading=reading,
        summed=entries[0].spec.balance.is_sum,
    )


def balancing_of(entries: Sequence[Entry], first: int, replicas: int, count: int) -> Balancing:
    """The balances of these losses, on the CPU."""
    balance = entries[0].spec.balance

    def over(function: Callable[..., object]) -> Callable[..., object]:
        def one(
            values: Tensor, norms: Tensor, progress: Tensor, numbers: dict[str, Tensor], states: dict[str, Tensor]
        ) -> object:
            return function(balance, values, norms, progress, numbers, states)

        return vmap(one, in_dims=(0, 0, None, 0, 0))

    numbers = [balance_numbers(entry.spec.balance) for entry in entries]
    return Balancing(
        evaluate=over(balanced),  # type: ignore[arg-type]
        follow=over(next_balance),  # type: ignore[arg-type]
        members=members_of(entries, numbers, first, replicas, count),
        parts=len(entries[0].spec.parts),
    )


def carried_states(entries: Iterable[Sequence[Entry]]) -> list[tuple[Sequence[Entry], str]]:
    """What the groups of entries carry from batch to batch, in the order in which a population keeps it."""
    return [(own, kept.name) for own in entries for kept in own[0].states if kept.state.carried]
