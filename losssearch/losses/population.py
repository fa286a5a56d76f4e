"""Many loss specs as one vectorised loss.

Members are grouped by the kind of their parts: each kind is evaluated once, under ``vmap`` over outputs,
hyperparameters and learned scalars, for the members that use it; its values are added into ``[R, K]``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.func import vmap

from losssearch.losses.inputs import named_inputs
from losssearch.losses.part import learned_scalars, part_kind, part_numbers, part_value
from losssearch.losses.spec import LossSpec, Part


@dataclass(frozen=True)
class _Group:
    part: Part
    members: Tensor
    """[entries], the member that each entry belongs to."""
    numbers: dict[str, Tensor]
    learned: dict[str, Tensor]
    """Name to the column of each entry in the learned scalars of its member, [entries]."""


class PopulationLoss:
    """The losses of ``K`` members, each trained in ``R`` replicas.

    ``initial`` is ``[K, L]``: the initial learned scalars of every member, padded with zeros to the longest.
    """

    def __init__(self, specs: Sequence[LossSpec], device: torch.device | str = "cpu") -> None:
        self.specs = tuple(specs)
        scalars = [[v for part in spec.parts for v in learned_scalars(part).values()] for spec in specs]
        longest = max(map(len, scalars))
        self.initial = torch.tensor([row + [0.0] * (longest - len(row)) for row in scalars], device=device)
        entries: dict[tuple[object, ...], list[tuple[int, Part, int]]] = {}
        for member, spec in enumerate(specs):
            column = 0
            for part in spec.parts:
                entries.setdefault(part_kind(part), []).append((member, part, column))
                column += len(learned_scalars(part))
        self._groups = [_group(found, device) for found in entries.values()]

    def __call__(
        self, outputs: Tensor, target: Tensor, class_prior: Tensor, learned: Tensor, progress: float
    ) -> Tensor:
        """Losses ``[R, K]`` of one mini-batch.

        ``outputs`` ``[R, K, batch]`` or ``[R, K, batch, classes]``; ``target`` ``[R, batch]``;
        ``class_prior`` ``[R, classes]``; ``learned`` ``[R, K, L]``; ``progress`` in [0, 1].
        """
        done = outputs.new_tensor(progress)
        total = outputs.new_zeros(outputs.shape[:2])
        for group in self._groups:
            chosen = outputs if len(group.members) == 1 == outputs.shape[1] else outputs[:, group.members]
            scalars = {name: learned[:, group.members, column] for name, column in group.learned.items()}
            values = _values(group, chosen, target, class_prior, done, scalars)
            total = total.index_add(1, group.members, values)
        return total


def _group(entries: list[tuple[int, Part, int]], device: torch.device | str) -> _Group:
    parts = [part for _, part, _ in entries]
    columns = torch.tensor([column for _, _, column in entries], device=device)
    return _Group(
        part=parts[0],
        members=torch.tensor([member for member, _, _ in entries], device=device),
        numbers={
            name: torch.tensor([part_numbers(part)[name] for part in parts], device=device)
            for name in part_numbers(parts[0])
        },
        learned={name: columns + offset for offset, name in enumerate(learned_scalars(parts[0]))},
    )


def _values(
    group: _Group, outputs: Tensor, target: Tensor, class_prior: Tensor, progress: Tensor, learned: dict[str, Tensor]
) -> Tensor:
    reads = frozenset(group.part.term.reads)

    def one(
        output: Tensor, labels: Tensor, prior: Tensor, numbers: dict[str, Tensor], scalars: dict[str, Tensor]
    ) -> Tensor:
        named = named_inputs(output, labels, reads, prior, progress)
        return part_value(group.part, named, numbers, scalars)

    over_members = vmap(one, in_dims=(0, None, None, 0, 0))
    over_replicas = vmap(over_members, in_dims=(0, 0, 0, None, 0))
    numbers = {name: value.to(outputs.dtype) for name, value in group.numbers.items()}
    values: Tensor = over_replicas(outputs, target, class_prior, numbers, learned)
    return values
