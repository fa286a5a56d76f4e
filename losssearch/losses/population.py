"""Many loss specs as one vectorised loss.

The parts of all members are grouped by kind. Each kind is evaluated once, under one ``vmap`` over the members
that use it in all replicas; what need not be under ``vmap``, where each operation costs more, is outside.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from losssearch.data.batch import Sizes
from losssearch.errors import SpecError
from losssearch.losses.inputs import STANDARD
from losssearch.losses.offer import Offer
from losssearch.losses.part import learned_scalars, memory_rows, part_kind, weighted
from losssearch.losses.population_kinds import Entry, Kind, kind_of, moved
from losssearch.losses.spec import LossSpec
from losssearch.losses.tape import Tape

if TYPE_CHECKING:
    from losssearch.data.batch import Batch


class PopulationLoss:
    """The losses of ``K`` members, each trained in ``R`` replicas.

    ``initial`` is ``[K, L]``: the initial learned scalars of every member, padded with zeros to the longest;
    ``initial_memory`` ``[K, M]`` likewise what its terms carry from batch to batch, all zeros. ``sizes`` are those of
    the data, which memories depend on; ``offer`` says how what terms read is made of outputs, batch and facts.

    Raises `SpecError` where a term reads what is not offered, or the group where there is none.
    """

    def __init__(
        self,
        specs: Sequence[LossSpec],
        device: torch.device | str = "cpu",
        *,
        sizes: Sizes = Sizes(),  # noqa: B008  (a frozen value)
        offer: Offer = STANDARD,
    ) -> None:
        self.specs, self.sizes, self.offer = tuple(specs), sizes, offer
        scalars = [[v for part in spec.parts for v in learned_scalars(part).values()] for spec in specs]
        longest = max(map(len, scalars))
        self.initial = torch.tensor([row + [0.0] * (longest - len(row)) for row in scalars]).to(device)
        reads = frozenset[str]().union(*(spec.reads for spec in specs))
        if "group" in reads and not sizes.groups:
            raise SpecError("a term of these losses reads group: name the sensitive attribute")
        self._reading = offer.reading(reads)
        self._kinds: dict[tuple[object, ...], list[Entry]] = {}
        remembered = [0] * len(self.specs)
        for member, spec in enumerate(specs):
            column = 0
            for part in spec.parts:
                self._kinds.setdefault(part_kind(part), []).append((member, part, column, remembered[member]))
                column += len(learned_scalars(part))
                remembered[member] += memory_rows(part, max(sizes.classes, 2)) * sizes.groups
        self.initial_memory = torch.zeros(len(self.specs), max(remembered), device=device)
        self._groups: dict[int, list[Kind]] = {}
        self._tapes: dict[tuple[tuple[str, ...], tuple[str, ...]], Tape] = {}

    def like(self, specs: Sequence[LossSpec]) -> PopulationLoss:
        """The losses of other members on the same data and device."""
        return PopulationLoss(specs, self.initial.device, sizes=self.sizes, offer=self.offer)

    def slopes(
        self,
        outputs: Tensor,
        batch: Batch,
        facts: Batch,
        learned: Tensor,
        progress: float,
        *,
        memory: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """What a training step needs of one mini-batch: gradients of each loss by its outputs and by what it learns.

        The third is the next memory ``[R, K, M]``. Takes what the call takes; recorded at the first batch, repeated at
        the next. Not to be written in.
        """
        done = _scalar(progress, outputs)
        kept = self._blank(outputs.shape) if memory is None else memory
        fields = tuple(name for name in (*self._reading.fields, "weight") if name in batch)
        known = tuple(name for name in self._reading.facts if name in facts)
        tape = self._tapes.setdefault((fields, known), Tape())
        read = (*(batch[name] for name in fields), *(facts[name] for name in known))
        evaluate = partial(self._slopes, fields, known)
        by_outputs, by_learned, after = tape(evaluate, outputs, learned, done, kept, *read)
        return by_outputs, by_learned, after

    def _slopes(
        self,
        fields: tuple[str, ...],
        known: tuple[str, ...],
        outputs: Tensor,
        learned: Tensor,
        progress: Tensor,
        memory: Tensor,
        *read: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        outputs, learned = outputs.detach().requires_grad_(), learned.detach().requires_grad_()
        batch = dict(zip(fields, read, strict=False))
        facts = dict(zip(known, read[len(fields) :], strict=True))
        with torch.enable_grad():
            total = self(outputs, batch, facts, learned, progress, memory=memory).sum()
        after = self.next_memory(outputs, batch, facts, learned, progress, memory)
        # The gradient of the sum with respect to each loss is one, so a member that is not finite spoils no other.
        slope, by_learned = torch.autograd.grad(total, (outputs, learned), materialize_grads=True)
        return slope, by_learned, after

    def __call__(
        self,
        outputs: Tensor,
        batch: Batch,
        facts: Batch,
        learned: Tensor,
        progress: float | Tensor,
        *,
        memory: Tensor | None = None,
    ) -> Tensor:
        """Losses ``[R, K]`` of one mini-batch.

        ``outputs`` ``[R, K, batch]`` or ``[R, K, batch, columns]``; fields of ``batch`` ``[R, batch, ...]``; ``facts``
        ``[R, ...]``; ``learned`` ``[R, K, L]``; ``progress`` in [0, 1]; ``memory`` ``[R, K, M]``, zeros where None. A
        group is an id or memberships ``[R, batch, groups]``.

        A ``weight`` in the batch: a sample counts as often as its weight says, so a whole one is as many equal rows: a
        mean is ``Σ w ℓ / Σ w``, and a batch-level term weighs its sums. A batch of weights 0 has loss 0.
        """
        shape, done = outputs.shape[:2], _scalar(progress, outputs)
        outputs, learned = outputs.flatten(0, 1), learned.flatten(0, 1)
        read = self._shared(shape, batch, memory)
        total = outputs.new_zeros(len(outputs))
        for kind in self._of(shape[0]):
            chosen = outputs if kind.whole else outputs.index_select(0, kind.rows)
            numbers = {name: value.to(outputs.dtype) for name, value in kind.numbers.items()}
            scalars = {name: learned[kind.rows, columns] for name, columns in kind.learned.items()}
            values = kind.evaluate(chosen, kind.batch(read), kind.facts(facts), done, numbers, scalars)
            if kind.part.weighting.record.elementwise:
                values = weighted(kind.part, values, done, numbers, scalars)
            total = total.index_add(0, kind.rows, values)
        return total.view(shape)

    @torch.no_grad()
    def next_memory(
        self,
        outputs: Tensor,
        batch: Batch,
        facts: Batch,
        learned: Tensor,
        progress: float | Tensor,
        memory: Tensor,
    ) -> Tensor:
        """The memory ``[R, K, M]`` after this mini-batch; takes what the call takes."""
        if not memory.shape[-1]:
            return memory
        shape, done = outputs.shape[:2], _scalar(progress, outputs)
        outputs, learned = outputs.flatten(0, 1), learned.flatten(0, 1)
        read, after = self._shared(shape, batch, memory), memory.flatten(0, 1)
        for kind in self._of(shape[0]):
            if kind.part.term.memory is None:
                continue
            chosen = outputs.index_select(0, kind.rows)
            numbers = {name: value.to(outputs.dtype) for name, value in kind.numbers.items()}
            scalars = {name: learned[kind.rows, columns] for name, columns in kind.learned.items()}
            values = kind.remember(chosen, kind.batch(read), kind.facts(facts), done, numbers, scalars)
            after = after.index_put((kind.rows[:, None, None], kind.memory), values.to(after.dtype))
        return after.view_as(memory)

    def _shared(self, shape: torch.Size, batch: Batch, memory: Tensor | None) -> Batch:
        """The batch with what is computed once for all members, and the memory of each member ``[R·K, M]``."""
        if "weight" in batch:
            self.check_weights()
        found = self._reading.shared(batch, self.sizes, row_axis=1)
        if not self.initial_memory.shape[1]:
            return found
        kept = self._blank(shape) if memory is None else memory
        return {**found, "memory": kept.flatten(0, 1)}

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
            made = [kind_of(found, replicas, members, self.sizes, self.offer) for found in kinds]
            self._groups[replicas] = moved(made, self.initial.device)
        return self._groups[replicas]


def _scalar(value: float | Tensor, like: Tensor) -> Tensor:
    # Filled on the device: a tensor made from a number of Python's is copied there, and the copy waits for the device.
    return value if isinstance(value, Tensor) else like.new_full((), value)
