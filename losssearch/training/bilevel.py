"""The hypergradient: how what a loss is made of should change, so that a step of the model lowers the validation loss.

A step ``θ' = θ - η ∂_θ L_φ(θ)`` leaves the loss ``L_up(θ')`` on rows that the step did not see. Its exact gradient by φ
is ``-η ∂_φ ⟨∂_θ L_φ(θ), v⟩`` with ``v = ∂_θ L_up(θ')``. Since φ acts on the outputs z alone, it equals
``-η ∂_φ ⟨∂_z L_φ(z), u⟩`` where ``u`` is how the outputs move as θ moves along v: two forward passes give it, and one
mixed derivative at the outputs the rest. No second derivative passes through the model.

Only members whose losses have such states pay for it. They train on four fifths of their rows, in slices of their own
(`losssearch.training.levels`); all others train as they would without them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from losssearch.data.batch import Batch, Groups, Sizes
from losssearch.losses.offer import Offer
from losssearch.losses.population import PopulationLoss
from losssearch.losses.population_step import States
from losssearch.losses.state import State
from losssearch.training.adam import BETAS, EPSILON
from losssearch.training.levels import Objective, Turn
from losssearch.training.slices import Slice


@dataclass(frozen=True)
class Point:
    """Where a slice of members stands as the hypergradient is due.

    ``names``: the shapes of the model's parameters; ``parameters``, ``gradient`` ``[R, k, P]``: those of the members,
    and that of their loss on the lower batch by them. ``buffers`` are the model's, and stay as they are. ``outputs``
    ``[R, k, batch, ...]`` are those on the lower batch; ``learned`` what losses learn with the model. ``rates`` ``[k]``
    are those of this step; ``seed`` drives dropout.
    """

    one: Slice
    names: Mapping[str, tuple[int, ...]]
    parameters: Tensor
    gradient: Tensor
    buffers: Mapping[str, Tensor]
    turn: Turn
    outputs: Tensor
    facts: Batch
    learned: Tensor
    rates: Tensor
    progress: float
    seed: int


class Bilevel:
    """Moves what the hypergradient moves, for one slice of members after the other."""

    def __init__(self, objective: Objective, sizes: Sizes, offer: Offer, units: int) -> None:
        self._objective, self._offer = objective, offer
        reads_group = "group" in objective.spec.reads
        self._sizes = Sizes(sizes.classes, Groups(max(units, 2))) if reads_group else sizes
        self._losses: dict[int, PopulationLoss] = {}

    def moved(self, states: States, at: Point, *, factor: float) -> dict[int, Tensor]:
        """The next values, by their places among the ``states``, of what the hypergradient moves.

        ``factor``: what the rates are multiplied by at this step.
        """
        moved = at.one.loss.moved_by_validation
        return {
            place: descended(states[place], gradient, moved[place], at.turn.number, factor)
            for place, gradient in self.hypergradient(states, at).items()
        }

    def hypergradient(self, states: States, at: Point) -> dict[int, Tensor]:
        """The gradient of the upper loss after a step, over the rate of that step, by the place among the ``states``.

        ``[R, entries, ...]``. The rate η, by which the hypergradient is longer, is left out: Adam cancels it.
        """
        along, weight = self._along(at), at.turn.lower.get("weight")
        if weight is not None:
            share = weight.mean(-1)[:, None, None]
            along = along * (share if along.dim() == 3 else share[..., None])
        mixed = at.one.loss.mixed_slopes(
            at.outputs, along, at.turn.lower, at.facts, at.learned, at.progress, states=states
        )
        return {place: -own for place, own in mixed.items()}

    def _along(self, at: Point) -> Tensor:
        """How the outputs on the lower batch move as a member moves along the slope of the upper loss after its step.

        Of the shape of the outputs.
        """
        upper, lower, passage = at.turn.upper, at.turn.lower["features"], at.one.passage
        assert upper is not None  # noqa: S101  (asked where the hypergradient is due)

        def forward(flat: Tensor, features: Tensor) -> Tensor:
            own = {name: value.clone() for name, value in at.buffers.items()}
            return passage.forward(_named(flat, at.names), own, features, training=True, seed=at.seed)

        # in one piece of memory after the other: fresh memory of this size costs as much as the arithmetic on it
        moved = torch.addcmul(at.parameters, at.rates[:, None], at.gradient, value=-1)
        ahead = forward(moved, upper["features"])
        none = ahead.new_zeros(*ahead.shape[:2], 0)
        slope, _, _ = self._upper_loss(ahead.shape[1]).slopes(ahead, upper, at.facts, none, 0.0)
        by_name = passage.backward(slope)
        v = torch.cat([by_name[name].flatten(2) for name in at.names], dim=-1, out=moved)
        size, exact = v.norm(dim=-1, keepdim=True), torch.finfo(v.dtype)
        reach = exact.eps ** (1 / 3)
        step = v.mul_(reach / size.clamp_min(exact.tiny)).add_(at.parameters)
        more = forward(step, lower).clone()  # the pass reuses their memory
        apart = more.sub_(forward(torch.sub(at.parameters * 2, step, out=step), lower))
        scale = size / (2 * reach)
        along: Tensor = apart * (scale if apart.dim() == 3 else scale[..., None])
        return along

    def _upper_loss(self, members: int) -> PopulationLoss:
        if members not in self._losses:
            specs = [self._objective.spec] * members
            self._losses[members] = PopulationLoss(specs, sizes=self._sizes, offer=self._offer)
        return self._losses[members]


def descended(carried: Tensor, gradient: Tensor, state: State, turn: int, factor: float) -> Tensor:
    """Values and moments ``[R, entries, 3, ...]`` after a step of Adam against ``gradient``, within the state's range.

    Where a gradient is not finite, that entry stays as it is.
    """
    value, mean, square = carried.unbind(2)
    first, second = BETAS
    mean, square = first * mean + (1 - first) * gradient, second * square + (1 - second) * gradient.square()
    reach = (square / (1 - second**turn)).sqrt() + EPSILON
    value = (value - state.rate * factor * (mean / (1 - first**turn)) / reach).clamp(*state.within)
    found = torch.stack((value, mean, square), dim=2)
    sound = torch.isfinite(found).flatten(2).all(-1)
    return torch.where(sound.reshape(*sound.shape, *[1] * (found.dim() - 2)), found, carried)


def _named(flat: Tensor, names: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
    pieces = flat.split([torch.Size(shape).numel() for shape in names.values()], dim=-1)
    return {name: piece.unflatten(-1, shape) for (name, shape), piece in zip(names.items(), pieces, strict=True)}
