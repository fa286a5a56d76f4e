"""How hard each part of a loss pulls on the rows of each group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from losssearch.data.batch import Batch, Sizes, sensitive
from losssearch.losses.compose import ComposedLoss
from losssearch.losses.inputs import offer_of
from losssearch.losses.kept import learned_alone
from losssearch.losses.offer import Offer
from losssearch.losses.spec import LossSpec, Part

MOST_ROWS = 1024
"""Rows that are looked at: some terms compare every pair."""


def group_pull(
    spec: LossSpec,
    plain: LossSpec,
    outputs: Tensor,
    target: Tensor,
    group: Tensor,
    names: Sequence[str],
    *,
    facts: Batch | None = None,
    learned: Mapping[str, float | Tensor] | None = None,
    seed: int = 0,
    attribute: Tensor | None = None,
    offer: Offer | None = None,
) -> list[dict[str, Any]]:
    """The mean size of a part's gradient by the output of a row of each group, relative to that over all rows.

    At 1, a part pulls on a row of the group as hard as on any. Measured at the end of training, at the outputs of a
    trained model, on at most `MOST_ROWS` of the rows; what a part carries over batches is as after one batch of these
    rows. Parts that read distances between rows, or
    keep a state for each training row, are left out; so are single parts of a loss that is not their sum.

    Args:
        spec: The loss whose parts are looked at.
        plain: What it is compared with, at the same outputs.
        outputs: ``[S, N]`` or ``[S, N, C]``: of models of several seeds, in the unit that the loss reads.
        target: ``[N]``, in that unit.
        group: Ids ``[N]``, int64.
        names: Of the groups, in the order of their ids.
        facts: For the losses that read them, in that unit.
        learned: What ``spec`` has learned, by the names in its state.
        seed: Of the choice of rows.
        attribute: ``[N]``: what the loss reads as the group where the attribute is a number.
        offer: How the kind of task makes what terms read; as ``plain`` tells where None.

    Returns:
        Rows with ``part`` (a formula, ``whole`` or ``plain``) and ``pull``: by the name of a group, None if the part
        is at rest, as a penalty is whose limit is kept, or the group has no row.
    """
    rows = torch.randperm(len(target), generator=torch.Generator().manual_seed(seed))[:MOST_ROWS]
    classes = outputs.shape[-1] if outputs.dim() == 3 else 2
    state, offer = learned or {}, offer or offer_of(plain)
    entries = [
        (LossSpec((part,)).formula(), spec.alone(place), learned_alone(state, place))
        for place, part in enumerate(spec.parts)
        if spec.balance.is_sum and _measured(part)
    ]
    if len(spec.parts) > 1 and all(_measured(part) for part in spec.parts):
        entries.append(("whole", spec, dict(state)))
    if spec.parts != plain.parts:
        entries.append(("plain", plain, {}))
    read, columns = (group[rows], len(names)) if attribute is None else (attribute[rows, None], 1)
    found = []
    for title, one, own in entries:
        sizes = []
        for seen in outputs:
            loss = ComposedLoss.of_facts(one, facts or {}, Sizes(classes, sensitive(columns)), offer)
            loss.set_learned(own)
            place = seen[rows].float().requires_grad_()
            if loss.carries:
                loss(place, target[rows], group=read, progress=1.0)  # moves what it carries
            value = loss.eval()(place, target[rows], group=read, progress=1.0)
            (slope,) = torch.autograd.grad(value, place)
            sizes.append(slope.abs().reshape(len(rows), -1).sum(-1))
        found.append({"part": title, "pull": _relative(torch.stack(sizes).mean(0), group[rows], names)})
    return found


def _measured(part: Part) -> bool:
    """Whether a part can be looked at on rows alone: not where it reads distances or knows the training rows."""
    return "distance" not in part.term.reads and not any(state.by_row for state in part.term.states.values())


def _relative(size: Tensor, group: Tensor, names: Sequence[str]) -> dict[str, float | None]:
    overall = size.mean().item()
    pull: dict[str, float | None] = {}
    for index, name in enumerate(names):
        own = size[group == index]
        pull[name] = own.mean().item() / overall if overall > 0 and len(own) else None
    return pull
