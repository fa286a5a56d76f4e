"""Many loss specs as one vectorised loss.

The parts of all members are grouped by kind. Each kind is evaluated once, under one ``vmap`` over the members
that use it in all replicas; what need not be under ``vmap``, where each operation costs more, is outside.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.func import vmap

from losssearch.losses.inputs import named_inputs
from losssearch.losses.part import learned_scalars, part_kind, part_numbers, reduced, weighted
from losssearch.losses.spec import LossSpec, Part

_Entry = tuple[int, Part, int]
"""A member, one of its parts, and the column of the part's first learned scalar."""


@dataclass(frozen=True)
class _Group:
    """The parts of one kind, in all replicas: ``entries`` = replicas × members that have one."""

    part: Part
    evaluate: Callable[..., Tensor]
    """Reduced values [entries] of outputs, target and class prior [entries, ...], progress, numbers and scalars."""
    rows: Tensor
    """[entries], places in the outputs of all members, [R·K]."""
    whole: bool
    """Whether ``rows`` are all of them, in order."""
    replicas: Tensor
    """[entries], places in the targets of all replicas."""
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
        self._kinds: dict[tuple[object, ...], list[_Entry]] = {}
        for member, spec in enumerate(specs):
            column = 0
            for part in spec.parts:
                self._kinds.setdefault(part_kind(part), []).append((member, part, column))
                column += len(learned_scalars(part))
        self._groups: dict[int, list[_Group]] = {}

    def __call__(
        self, outputs: Tensor, target: Tensor, class_prior: Tensor, learned: Tensor, progress: float
    ) -> Tensor:
        """Losses ``[R, K]`` of one mini-batch.

        ``outputs`` ``[R, K, batch]`` or ``[R, K, batch, classes]``; ``target`` ``[R, batch]``;
        ``class_prior`` ``[R, classes]``; ``learned`` ``[R, K, L]``; ``progress`` in [0, 1].
        """
        shape, done = outputs.shape[:2], outputs.new_tensor(progress)
        outputs, learned = outputs.flatten(0, 1), learned.flatten(0, 1)
        total = outputs.new_zeros(len(outputs))
        for group in self._of(shape[0]):
            chosen = outputs if group.whole else outputs.index_select(0, group.rows)
            labels, prior = target.index_select(0, group.replicas), class_prior.index_select(0, group.replicas)
            numbers = {name: value.to(outputs.dtype) for name, value in group.numbers.items()}
            scalars = {name: learned[group.rows, columns] for name, columns in group.learned.items()}
            values = group.evaluate(chosen, labels, prior, done, numbers, scalars)
            values = weighted(group.part, values, done, numbers, scalars)
            total = total.index_add(0, group.rows, values)
        return total.view(shape)

    def _of(self, replicas: int) -> list[_Group]:
        """The groups for so many replicas, made when first asked for."""
        if replicas not in self._groups:
            members, device = len(self.specs), self.initial.device
            self._groups[replicas] = [_group(found, replicas, members, device) for found in self._kinds.values()]
        return self._groups[replicas]


def _group(entries: list[_Entry], replicas: int, members: int, device: torch.device) -> _Group:
    part, own = entries[0][1], torch.tensor([member for member, _, _ in entries], device=device)
    columns = torch.tensor([column for _, _, column in entries], device=device).repeat(replicas)
    replica = torch.arange(replicas, device=device)
    reads = frozenset(part.term.reads)

    def one(
        output: Tensor,
        labels: Tensor,
        prior: Tensor,
        progress: Tensor,
        numbers: dict[str, Tensor],
        learned: dict[str, Tensor],
    ) -> Tensor:
        return reduced(part, named_inputs(output, labels, reads, prior, progress), numbers, learned)

    return _Group(
        part=part,
        evaluate=vmap(one, in_dims=(0, 0, 0, None, 0, 0)),
        rows=(replica[:, None] * members + own).flatten(),
        whole=[member for member, _, _ in entries] == list(range(members)),
        replicas=replica.repeat_interleave(len(entries)),
        numbers={
            name: torch.tensor([part_numbers(part)[name] for _, part, _ in entries], device=device).repeat(replicas)
            for name in part_numbers(part)
        },
        learned={name: columns + offset for offset, name in enumerate(learned_scalars(part))},
    )
