"""The parts of a population that are of one kind, as the tensors by which they are evaluated together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.func import vmap

from losssearch.losses.offer import Offer, Reading
from losssearch.losses.part import learned_scalars, memory_rows, next_memory, part_numbers, part_value, reduced
from losssearch.losses.spec import Part

if TYPE_CHECKING:
    from losssearch.data.batch import Batch, Sizes

Entry = tuple[int, Part, int, int]
"""A member, one of its parts, and the columns of the part's first learned scalar and first number of memory."""


@dataclass(frozen=True)
class Kind:
    """The parts of one kind, in all replicas: ``entries`` = replicas × members that have one."""

    part: Part
    evaluate: Callable[..., Tensor]
    """Reduced values [entries] of outputs, batch and facts [entries, ...], progress, numbers and scalars.

    They are weighted too where the weighting is not elementwise."""
    remember: Callable[..., Tensor]
    """The next memory [entries, rows, groups] of the same."""
    rows: Tensor
    """[entries], places in the outputs of all members, [R·K]."""
    whole: bool
    """Whether ``rows`` are all of them, in order."""
    replicas: Tensor
    """[entries], places in the batches of all replicas."""
    reading: Reading
    """What the term reads."""
    numbers: dict[str, Tensor]
    learned: dict[str, Tensor]
    """Name to the column of each entry in the learned scalars of its member, [entries]."""
    memory: Tensor
    """Columns [entries, rows, groups] of each entry in the memory of its member; no rows where it has none."""

    def batch(self, batch: Batch) -> Batch:
        """What this kind's term reads of a batch, and the weights where there are some, [entries, ...]."""
        names = (*self.reading.own_fields, "weight") if "weight" in batch else self.reading.own_fields
        found = {name: batch[name].index_select(0, self.replicas) for name in names if name in batch}
        if self.part.term.memory:
            found["memory"] = batch["memory"][self.rows[:, None, None], self.memory]
        return found

    def facts(self, facts: Batch) -> Batch:
        """What this kind's term reads of the facts, [entries, ...]."""
        return {name: facts[name].index_select(0, self.replicas) for name in self.reading.facts if name in facts}


def moved(kinds: list[Kind], device: torch.device) -> list[Kind]:
    """The same on a device, in one transfer for each dtype: each transfer waits for the device."""
    if device.type == "cpu":
        return kinds
    tensors = [
        tensor
        for kind in kinds
        for tensor in (kind.rows, kind.replicas, kind.memory, *kind.numbers.values(), *kind.learned.values())
    ]
    pieces: dict[torch.dtype, Iterator[Tensor]] = {}
    for dtype in {tensor.dtype for tensor in tensors}:
        own = [tensor for tensor in tensors if tensor.dtype == dtype]
        packed = torch.cat([tensor.flatten() for tensor in own]).to(device)
        pieces[dtype] = iter(packed.split([tensor.numel() for tensor in own]))

    def there(tensor: Tensor) -> Tensor:
        return next(pieces[tensor.dtype]).view(tensor.shape)

    return [
        replace(
            kind,
            rows=there(kind.rows),
            replicas=there(kind.replicas),
            memory=there(kind.memory),
            numbers={name: there(value) for name, value in kind.numbers.items()},
            learned={name: there(value) for name, value in kind.learned.items()},
        )
        for kind in kinds
    ]


def kind_of(entries: list[Entry], replicas: int, members: int, sizes: Sizes, offer: Offer) -> Kind:
    """The kind that these entries are of, on the CPU."""
    part, own = entries[0][1], torch.tensor([member for member, *_ in entries])
    columns = torch.tensor([column for _, _, column, _ in entries]).repeat(replicas)
    kept = torch.tensor([start for *_, start in entries]).repeat(replicas)
    cells = torch.arange(memory_rows(part, max(sizes.classes, 2)) * sizes.groups).view(-1, max(sizes.groups, 1))
    replica = torch.arange(replicas)
    reading = offer.reading(part.term.reads)

    def over(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def one(
            output: Tensor,
            batch: Batch,
            facts: Batch,
            progress: Tensor,
            numbers: dict[str, Tensor],
            learned: dict[str, Tensor],
        ) -> Tensor:
            named = reading.named(output, batch, {**facts, "progress": progress}) | {"progress": progress}
            return function(part, named, numbers, learned)

        return vmap(one, in_dims=(0, 0, 0, None, 0, 0))

    return Kind(
        part=part,
        evaluate=over(reduced if part.weighting.record.elementwise else part_value),
        remember=over(next_memory),
        rows=(replica[:, None] * members + own).flatten(),
        whole=[member for member, *_ in entries] == list(range(members)),
        replicas=replica.repeat_interleave(len(entries)),
        reading=reading,
        numbers={
            name: torch.tensor([part_numbers(part)[name] for _, part, *_ in entries]).repeat(replicas)
            for name in part_numbers(part)
        },
        learned={name: columns + offset for offset, name in enumerate(learned_scalars(part))},
        memory=kept[:, None, None] + cells,
    )
