"""Many loss specs as one vectorised loss.

The parts of all members are grouped by kind, and each kind is evaluated once
(`losssearch.losses.population_values`). What a training step needs of that is recorded once and then repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from losssearch.data.batch import Sizes
from losssearch.errors import SpecError
from losssearch.losses.balancing import balance_kind
from losssearch.losses.carried import Carried
from losssearch.losses.inputs import STANDARD
from losssearch.losses.kept import Kept, kept_states
from losssearch.losses.offer import Offer
from losssearch.losses.part import part_kind
from losssearch.losses.population_kinds import Entry
from losssearch.losses.population_step import States, scalar
from losssearch.losses.population_values import PopulationValues
from losssearch.losses.spec import LossSpec
from losssearch.losses.state import State
from losssearch.losses.tape import Tape

if TYPE_CHECKING:
    from losssearch.data.batch import Batch


class PopulationLoss:
    """The losses of ``K`` members, each trained in ``R`` replicas.

    ``initial`` is ``[K, L]``: what every member learns with its model as it starts with the seed 0, its states one
    after the other, padded with zeros to the longest. ``sizes`` are those of the data, which the shapes of states
    depend on; ``offer`` says how what terms read is made of outputs, batch and facts.

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
        sizes = offer.sized(sizes)
        self.specs, self.sizes, self.offer, self.device = tuple(specs), sizes, offer, torch.device(device)
        reads = frozenset[str]().union(*(spec.reads for spec in specs))
        if "group" in reads and not sizes.groups:
            raise SpecError("a term of these losses reads group: name the sensitive attribute")
        self._reading = offer.reading(reads)
        parts: dict[tuple[object, ...], list[Entry]] = {}
        balances: dict[tuple[object, ...], list[Entry]] = {}
        self._learned: list[list[Kept]] = []
        self.by_validation: list[frozenset[str]] = []
        """Names of the states of each member that the hypergradient moves."""
        for member, spec in enumerate(specs):
            kept = list(kept_states(spec, sizes))
            self._learned.append([own for own in kept if own.state.optimised])
            for own in kept:
                if own.state.moved_by == "frozen":
                    own.start()  # an array of the library is read now: a step that reads files cannot be repeated
            self.by_validation.append(frozenset(own.key for own in kept if own.state.by_validation))
            columns = _columns(self._learned[-1])
            for place, part in enumerate(spec.parts):
                key = (*part_kind(part), spec.balance.is_sum)
                parts.setdefault(key, []).append(_entry(member, spec, place, kept, columns))
            if not spec.balance.is_sum:
                key = balance_kind(spec.balance, len(spec.parts))
                balances.setdefault(key, []).append(_entry(member, spec, None, kept, columns))
        own_parts, own_balances = list(parts.values()), list(balances.values())
        self._carried = Carried([*own_parts, *own_balances], self.device)
        self._values = PopulationValues(own_parts, own_balances, len(specs), self._reading, sizes, offer, self.device)
        self.initial = self.start_learned([0])[0]
        self._tapes: dict[tuple[str, tuple[str, ...], tuple[str, ...]], Tape] = {}

    def like(self, specs: Sequence[LossSpec]) -> PopulationLoss:
        """The losses of other members on the same data and device."""
        return PopulationLoss(specs, self.device, sizes=self.sizes, offer=self.offer)

    def start_learned(self, seeds: Sequence[int]) -> Tensor:
        """What every member learns ``[R, K, L]``, as it starts in the replicas with these seeds."""
        random = any(callable(kept.state.init) for own in self._learned for kept in own)
        drawn = [self._initial(seed) for seed in (seeds if random else seeds[:1])]
        return torch.stack(drawn).expand(len(seeds), -1, -1).to(self.device)

    def _initial(self, seed: int) -> Tensor:
        rows = [torch.cat([torch.zeros(0), *(kept.start(seed).flatten() for kept in own)]) for own in self._learned]
        return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)

    def learned(self, member: int, values: Tensor) -> dict[str, Tensor]:
        """What a member learns by name, of its row ``[L]`` of learned values."""
        own = self._learned[member]
        sizes = [torch.Size(kept.shape).numel() for kept in own]
        pieces = values[: sum(sizes)].split(sizes) if sizes else ()
        return {kept.key: piece.view(kept.shape) for kept, piece in zip(own, pieces, strict=True)}

    def start(self, seeds: Sequence[int]) -> States:
        """What the losses carry, as it is before the first batch of the replicas with these seeds."""
        return self._carried.start(seeds)

    def apart(self, states: States, first: int = 0) -> dict[tuple[int, str], Tensor]:
        """What each member carries, ``[R, ...]``, by the member's number from ``first`` on and the state's name."""
        return self._carried.apart(states, first)

    def found(self, states: States, first: int = 0) -> dict[tuple[int, str], Tensor]:
        """Those of `apart` that are handed over at the end of a training."""
        names = self._carried.handed_over(first)
        own = self.apart(states, first) if names else {}
        return {
            (member, key): value[:, 0] if key in self.by_validation[member - first] else value
            for (member, key), value in own.items()
            if (member, key) in names
        }

    def together(self, states: Mapping[tuple[int, str], Tensor], first: int = 0) -> States:
        """The inverse of `apart`."""
        return self._carried.together(states, first)

    def slopes(
        self,
        outputs: Tensor,
        batch: Batch,
        facts: Batch,
        learned: Tensor,
        progress: float,
        *,
        states: States | None = None,
    ) -> tuple[Tensor, Tensor, States]:
        """What a training step needs of one mini-batch: gradients of each loss by its outputs and by what it learns.

        The third is what `carried` takes. Takes what the call takes; recorded at the first batch, repeated at the next.
        Not to be written in.
        """
        done = scalar(progress, outputs)
        kept = self._carried.seen(outputs, batch, states)
        by_outputs, by_learned, *after = self._taped(self._slopes, batch, facts, outputs, learned, done, carried=kept)
        return by_outputs, by_learned, tuple(after)

    def mixed_slopes(
        self,
        outputs: Tensor,
        along: Tensor,
        batch: Batch,
        facts: Batch,
        learned: Tensor,
        progress: float,
        *,
        states: States,
    ) -> dict[int, Tensor]:
        """Gradients, by what the hypergradient moves, of how fast each loss changes as its outputs move ``along``.

        ``∂_φ ⟨∂L/∂z, along⟩`` ``[R, entries, ...]``, by the place among the ``states``. ``along``: of the shape of the
        outputs. Recorded and repeated as `slopes` are.
        """
        kept = self._carried.seen(outputs, batch, states)
        given = (outputs, along, learned, scalar(progress, outputs))
        found = self._taped(self._mixed, batch, facts, *given, carried=kept)
        return dict(zip(self.moved_by_validation, found, strict=True))

    @property
    def moved_by_validation(self) -> dict[int, State]:
        """What the hypergradient moves, by its place among the states that are carried."""
        return self._carried.by_validation

    def _taped(
        self,
        evaluate: Callable[..., tuple[Tensor, ...]],
        batch: Batch,
        facts: Batch,
        *given: Tensor,
        carried: States,
    ) -> tuple[Tensor, ...]:
        """Evaluate on what is given, carried, and read of batch and facts; recorded once, then repeated."""
        fields = tuple(name for name in (*self._reading.fields, "weight") if name in batch)
        known = tuple(name for name in self._reading.facts if name in facts)
        tape = self._tapes.setdefault((evaluate.__name__, fields, known), Tape())
        read = (*(batch[name] for name in fields), *(facts[name] for name in known))
        return tape(partial(evaluate, fields, known, len(carried)), *given, *carried, *read)

    def _mixed(
        self,
        fields: tuple[str, ...],
        known: tuple[str, ...],
        carried: int,
        outputs: Tensor,
        along: Tensor,
        learned: Tensor,
        progress: Tensor,
        *given: Tensor,
    ) -> tuple[Tensor, ...]:
        outputs, states = outputs.detach().requires_grad_(), list(given[:carried])
        batch, facts = _named(fields, known, given[carried:])
        moved = {place: states[place].detach().requires_grad_() for place in self.moved_by_validation}
        for place, leaf in moved.items():
            states[place] = leaf
        with torch.enable_grad():
            total = self._values.losses(outputs, batch, facts, learned, progress, tuple(states)).sum()
            (slope,) = torch.autograd.grad(total, outputs, create_graph=True)
            # a graph of its own, because autograd adds in place without one, which no tape repeats
            leaves = tuple(moved.values())
            found = torch.autograd.grad((slope * along).sum(), leaves, create_graph=True, materialize_grads=True)
        return tuple(own[:, :, 0].detach() for own in found)

    def _slopes(
        self,
        fields: tuple[str, ...],
        known: tuple[str, ...],
        carried: int,
        outputs: Tensor,
        learned: Tensor,
        progress: Tensor,
        *given: Tensor,
    ) -> tuple[Tensor, ...]:
        outputs, learned = outputs.detach().requires_grad_(), learned.detach().requires_grad_()
        states = given[:carried]
        batch, facts = _named(fields, known, given[carried:])
        with torch.enable_grad():
            total = self._values.losses(outputs, batch, facts, learned, progress, states).sum()
        after = self._values.after(outputs, batch, facts, learned, progress, states)
        # The gradient of the sum with respect to each loss is one, so a member that is not finite spoils no other.
        slope, by_learned = torch.autograd.grad(total, (outputs, learned), materialize_grads=True)
        return slope, by_learned, *after

    def __call__(
        self,
        outputs: Tensor,
        batch: Batch,
        facts: Batch,
        learned: Tensor,
        progress: float | Tensor,
        *,
        states: States | None = None,
    ) -> Tensor:
        """Losses ``[R, K]`` of one mini-batch.

        ``outputs`` ``[R, K, batch]`` or ``[R, K, batch, columns]``; fields of ``batch`` ``[R, batch, ...]``; ``facts``
        ``[R, ...]``; ``learned`` ``[R, K, L]``; ``progress`` in [0, 1]; ``states`` as `start` gives them, which stand
        where None. A group is an id or memberships ``[R, batch, groups]``.

        A ``weight`` in the batch: a sample counts as often as its weight says, so a whole one is as many equal rows: a
        mean is ``Σ w ℓ / Σ w``, and a batch-level term weighs its sums. A batch of weights 0 has loss 0.
        """
        seen = self._carried.seen(outputs, batch, states)
        return self._values.losses(outputs, batch, facts, learned, progress, seen)

    def part_weights(
        self,
        outputs: Tensor,
        batch: Batch,
        facts: Batch,
        learned: Tensor,
        progress: float | Tensor,
        *,
        states: States,
    ) -> Tensor:
        """How much each part counts now by the balance of its loss, ``[R, K, parts]``: 0 for losses that are sums.

        The change of each loss by that of its parts' values. Takes what the call takes.
        """
        seen = self._carried.seen(outputs, batch, states)
        return self._values.part_weights(outputs, batch, facts, learned, progress, seen)

    def next_states(
        self,
        outputs: Tensor,
        batch: Batch,
        facts: Batch,
        learned: Tensor,
        progress: float | Tensor,
        states: States,
    ) -> States:
        """What the losses carry after this mini-batch; takes what the call takes."""
        seen = self._carried.seen(outputs, batch, states)
        after = self._values.after(outputs, batch, facts, learned, progress, seen)
        return self._carried.after(self._carried.copied(states), after, batch)

    def carried(self, states: States, after: States, batch: Batch) -> States:
        """What the losses carry after a batch, of ``states`` before it and the third that `slopes` gave.

        What is kept for each training row is written in.
        """
        return self._carried.after(states, after, batch)

    def check_weights(self) -> None:
        """Raise `SpecError` where a term of these losses cannot weigh its samples."""
        self._values.check_weights()


def _columns(learned: Sequence[Kept]) -> dict[str, int]:
    """The first column of each state among all that a member learns, by its key."""
    sizes = [torch.Size(kept.shape).numel() for kept in learned]
    return {kept.key: sum(sizes[:place]) for place, kept in enumerate(learned)}


def _entry(member: int, spec: LossSpec, place: int | None, kept: Sequence[Kept], columns: Mapping[str, int]) -> Entry:
    own = tuple(one for one in kept if one.place == place)
    return Entry(member, spec, place, own, {one.name: columns[one.key] for one in own if one.key in columns})


def _named(fields: Sequence[str], known: Sequence[str], read: Sequence[Tensor]) -> tuple[Batch, Batch]:
    """Batch and facts, from their tensors in the order of their names."""
    return dict(zip(fields, read, strict=False)), dict(zip(known, read[len(fields) :], strict=True))
