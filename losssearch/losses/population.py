"""Many loss specs as one vectorised loss.

The parts of all members are grouped by kind. Each kind is evaluated once, under one ``vmap`` over the members
that use it in all replicas; what need not be under ``vmap``, where each operation costs more, is outside.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.func import vmap

from losssearch.errors import SpecError
from losssearch.losses.inputs import memberships, named_inputs, pairwise_distance
from losssearch.losses.part import (
    learned_scalars,
    memory_rows,
    next_memory,
    part_kind,
    part_numbers,
    reduced,
    weighted,
)
from losssearch.losses.spec import LossSpec, Part
from losssearch.losses.tape import Tape
from losssearch.losses.term import SAMPLE_WEIGHT

_Entry = tuple[int, Part, int, int]
"""A member, one of its parts, and the columns of the part's first learned scalar and first number of memory."""


@dataclass(frozen=True)
class _Group:
    """The parts of one kind, in all replicas: ``entries`` = replicas × members that have one."""

    part: Part
    evaluate: Callable[..., Tensor]
    """Reduced values [entries] of outputs, target and class prior [entries, ...], progress, numbers and scalars.

    Then, where the term reads them, group, memory, distance and zero, [entries, ...], and weights where there are."""
    remember: Callable[..., Tensor]
    """The next memory [entries, rows, groups] of the same."""
    rows: Tensor
    """[entries], places in the outputs of all members, [R·K]."""
    whole: bool
    """Whether ``rows`` are all of them, in order."""
    replicas: Tensor
    """[entries], places in the targets of all replicas."""
    numbers: dict[str, Tensor]
    learned: dict[str, Tensor]
    """Name to the column of each entry in the learned scalars of its member, [entries]."""
    memory: Tensor
    """Columns [entries, rows, groups] of each entry in the memory of its member; no rows where it has none."""

    def beside(self, given: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What some terms alone read of ``given``, [entries, ...], as far as this kind's term reads it."""
        found: dict[str, Tensor] = {
            name: given[name].index_select(0, self.replicas)
            for name in ("group", "distance", "zero", SAMPLE_WEIGHT)
            if name in given and (name in self.part.term.reads or name == SAMPLE_WEIGHT)
        }
        if self.part.term.memory:
            found["memory"] = given["memory"][self.rows[:, None, None], self.memory]
        return found


class PopulationLoss:
    """The losses of ``K`` members, each trained in ``R`` replicas.

    ``initial`` is ``[K, L]``: the initial learned scalars of every member, padded with zeros to the longest;
    ``initial_memory`` ``[K, M]`` likewise what its terms carry from batch to batch, all zeros. ``groups`` is the number
    of sensitive groups, 0 without; ``classes`` that of classes (2 for a binary task), which only memories depend on.

    Raises `SpecError` where a term reads the group and there are none.
    """

    def __init__(
        self, specs: Sequence[LossSpec], device: torch.device | str = "cpu", *, groups: int = 0, classes: int = 2
    ) -> None:
        self.specs, self.groups, self.classes = tuple(specs), groups, classes
        scalars = [[v for part in spec.parts for v in learned_scalars(part).values()] for spec in specs]
        longest = max(map(len, scalars))
        self.initial = torch.tensor([row + [0.0] * (longest - len(row)) for row in scalars], device=device)
        reads = frozenset[str]().union(*(spec.reads for spec in specs))
        if "group" in reads and not groups:
            raise SpecError("a term of these losses reads group: name the sensitive attribute")
        self._reads_distance, self._reads_zero = "distance" in reads, "zero" in reads
        self._kinds: dict[tuple[object, ...], list[_Entry]] = {}
        remembered = [0] * len(self.specs)
        for member, spec in enumerate(specs):
            column = 0
            for part in spec.parts:
                self._kinds.setdefault(part_kind(part), []).append((member, part, column, remembered[member]))
                column += len(learned_scalars(part))
                remembered[member] += memory_rows(part, classes) * groups
        self.initial_memory = torch.zeros(len(self.specs), max(remembered), device=device)
        self._groups: dict[int, list[_Group]] = {}
        self._tape = Tape()

    def slopes(
        self,
        outputs: Tensor,
        target: Tensor,
        class_prior: Tensor,
        learned: Tensor,
        progress: float,
        *,
        group: Tensor | None = None,
        memory: Tensor | None = None,
        features: Tensor | None = None,
        zero: Tensor | None = None,
        weight: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """What a training step needs of one mini-batch: gradients of each loss by its outputs and by what it learns.

        The third is the next memory ``[R, K, M]``. Takes what the call takes; recorded at the first batch, repeated at
        the next. Not to be written in.
        """
        done = outputs.new_tensor(progress)
        kept = self._blank(outputs.shape) if memory is None else memory
        rows = features if self._reads_distance else None
        read = zero if self._reads_zero else None
        given = (outputs, target, class_prior, learned, done, kept, group, rows, read, weight)
        by_outputs, by_learned, after = self._tape(self._slopes, *given)
        return by_outputs, by_learned, after

    def _slopes(
        self,
        outputs: Tensor,
        target: Tensor,
        class_prior: Tensor,
        learned: Tensor,
        progress: Tensor,
        memory: Tensor,
        group: Tensor | None,
        features: Tensor | None,
        zero: Tensor | None,
        weight: Tensor | None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        outputs, learned = outputs.detach().requires_grad_(), learned.detach().requires_grad_()
        given = (outputs, target, class_prior, learned, progress)
        beside: dict[str, Any] = {"group": group, "features": features, "zero": zero, "weight": weight}
        with torch.enable_grad():
            total = self(*given, memory=memory, **beside).sum()
        after = self.next_memory(*given, memory, **beside)
        # The gradient of the sum with respect to each loss is one, so a member that is not finite spoils no other.
        slope, by_learned = torch.autograd.grad(total, (outputs, learned), materialize_grads=True)
        return slope, by_learned, after

    def __call__(
        self,
        outputs: Tensor,
        target: Tensor,
        class_prior: Tensor,
        learned: Tensor,
        progress: float | Tensor,
        *,
        group: Tensor | None = None,
        memory: Tensor | None = None,
        features: Tensor | None = None,
        zero: Tensor | None = None,
        weight: Tensor | None = None,
    ) -> Tensor:
        """Losses ``[R, K]`` of one mini-batch.

        ``outputs`` ``[R, K, batch]`` or ``[R, K, batch, classes]``; ``target`` ``[R, batch]``;
        ``class_prior`` ``[R, classes]``; ``learned`` ``[R, K, L]``; ``progress`` in [0, 1]. Where a term reads them:
        ``group`` ids ``[R, batch]`` or memberships ``[R, batch, groups]``, ``memory`` ``[R, K, M]`` (zeros where None),
        ``features`` ``[R, batch, ...]`` and ``zero`` ``[R]``.

        ``weight`` ``[R, batch]``: a sample counts as often as its weight says, so a whole one is as many equal rows: a
        mean is ``Σ w ℓ / Σ w``, and a batch-level term weighs its sums. A batch of weights 0 has loss 0.
        """
        shape, done = outputs.shape[:2], _scalar(progress, outputs)
        outputs, learned = outputs.flatten(0, 1), learned.flatten(0, 1)
        beside = self._beside(shape, group, memory, features, zero, weight)
        total = outputs.new_zeros(len(outputs))
        for kind in self._of(shape[0]):
            chosen = outputs if kind.whole else outputs.index_select(0, kind.rows)
            labels, prior = target.index_select(0, kind.replicas), class_prior.index_select(0, kind.replicas)
            numbers = {name: value.to(outputs.dtype) for name, value in kind.numbers.items()}
            scalars = {name: learned[kind.rows, columns] for name, columns in kind.learned.items()}
            values = kind.evaluate(chosen, labels, prior, done, numbers, scalars, kind.beside(beside))
            values = weighted(kind.part, values, done, numbers, scalars)
            total = total.index_add(0, kind.rows, values)
        return total.view(shape)

    @torch.no_grad()
    def next_memory(
        self,
        outputs: Tensor,
        target: Tensor,
        class_prior: Tensor,
        learned: Tensor,
        progress: float | Tensor,
        memory: Tensor,
        *,
        group: Tensor | None = None,
        features: Tensor | None = None,
        zero: Tensor | None = None,
        weight: Tensor | None = None,
    ) -> Tensor:
        """The memory ``[R, K, M]`` after this mini-batch; takes what the call takes."""
        if not memory.shape[-1]:
            return memory
        shape, done = outputs.shape[:2], _scalar(progress, outputs)
        outputs, learned = outputs.flatten(0, 1), learned.flatten(0, 1)
        beside, after = self._beside(shape, group, memory, features, zero, weight), memory.flatten(0, 1)
        for kind in self._of(shape[0]):
            if kind.part.term.memory is None:
                continue
            chosen, labels = outputs.index_select(0, kind.rows), target.index_select(0, kind.replicas)
            numbers = {name: value.to(outputs.dtype) for name, value in kind.numbers.items()}
            scalars = {name: learned[kind.rows, columns] for name, columns in kind.learned.items()}
            prior = class_prior.index_select(0, kind.replicas)
            values = kind.remember(chosen, labels, prior, done, numbers, scalars, kind.beside(beside))
            after = after.index_put((kind.rows[:, None, None], kind.memory), values.to(after.dtype))
        return after.view_as(memory)

    def _beside(
        self,
        shape: torch.Size,
        group: Tensor | None,
        memory: Tensor | None,
        features: Tensor | None,
        zero: Tensor | None,
        weight: Tensor | None,
    ) -> dict[str, Tensor]:
        """What some terms alone read, and the weights: by replica, the memory by member."""
        found: dict[str, Tensor] = {}
        if self.groups and group is not None:
            found["group"] = memberships(group, self.groups)
        if self.initial_memory.shape[1]:
            kept = self._blank(shape) if memory is None else memory
            found["memory"] = kept.flatten(0, 1)
        if self._reads_distance and features is not None:
            found["distance"] = pairwise_distance(features.flatten(2))
        if self._reads_zero and zero is not None:
            found["zero"] = zero
        if weight is not None:
            self.check_weights()
            found[SAMPLE_WEIGHT] = weight
        return found

    def check_weights(self) -> None:
        """Raise `SpecError` where a term of these losses cannot weigh its samples."""
        for kind in self._kinds.values():
            kind[0][1].term.require_weights()

    def _blank(self, shape: torch.Size) -> Tensor:
        return self.initial_memory.expand(*shape[:2], -1)

    def _of(self, replicas: int) -> list[_Group]:
        """The groups for so many replicas, made when first asked for."""
        if replicas not in self._groups:
            members, device = len(self.specs), self.initial.device
            self._groups[replicas] = [
                _group(found, replicas, members, device, self.groups, self.classes) for found in self._kinds.values()
            ]
        return self._groups[replicas]


def _scalar(value: float | Tensor, like: Tensor) -> Tensor:
    return value if isinstance(value, Tensor) else like.new_tensor(value)


def _group(
    entries: list[_Entry], replicas: int, members: int, device: torch.device, groups: int, classes: int
) -> _Group:
    part, own = entries[0][1], torch.tensor([member for member, *_ in entries], device=device)
    columns = torch.tensor([column for _, _, column, _ in entries], device=device).repeat(replicas)
    kept = torch.tensor([start for *_, start in entries], device=device).repeat(replicas)
    cells = torch.arange(memory_rows(part, classes) * groups, device=device).view(-1, max(groups, 1))
    replica = torch.arange(replicas, device=device)
    reads = frozenset(part.term.reads)

    def over(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def one(
            output: Tensor,
            labels: Tensor,
            prior: Tensor,
            progress: Tensor,
            numbers: dict[str, Tensor],
            learned: dict[str, Tensor],
            beside: dict[str, Tensor],
        ) -> Tensor:
            return function(part, named_inputs(output, labels, reads, prior, progress, **beside), numbers, learned)

        return vmap(one, in_dims=(0, 0, 0, None, 0, 0, 0))

    return _Group(
        part=part,
        evaluate=over(reduced),
        remember=over(next_memory),
        rows=(replica[:, None] * members + own).flatten(),
        whole=[member for member, *_ in entries] == list(range(members)),
        replicas=replica.repeat_interleave(len(entries)),
        numbers={
            name: torch.tensor([part_numbers(part)[name] for _, part, *_ in entries], device=device).repeat(replicas)
            for name in part_numbers(part)
        },
        learned={name: columns + offset for offset, name in enumerate(learned_scalars(part))},
        memory=kept[:, None, None] + cells,
    )
