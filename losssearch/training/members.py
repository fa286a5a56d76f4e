"""The stacked state of a population while it trains: parameters, snapshots of the best epoch, compaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from losssearch.data.batch import Batch
from losssearch.losses.population import PopulationLoss
from losssearch.losses.population_step import States
from losssearch.models import StackedModel
from losssearch.models.allocation import is_out_of_memory, let_go
from losssearch.models.feedforward import FeedForward
from losssearch.training.adam import StackedAdam
from losssearch.training.averaging import Average
from losssearch.training.bilevel import Bilevel, Point
from losssearch.training.capacity import give_back
from losssearch.training.levels import Turn
from losssearch.training.restarts import Restarts
from losssearch.training.slices import Slice, joined, slices


class Members:
    """``K`` members × ``R`` replicas of a model and of the states that their losses keep.

    A member is one candidate at one learning rate. All members of a replica start alike.
    ``candidate`` ``[K]``, on the CPU, says whose member it is. ``best``, ``best_epoch`` ``[R, K]`` follow the best
    validation utility; ``diverged`` ``[R, K]`` marks what turned non-finite.

    ``at_once``: how many members pass through the model together, all by default. When memory runs out they
    are halved, and what the step had begun is begun again; what comes of it is the same.

    ``bilevel`` moves what the hypergradient moves; without it that stays as it starts, or as it was ``found``: what
    each member begins with, ``[R, ...]`` by name.
    ``average``: how much is kept at each step of the running average of the model's weights; None: there is none.
    ``columns``: how many of the model's output columns each member's loss reads; of a built-in model, the parameters
    that only make other columns stay as they start. None: all.
    """

    def __init__(
        self,
        model: StackedModel,
        loss: PopulationLoss,
        candidate: Tensor,
        rates: Tensor,
        seeds: Sequence[int],
        *,
        weight_decay: float,
        clip: float | None,
        device: torch.device,
        at_once: int | None = None,
        bilevel: Bilevel | None = None,
        found: Sequence[Mapping[str, Tensor]] = (),
        average: float | None = None,
        columns: Sequence[int] | None = None,
    ) -> None:
        self.model, self.loss, self.candidate = model, loss, candidate
        self._bilevel = bilevel
        count, replicas = len(candidate), len(seeds)
        starts = [model.initial(seed) for seed in seeds]
        weights = torch.stack([torch.cat([start[name].flatten() for name in model.shapes]) for start in starts])
        learned = loss.start_learned(seeds)
        self.flat = torch.cat([weights.to(device)[:, None].expand(-1, count, -1), learned], dim=-1).contiguous()
        self.sizes = [torch.Size(shape).numel() for shape in model.shapes.values()]
        decay = [weight_decay if name in model.decayed else 0.0 for name in model.shapes]
        decays = torch.tensor([*decay, 0.0]).repeat_interleave(torch.tensor([*self.sizes, learned.shape[-1]]))
        self._at_once, self._gradient = at_once or count, torch.empty_like(self.flat)
        self._slices = slices(model, loss, self._at_once, self._two_levels())
        still = None if columns is None else self._still(columns, learned.shape[-1])
        self.optimiser = StackedAdam(self.flat, rates.to(device), decays, clip, still)
        held = [model.buffers(seed) for seed in seeds]
        buffers = {name: torch.stack([own[name] for own in held]).to(device)[:, None] for name in held[0]}
        self.buffers = {name: value.repeat(1, count, *[1] * (value.dim() - 2)) for name, value in buffers.items()}
        self.restarts = Restarts(loss.specs, weights.to(device)[:, None], buffers)
        self.average = None if average is None else Average(self._weights, self.buffers, average)
        self.best_flat = self.flat.clone()
        self.best_buffers = {name: value.clone() for name, value in self.buffers.items()}
        self.best = torch.full((replicas, count), -torch.inf, dtype=torch.float64, device=device)
        self.best_epoch = torch.zeros((replicas, count), dtype=torch.long, device=device)
        self.diverged = torch.zeros((replicas, count), dtype=torch.bool, device=device)
        self.details: Tensor | None = None
        """``[R, K, F]``: the judge's details in addition to the utility, at the best epoch."""
        self._between: Mapping[tuple[int, str], Tensor] = {}
        self._states = [one.loss.start(seeds) for one in self._slices]
        """What the losses of each slice carry from batch to batch."""
        if any(found):
            self._begin_with(found)
        self.best_states = self._found()
        """Of that, ``[R, ...]``, what is handed over at the end, as it was at the best epoch."""

    @property
    def _weights(self) -> Tensor:
        """The parameters of the models, ``[R, K, P]``, without what the losses learn."""
        return self.flat[..., : sum(self.sizes)]

    @property
    def states(self) -> dict[tuple[int, str], Tensor]:
        """What each member's loss carries, ``[R, ...]``, by the member's number and the state's name."""
        found: dict[tuple[int, str], Tensor] = {}
        for one, own in zip(self._slices, self._states, strict=True):
            found |= one.loss.apart(own, one.members.start or 0)
        return found

    def _found(self) -> dict[tuple[int, str], Tensor]:
        found: dict[tuple[int, str], Tensor] = {}
        for one, own in zip(self._slices, self._states, strict=True):
            found |= one.loss.found(own, one.members.start or 0)
        return found

    def _still(self, columns: Sequence[int], learned: int) -> Tensor | None:
        """Which parameters ``[K, P]`` stay as they start: those of output columns that a member's loss does not read.

        None where there are none, or where the model cannot tell.
        """
        if not isinstance(self.model, FeedForward):
            return None
        beyond = {count: self.model.beyond(count) for count in set(columns)}
        flat = {count: torch.cat([own[name].flatten() for name in self.model.shapes]) for count, own in beyond.items()}
        found = torch.nn.functional.pad(torch.stack([flat[count] for count in columns]), (0, learned))
        return found.to(self.flat.device) if bool(found.any()) else None

    def _two_levels(self) -> list[bool]:
        """Which members the hypergradient moves something of."""
        return [bool(own) and self._bilevel is not None for own in self.loss.by_validation]

    def _begin_with(self, found: Sequence[Mapping[str, Tensor]]) -> None:
        states = self.states
        for member, own in enumerate(found):
            for key, value in own.items():
                states[member, key][:, 0] = value.to(states[member, key])
        self._slice(states)

    def split(self, flat: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Named parameters ``[R, K, *shape]`` and what the losses learn ``[R, K, L]`` of a flat tensor."""
        *pieces, learned = flat.split([*self.sizes, flat.shape[-1] - sum(self.sizes)], dim=-1)
        shaped = zip(self.model.shapes.items(), pieces, strict=True)
        return {name: piece.unflatten(-1, shape) for (name, shape), piece in shaped}, learned

    def learned(self, member: int, values: Tensor, replica: int) -> dict[str, NDArray[np.float32]]:
        """What the loss of a member hands over, by name, at the best epoch of a replica.

        ``values``: its row ``[L]`` of what the optimiser has moved, on the CPU.
        """
        found = {name: value.numpy() for name, value in self.loss.learned(member, values).items()}
        moved = {key: own[replica].cpu().numpy() for (of, key), own in self.best_states.items() if of == member}
        return {**found, **moved}

    def step(
        self, batch: Batch, facts: Batch, *, progress: float, factor: float, seed: int, turn: Turn | None = None
    ) -> None:
        """One optimiser step of all members on the mini-batch ``[R, batch, ...]`` of their replica.

        A ``weight`` in the batch says how often each sample counts, 1 on average over all training rows. ``turn``: the
        batches of members that train on two levels.
        """

        def gradients(one: Slice, states: States) -> States:
            own, read = one.members, batch
            if one.two_levels:
                assert turn is not None  # noqa: S101  (who gives `bilevel` gives turns)
                read = turn.lower
            features, weight = read["features"], read.get("weight")
            parameters, learned = self.split(self.flat[:, own])
            buffers = {name: value[:, own] for name, value in self.buffers.items()}
            outputs = one.passage.forward(parameters, buffers, features, training=True, seed=seed)
            slope, rest, after = one.loss.slopes(outputs, read, facts, learned, progress, states=states)
            if weight is not None:
                # Losses are means over a batch's weight; over all batches, samples must count by their own.
                share = weight.mean(-1)[:, None, None]
                slope, rest = slope * (share if slope.dim() == 3 else share[..., None]), rest * share
            by_name = one.passage.backward(slope)
            # detached: before PyTorch 2.13 an empty rest may come with a graph, which `out=` refuses
            pieces = [*(by_name[name].flatten(2) for name in self.model.shapes), rest.detach()]
            due = one.two_levels and turn is not None and turn.upper is not None
            outputs = outputs.clone() if due else outputs  # the pass reuses their memory
            torch.cat(pieces, dim=-1, out=self._gradient[:, own])
            if due:
                after = moved(one, outputs, learned, states, after)
            return after

        def moved(one: Slice, outputs: Tensor, learned: Tensor, states: States, after: States) -> States:
            assert self._bilevel is not None  # noqa: S101  (no slice is on two levels without)
            assert turn is not None  # noqa: S101
            own, size = one.members, sum(self.sizes)
            at = Point(
                one=one,
                names=self.model.shapes,
                parameters=self.flat[:, own, :size],
                gradient=self._gradient[:, own, :size],
                buffers={name: value[:, own] for name, value in self.buffers.items()},
                turn=turn,
                outputs=outputs,
                facts=facts,
                learned=learned,
                rates=self.optimiser.rates[own] * factor,
                progress=progress,
                seed=seed,
            )
            found = self._bilevel.moved(states, at, factor=factor)
            return tuple(found.get(place, value) for place, value in enumerate(after))

        before = {name: value.clone() for name, value in self.buffers.items()}
        while True:
            try:
                after = [gradients(one, own) for one, own in zip(self._slices, self._states, strict=True)]
                break
            except (RuntimeError, MemoryError) as error:
                self._halve(error)
            self._make_room()
            for name, value in before.items():  # nothing else has changed before the optimiser moves
                self.buffers[name].copy_(value)
        took = zip(self._slices, self._states, after, strict=True)
        self._states = [
            one.loss.carried(own, new, turn.lower if one.two_levels and turn is not None else batch)
            for one, own, new in took
        ]
        anew = self.restarts.stepped()
        self.optimiser.step(self._gradient, factor, anew)
        if self.average is not None:
            self.average.step(self._weights, self.buffers, anew)

    @torch.no_grad()
    def outputs(self, features: Tensor, *, best: bool = False, averaged: bool = False, rows: int = 128) -> Tensor:
        """Outputs ``[R, K, N(, C)]`` of the present, the best or the averaged parameters, ``rows`` at a time."""
        flat, buffers = (self.best_flat, self.best_buffers) if best else (self.flat, self.buffers)
        if averaged:
            assert self.average is not None  # noqa: S101  (asked where there is one)
            flat, buffers = self.average.weights, self.average.buffers

        def of(one: Slice) -> Tensor:
            parameters, _ = self.split(flat[:, one.members])
            held = {name: value[:, one.members] for name, value in buffers.items()}
            found = [
                one.passage.forward(parameters, held, piece, training=False, seed=0).clone()
                for piece in features.split(rows, dim=1)
            ]
            return torch.cat(found, dim=2)

        while True:
            try:
                return joined([of(one) for one in self._slices])
            except (RuntimeError, MemoryError) as error:
                self._halve(error)
            self._make_room()

    def part_weights(self, batch: Batch, facts: Batch, progress: float) -> Tensor:
        """How much the balance of each loss lets its parts count on a mini-batch, ``[R, K, parts]``; 0 for sums."""
        outputs = self.outputs(batch["features"])
        found = []
        for one, own in zip(self._slices, self._states, strict=True):
            _, learned = self.split(self.flat[:, one.members])
            given = (outputs[:, one.members], batch, facts, learned, progress)
            found.append(one.loss.part_weights(*given, states=own))
        most = max(own.shape[-1] for own in found)
        return joined([torch.nn.functional.pad(own, (0, most - own.shape[-1])) for own in found])

    def _halve(self, error: Exception) -> None:
        """Take half as many members at once from here on; raises ``error`` where that would not help."""
        if self._at_once == 1 or not is_out_of_memory(error):
            raise error
        self._between = self.states  # before the slices change
        self._slices = []  # with the memory that their passes hold
        self._at_once = -(-min(self._at_once, len(self.candidate)) // 2)
        let_go(error)

    def _make_room(self) -> None:
        """Once the error is gone, and with it what it kept alive."""
        give_back(self.flat.device)
        self._slice(self._between)

    def _slice(self, states: Mapping[tuple[int, str], Tensor]) -> None:
        self._slices = slices(self.model, self.loss, self._at_once, self._two_levels())
        self._states = [one.loss.together(states, one.members.start or 0) for one in self._slices]

    def record(
        self,
        utility: Tensor,
        epoch: int,
        patience: int,
        details: Tensor | None = None,
        averaged: tuple[Tensor, Tensor | None] | None = None,
    ) -> None:
        """Take in the validation utilities ``[R, K]`` of an epoch, and a judge's details ``[R, K, F]``.

        ``averaged``: the same of the averaged weights, which count where they are better. A stopped or diverged member
        stays as it is.
        """
        running = self.restarts.waiting(epoch - self.best_epoch <= patience)
        self.diverged |= running & ~torch.isfinite(self.flat).all(dim=-1)
        running &= ~self.diverged
        flat, buffers = self.flat, self.buffers
        if averaged is not None and self.average is not None:
            other, more = averaged
            better = other > utility
            utility = torch.where(better, other, utility)
            if details is not None and more is not None:
                details = torch.where(better[..., None], more, details)
            smooth = torch.cat([self.average.weights, flat[..., sum(self.sizes) :]], dim=-1)
            flat = torch.where(better[..., None], smooth, flat)
            buffers = {name: _chosen(better, self.average.buffers[name], value) for name, value in buffers.items()}
        improved = running & (utility > self.best)
        self.best = torch.where(improved, utility, self.best)
        self.best_epoch = torch.where(improved, epoch, self.best_epoch)
        self.best_flat = torch.where(improved[..., None], flat, self.best_flat)
        if details is not None:
            self.details = details if self.details is None else torch.where(improved[..., None], details, self.details)
        for name, value in buffers.items():
            self.best_buffers[name] = _chosen(improved, value, self.best_buffers[name])
        for (member, key), value in self._found().items() if self.best_states else ():
            chosen = improved[:, member].reshape(-1, *[1] * (value.dim() - 1))
            self.best_states[member, key] = torch.where(chosen, value, self.best_states[member, key])

    def stopped(self, epoch: int, patience: int) -> Tensor:
        """Members ``[K]`` that no replica would improve any more."""
        running = self.restarts.waiting(epoch - self.best_epoch < patience)
        return (self.diverged | ~running).all(dim=0)

    def scores(self) -> Tensor:
        """Mean utility ``[K]`` over replicas; minus infinity where a replica diverged or never had a value."""
        return torch.where(self.diverged.any(dim=0), -torch.inf, self.best.mean(dim=0))

    def standing(self) -> Tensor:
        """The scores that count at a rung ``[K]``: of a member that has started anew, the better of then and now."""
        best = self.restarts.with_earlier(self.best)
        return torch.where(self.diverged.any(dim=0), -torch.inf, best.mean(dim=0))

    @torch.no_grad()
    def restart(self, progress: float, epoch: int) -> None:
        """Let the models start anew whose losses ask for it at this ``progress``, in this ``epoch``.

        Their weights, buffers, averages and steps are as at the start; what their losses keep or have learned stays.
        Only what comes after counts as their best.
        """
        due = self.restarts.due(progress)
        if not due:
            return
        own = torch.tensor(due).to(self.flat.device)
        self._weights[:, own] = self.restarts.weights.expand(-1, len(due), -1)
        for name, value in self.buffers.items():
            value[:, own] = self.restarts.buffers[name].expand(-1, len(due), *value.shape[2:])
        self.optimiser.restart(own)
        self.restarts.remember(own, self.best)
        self.best[:, own], self.best_epoch[:, own] = -torch.inf, epoch - 1

    def keep(self, chosen: Sequence[int]) -> None:
        """Compact: keep only the ``chosen`` members, with their state unchanged."""
        places = torch.tensor(chosen)
        self.candidate, members = self.candidate[places], places.to(self.flat.device)
        place = {member: index for index, member in enumerate(chosen)}
        states = {(place[member], key): own for (member, key), own in self.states.items() if member in place}
        best = {(place[member], key): own for (member, key), own in self.best_states.items() if member in place}
        self.best_states = best
        self.loss = self.loss.like([self.loss.specs[member] for member in chosen])
        self._slice(states)
        self.flat = self.flat[:, members]
        self._gradient = torch.empty_like(self.flat)
        self.restarts.keep(chosen, members)
        self.optimiser.keep(self.flat, members)
        if self.average is not None:
            self.average.keep(members)
        self.best_flat = self.best_flat[:, members]
        self.buffers = {name: value[:, members] for name, value in self.buffers.items()}
        self.best_buffers = {name: value[:, members] for name, value in self.best_buffers.items()}
        self.best, self.best_epoch = self.best[:, members], self.best_epoch[:, members]
        self.diverged = self.diverged[:, members]
        self.details = None if self.details is None else self.details[:, members]


def _chosen(where: Tensor, value: Tensor, other: Tensor) -> Tensor:
    """Of each member and replica ``[R, K]``, one of two values ``[R, K, ...]``."""
    return torch.where(where.reshape(*where.shape, *[1] * (value.dim() - 2)), value, other)
