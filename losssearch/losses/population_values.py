"""The values of many losses on one mini-batch: each kind of part once, then the balances.

Each kind is evaluated under one ``vmap`` over the members that use it in all replicas; what need not be under ``vmap``,
where each operation costs more, is outside.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from losssearch.losses.offer import Offer, Reading
from losssearch.losses.population_kinds import Balancing, Entry, Kind, balancing_of, kind_of, moved
from losssearch.losses.population_step import States, Step, scalar

if TYPE_CHECKING:
    from losssearch.data.batch import Batch, Sizes


class PopulationValues:
    """Evaluates the ``parts`` and ``balances`` of ``count`` members, each grouped by kind."""

    def __init__(
        self,
        parts: Sequence[Sequence[Entry]],
        balances: Sequence[Sequence[Entry]],
        count: int,
        reading: Reading,
        sizes: Sizes,
        offer: Offer,
        device: torch.device,
    ) -> None:
        self.parts, self._balances, self._count = parts, balances, count
        self._reading, self._sizes, self._offer, self._device = reading, sizes, offer, device
        self._reads_norms = any(own[0].spec.balance.record.reads_norms for own in balances)
        self._groups: dict[int, tuple[list[Kind], list[Balancing]]] = {}

    def losses(
        self,
        outputs: Tensor,
        batch: Batch,
        facts: Batch,
        learned: Tensor,
        progress: float | Tensor,
        states: States,
    ) -> Tensor:
        """Losses ``[R, K]``; takes what the call of a `losssearch.losses.population.PopulationLoss` takes."""
        shape = outputs.shape[:2]
        step = self._step(outputs, batch, facts, learned, progress, states)
        kinds, balances = self._of(shape[0])
        total, table = step.outputs.new_zeros(len(step.outputs)), self._table(step)
        for kind in kinds:
            if kind.summed:
                total = total.index_add(0, kind.members.rows, step.values(kind))
            else:
                table = self._filled(table, step, kind)
        for own in balances:
            total = total.index_add(0, own.members.rows, own.evaluate(*step.balanced(own, *table)))
        return total.view(shape)

    @torch.no_grad()
    def after(
        self,
        outputs: Tensor,
        batch: Batch,
        facts: Batch,
        learned: Tensor,
        progress: float | Tensor,
        states: States,
    ) -> States:
        """What the parts and the balances carry after this mini-batch, as it sees it; takes what `losses` takes."""
        if not states:
            return states
        step, after = self._step(outputs, batch, facts, learned, progress, states), list(states)
        kinds, balances = self._of(outputs.shape[0])
        table = self._table(step)
        for kind in kinds:
            if kind.members.follows:
                kind.members.kept(kind.follow(*step.given(kind)), after)
            if not kind.summed:
                table = self._filled(table, step, kind)
        for own in balances:
            if own.members.follows:
                own.members.kept(own.follow(*step.balanced(own, *table)), after)
        return tuple(after)

    def _step(
        self,
        outputs: Tensor,
        batch: Batch,
        facts: Batch,
        learned: Tensor,
        progress: float | Tensor,
        states: States,
    ) -> Step:
        if "weight" in batch:
            self.check_weights()
        shared = self._reading.shared(batch, self._sizes, row_axis=1)
        return Step(
            outputs.flatten(0, 1),
            shared,
            facts,
            learned.flatten(0, 1),
            scalar(progress, outputs),
            states,
        )

    def _table(self, step: Step) -> tuple[Tensor, Tensor]:
        """Room for the values of the parts [R·K, parts] where a balance reads them, and for their gradients' norms."""
        most = max((len(own[0].spec.parts) for own in self._balances), default=0)
        empty = step.outputs.new_zeros(len(step.outputs), most)
        return empty, empty

    def part_weights(
        self,
        outputs: Tensor,
        batch: Batch,
        facts: Batch,
        learned: Tensor,
        progress: float | Tensor,
        states: States,
    ) -> Tensor:
        """The change of each loss by that of its parts' values, ``[R, K, parts]``; 0 for losses that are sums."""
        step = self._step(outputs, batch, facts, learned, progress, states)
        kinds, balances = self._of(outputs.shape[0])
        table = self._table(step)
        for kind in kinds:
            if not kind.summed:
                table = self._filled(table, step, kind)
        values = table[0].detach().requires_grad_()
        with torch.enable_grad():
            total = values.sum() * 0
            for own in balances:
                total = total + own.evaluate(*step.balanced(own, values, table[1])).sum()
        (slope,) = torch.autograd.grad(total, values)
        found: Tensor = slope.view(*outputs.shape[:2], -1)
        return found

    def _filled(self, table: tuple[Tensor, Tensor], step: Step, kind: Kind) -> tuple[Tensor, Tensor]:
        """The table with the values of one kind, and their norms where a balance of these losses reads them."""
        (values, norms), places = table, (kind.members.rows, kind.members.places)
        if not self._reads_norms:
            return values.index_put(places, step.values(kind)), norms
        own, size = step.values_and_norms(kind)
        return values.index_put(places, own), norms.index_put(places, size)

    def check_weights(self) -> None:
        """Raise `SpecError` where a term of these losses cannot weigh its samples."""
        for entries in self.parts:
            entries[0].part.term.require_weights()

    def _of(self, replicas: int) -> tuple[list[Kind], list[Balancing]]:
        """The groups for a number of replicas, created on first use."""
        if replicas not in self._groups:
            count, first = self._count, 0
            kinds, balances = list[Kind](), list[Balancing]()
            for entries in self.parts:
                kinds.append(kind_of(entries, first, replicas, count, self._offer))
                first += len(kinds[-1].members.carried)
            for entries in self._balances:
                balances.append(balancing_of(entries, first, replicas, count))
                first += len(balances[-1].members.carried)
            every = [*(kind.members for kind in kinds), *(own.members for own in balances)]
            placed = iter(moved(every, self._device))
            self._groups[replicas] = (
                [replace(kind, members=next(placed)) for kind in kinds],
                [replace(own, members=next(placed)) for own in balances],
            )
        return self._groups[replicas]
