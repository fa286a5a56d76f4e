"""Many loss specs as one vectorised loss.

The parts of all members are grouped by kind. Each kind is evaluated once, under one ``vmap`` over the members
that use it in all replicas; what need not be under ``vmap``, where each operation costs more, is outside.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from losssearch.errors import SpecError
from losssearch.losses.inputs import memberships, pairwise_distance
from losssearch.losses.part import learned_scalars, memory_rows, part_kind, weighted
from losssearch.losses.population_kinds import Entry, Kind, kind_of, moved
from losssearch.losses.spec import LossSpec
from losssearch.losses.tape import Tape
from losssearch.losses.term import SAMPLE_WEIGHT


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
        self.initial = torch.tensor([row + [0.0] * (longest - len(row)) for row in scalars]).to(device)
        reads = frozenset[str]().union(*(spec.reads for spec in specs))
        if "group" in reads and not groups:
            raise SpecError("a term of these losses reads group: name the sensitive attribute")
        self._reads_distance, self._reads_zero = "distance" in reads, "zero" in reads
        self._kinds: dict[tuple[object, ...], list[Entry]] = {}
        remembered = [0] * len(self.specs)
        for member, spec in enumerate(specs):
            column = 0
            for part in spec.parts:
                self._kinds.setdefault(part_kind(part), []).append((member, part, column, remembered[member]))
                column += len(learned_scalars(part))
                remembered[member] += memory_rows(part, classes) * groups
        self.initial_memory = torch.zeros(len(self.specs), max(remembered), device=device)
        self._groups: dict[int, list[Kind]] = {}
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
        done = _scalar(progress, outputs)
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

    def _of(self, replicas: int) -> list[Kind]:
        """The groups for so many replicas, made when first asked for."""
        if replicas not in self._groups:
            kinds, members = self._kinds.values(), len(self.specs)
            made = [kind_of(found, replicas, members, self.groups, self.classes) for found in kinds]
            self._groups[replicas] = moved(made, self.initial.device)
        return self._groups[replicas]


def _scalar(value: float | Tensor, like: Tensor) -> Tensor:
    # Filled on the device: a tensor made from a number of Python's is copied there, and the copy waits for the device.
    return value if isinstance(value, Tensor) else like.new_full((), value)
