"""What the losses of a population carry from batch to batch.

What is kept for each training row lies in tables, of the members that use it alone: the rows of a batch are gathered
before it, and written after it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from losssearch.errors import SpecError
from losssearch.losses.kept import Kept, kept_states
from losssearch.losses.population_kinds import Entry, carried_states
from losssearch.losses.population_step import States, with_moments

if TYPE_CHECKING:
    from losssearch.data.batch import Batch, Sizes
    from losssearch.losses.spec import LossSpec

PLAIN = 256 << 20
"""Bytes up to which the tables of `MEMBERS` members are float32; larger ones are bfloat16."""

MEMBERS = 64
"""Members that `PLAIN` is for. Their number must not depend on the population: a member alone is the same as in one."""

_FLOAT, _HALF = 4, 2


class Carried:
    """What updates or the hypergradient move, of groups of parts or balances of one kind, in the order of `States`."""

    def __init__(self, groups: Sequence[Sequence[Entry]], device: torch.device) -> None:
        self._kept = [
            [(entry.member, _named(entry, name)) for entry in entries] for entries, name in carried_states(groups)
        ]
        self._by_row = [own[0][1].state.by_row for own in self._kept]
        states = [own[0][1].state for own in self._kept]
        self.by_validation = {place: state for place, state in enumerate(states) if state.by_validation}
        """What the hypergradient moves, by its place."""
        self._device = device

    def start(self, seeds: Sequence[int], rows: int = 0) -> States:
        """All of them, as they start in the replicas with these seeds.

        Where ``rows`` are given, what is kept by row has that many rows, as in a batch of that size.
        """
        found = []
        for own, by_row in zip(self._kept, self._by_row, strict=True):
            if by_row:
                found.append(table_of([kept for _, kept in own], seeds, rows).to(self._device))
            else:
                drawn = [torch.stack([kept.start(seed) for _, kept in own]) for seed in seeds]
                value = torch.stack(drawn).to(self._device)
                found.append(with_moments(value) if own[0][1].state.by_validation else value)
        return tuple(found)

    def seen(self, outputs: Tensor, batch: Batch, states: States | None) -> States:
        """What a batch sees of ``states``, or of the start where there are none."""
        if not any(self._by_row):
            return self.start([0] * len(outputs)) if states is None else states
        if "index" not in batch:
            raise SpecError("a term of these losses keeps a state for each training row: rows need their numbers")
        if states is None:
            return self.start([0] * len(outputs), outputs.shape[2])
        index = batch["index"]
        return tuple(rows_of(own, index) if row else own for own, row in zip(states, self._by_row, strict=True))

    @torch.no_grad()
    def after(self, states: States, seen: States, batch: Batch) -> States:
        """What is carried on, of what was carried to a batch and of what the batch made of what it has seen.

        Tables are written in.
        """
        for old, new, by_row in zip(states, seen, self._by_row, strict=True):
            if by_row:
                write_rows(old, batch["index"], new)
        return tuple(o if by_row else n for o, n, by_row in zip(states, seen, self._by_row, strict=True))

    def copied(self, states: States) -> States:
        """The same with tables that may be written in."""
        return tuple(own.clone() if row else own for own, row in zip(states, self._by_row, strict=True))

    def apart(self, states: States, first: int) -> dict[tuple[int, str], Tensor]:
        """What each member carries, ``[R, ...]``, by the member's number from ``first`` on and the state's name."""
        return {
            (first + member, kept.key): value[:, place]
            for value, own in zip(states, self._kept, strict=True)
            for place, (member, kept) in enumerate(own)
        }

    def together(self, states: Mapping[tuple[int, str], Tensor], first: int) -> States:
        """The inverse of `apart`."""
        return tuple(
            torch.stack([states[first + member, kept.key] for member, kept in own], dim=1) for own in self._kept
        )

    def handed_over(self, first: int) -> set[tuple[int, str]]:
        """The names, as `apart` gives them, of what is handed over at the end of a training."""
        return {(first + m, kept.key) for own in self._kept for m, kept in own if kept.state.handed_over}


def _named(entry: Entry, name: str) -> Kept:
    return next(kept for kept in entry.states if kept.name == name)


def table_type(kept: Kept) -> torch.dtype:
    """The type of a table that holds this state for each training row."""
    return torch.float32 if MEMBERS * _FLOAT * _numbers(kept) <= PLAIN else torch.bfloat16


def table_bytes(kept: Kept) -> int:
    """Bytes of the table of one member in one replica; 0 for what is not kept by row."""
    if not kept.state.by_row:
        return 0
    return _numbers(kept) * (_FLOAT if table_type(kept) == torch.float32 else _HALF)


def tables_bytes(spec: LossSpec, sizes: Sizes) -> int:
    """Bytes of all tables of a member with this loss in one replica."""
    return sum(table_bytes(kept) for kept in kept_states(spec, sizes))


def table_of(members: Sequence[Kept], seeds: Sequence[int], rows: int = 0) -> Tensor:
    """The table ``[R, k, N, ...]`` as it starts in the replicas with these seeds; of ``rows`` rows alone, if given."""
    if not (size := members[0].dimensions.rows):
        raise SpecError(f"{members[0].key} is kept for each training row: give their number, rows=")
    first = torch.stack([torch.stack([kept.first(seed) for kept in members]) for seed in seeds])
    whole = (*first.shape[:2], rows or size, *first.shape[2:])
    return first.to(table_type(members[0])).unsqueeze(2).expand(whole).contiguous()


def rows_of(table: Tensor, index: Tensor) -> Tensor:
    """The rows ``[R, k, batch, ...]`` of a table whose numbers in their replica are ``index`` ``[R, batch]``."""
    rows = table.flatten(0, 2).index_select(0, _places(table, index))
    found: Tensor = rows.unflatten(0, (*table.shape[:2], index.shape[1]))
    return found


def write_rows(table: Tensor, index: Tensor, rows: Tensor) -> None:
    """Put ``rows`` ``[R, k, batch, ...]`` into the table; the numbers of a replica must differ."""
    table.flatten(0, 2).index_copy_(0, _places(table, index), rows.flatten(0, 2).to(table.dtype))


def _places(table: Tensor, index: Tensor) -> Tensor:
    replicas, members, size = table.shape[:3]
    first = torch.arange(0, replicas * members * size, size, device=index.device).view(replicas, members, 1)
    return (first + index.unsqueeze(1)).flatten()


def _numbers(kept: Kept) -> int:
    return kept.dimensions.rows * torch.Size(kept.shape).numel()
