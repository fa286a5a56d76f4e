"""From a spec to the pieces of an objective: how each part curves is measured once, on a grid of scores."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from losssearch.data.batch import Batch, Sizes, each
from losssearch.errors import SpecError
from losssearch.losses.balance import require_sum
from losssearch.losses.compose import ComposedLoss
from losssearch.losses.inputs import offer_of
from losssearch.losses.kept import kept_states
from losssearch.losses.offer import Offer
from losssearch.losses.part import part_states, updated
from losssearch.losses.spec import LossSpec
from losssearch.training.boosting.objective import Piece, diagonal

PROBE_ROWS = 257
"""A prime, so that a tensor with its square as size can only be one over pairs."""

TIMES = 9
"""Shares of the training at which a loss with a schedule is looked at."""


def pieces_of(spec: LossSpec, facts: Batch, sizes: Sizes, offer: Offer | None = None) -> list[Piece]:
    """The parts of ``spec`` as pieces, each with a state of its own; ``facts`` are those of one replica.

    Raises `SpecError` where the loss is no sum of its parts, or keeps what trees cannot move.
    """
    _require_grown(spec, sizes)
    offer = offer or offer_of(spec)
    facts = each(facts, Tensor.double)
    singles = [spec.alone(place) for place in range(len(spec.parts))]
    return [
        Piece(_loss(one, facts, sizes, offer), kind_of(one, facts, sizes, offer), _read_beside(one, offer))
        for one in singles
    ]


def _require_grown(spec: LossSpec, sizes: Sizes) -> None:
    require_sum(spec.balance, "growing trees")
    if anew := [part.name for part in spec.parts if part.restart_at is not None]:
        raise SpecError(
            f"{anew[0]} lets the model start anew in mid-training, which trees do not do: train a network with it"
        )
    for kept in kept_states(spec, sizes):
        state, number = kept.state, isinstance(kept.state.init, float)
        if state.by_validation:
            raise SpecError(
                f"{kept.name} of {spec.formula()} is learned by the validation loss, which trees do not do: train a "
                f"network with it"
            )
        if not number or (state.optimised and kept.shape):
            raise SpecError(
                f"trees are grown from losses that learn numbers and carry what starts as a number; {kept.name} of "
                f"{spec.formula()} is another state: train a network with it"
            )


def kind_of(single: LossSpec, facts: Batch, sizes: Sizes, offer: Offer | None = None) -> str:
    """How the one part of ``single`` curves; see `losssearch.training.boosting.objective`."""
    offer = offer or offer_of(single)
    reads, term = _read_beside(single, offer), single.parts[0].term
    if "features" in reads:
        return "pairs"
    by_row = "index" in reads
    if reads - {"progress", "group", "index"}:  # nothing is known of fields that a kind of task has of its own
        return "bent" if term.per_sample else "pairs"
    loss = _loss(single, facts, replace(sizes, rows=PROBE_ROWS), offer).eval()
    groups, (scores, target) = sizes.groups, _grid(sizes.classes)
    leaf = scores.requires_grad_()
    context: dict[str, Tensor] = {"progress": torch.tensor(0.5)} if "progress" in reads else {}
    if "group" in reads:
        context["group"] = torch.eye(groups, dtype=torch.float64)[torch.arange(PROBE_ROWS) % groups]
    if by_row:
        context["index"] = torch.arange(PROBE_ROWS)
    saved: list[int] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda kept: _noted(kept, saved), lambda kept: kept):
        value = loss(leaf, target, **context)
    if not (term.per_sample and single.parts[0].weighting.record.affine):
        return "pairs" if any(size and size % PROBE_ROWS**2 == 0 for size in saved) else "batch"
    if updated(single.parts[0].weighting.record.states) or term.learned or by_row:
        return "bent"  # its shape changes while it is trained
    if _bends(value, leaf, sizes):
        return "bent"
    # What a schedule that is not straight does at other times, the middle does not tell.
    turns = any(own.kind != "linear" or own.windowed for own in single.scheduled)
    times = torch.linspace(0, 1, TIMES).unbind() if turns else ()
    later = (loss(leaf, target, **{**context, "progress": done}) for done in times)
    return "bent" if any(_bends(value, leaf, sizes) for value in later) else "convex"


def _bends(value: Tensor, leaf: Tensor, sizes: Sizes) -> bool:
    """Whether a loss of single samples is concave or flat at one of the scores."""
    (slope,) = torch.autograd.grad(value, leaf, create_graph=True, materialize_grads=True)
    second, slope = diagonal(slope, leaf).detach(), slope.detach()
    concave = second < -1e-9 * second.abs().max()
    # The ends of the grid are moderate, so there only a loss that goes straight on is this flat.
    flat = (second < (1e-6 if sizes.classes else 1e-3) * slope.abs()) & (slope.abs() > 1e-9 * slope.abs().max())
    return bool((concave | flat).any())


def _loss(single: LossSpec, facts: Batch, sizes: Sizes, offer: Offer) -> ComposedLoss:
    return ComposedLoss.of_facts(single, facts, sizes, offer).double()


def _read_beside(single: LossSpec, offer: Offer) -> frozenset[str]:
    """What the piece takes by keyword: distances are made of features."""
    fields = frozenset(offer.reading(single.reads).fields)
    by_row = any(state.by_row for state in part_states(single.parts[0]).values())
    return single.reads & {"progress"} | (fields - {"target"}) | ({"index"} if by_row else frozenset())


def _grid(classes: int) -> tuple[Tensor, Tensor]:
    """Scores and targets over what a training may meet, in random order."""
    generator = torch.Generator().manual_seed(0)
    if classes > 2:
        scores = 2 * torch.randn(PROBE_ROWS, classes, generator=generator, dtype=torch.float64)
        return scores, torch.arange(PROBE_ROWS) % classes
    reach = 4.0 if classes else 8.0
    order = torch.randperm(PROBE_ROWS, generator=generator)
    scores = torch.linspace(-reach, reach, PROBE_ROWS, dtype=torch.float64)[order]
    return scores, torch.arange(PROBE_ROWS) % 2 if classes else torch.zeros(PROBE_ROWS, dtype=torch.float64)


def _noted(kept: Tensor, saved: list[int]) -> Tensor:
    saved.append(kept.numel())
    return kept
