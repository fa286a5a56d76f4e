"""How the loss of one sample changes while a model trains: its curve at the start, after half of it and at the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from losssearch.data.batch import Batch, Sizes, each
from losssearch.losses.compose import ComposedLoss
from losssearch.losses.kept import kept_states
from losssearch.losses.spec import LossSpec
from losssearch.report.shape import Curve, picture_of
from losssearch.tasks import get_kind, get_task
from losssearch.tasks.task import GROUPED

POINTS = 61
REFERENCE = 32
"""Further samples in the batch, for terms over the whole batch."""

_ALIKE = 0.02
"""Curves of two classes that differ by less, relative to the steepest slope, are drawn as one."""


@dataclass(frozen=True)
class Stage:
    """A point of the training: what is kept then, and what is kept for the training row that is drawn."""

    label: str
    progress: float
    states: Mapping[str, Any] = field(default_factory=dict)
    rows: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Drawn:
    """A curve at a stage, of a sample of a class; ``class_`` is None where the class does not matter."""

    stage: int
    class_: int | None
    curve: Curve


def stages_of(loss: Mapping[str, Any], most: int) -> list[Stage]:
    """The stages of the ``loss`` of a ``course``; ``most``: how many epochs there could have been."""
    states, rows = loss.get("states") or {}, (loss.get("rows") or {}).get("means") or {}
    epochs = int(loss.get("epochs") or most)
    shares = (0.0, epochs // 2 / most, epochs / most)
    named = ("at the start", "after half of it", "at the end")
    stages = [
        Stage(label, share, {name: own[place] for name, own in states.items()})
        for place, (label, share) in enumerate(zip(named, shares, strict=True))
    ]
    if not rows:
        return stages
    kept = [(name, rows[name]) for name in ("kept", "changed") if rows.get(name)]
    said = {"kept": "at the end, label kept", "changed": "at the end, label changed"}
    return [stages[0], *(Stage(said[name], shares[2], stages[2].states, own) for name, own in kept)]


def stage_curves(
    spec: LossSpec, task: str, facts: Batch, stages: Sequence[Stage], class_: int | None = None
) -> list[Drawn]:
    """The loss of one sample at each stage; of a sample of the commonest and of the rarest class where they differ.

    Args:
        spec: The loss.
        task: Kind of task.
        facts: What it reads of the data.
        stages: See `stages_of`.
        class_: The class of the sample, where only one is drawn.

    Returns:
        The curves; none for a loss that compares groups.
    """
    if any(GROUPED & set(part.term.reads) for part in spec.parts):
        return []
    facts = each(facts, Tensor.double)
    if not get_kind(task).nominal:
        return [Drawn(place, None, _curve(spec, task, facts, one, 0)) for place, one in enumerate(stages)]
    prior = facts["class_prior"]
    if class_ is not None:
        return [Drawn(place, None, _curve(spec, task, facts, one, class_)) for place, one in enumerate(stages)]
    common, rare = int(prior.argmax()), int(prior.argmin())
    if common == rare:
        common, rare = 0, len(prior) - 1
    found = [Drawn(s, c, _curve(spec, task, facts, one, c)) for c in (common, rare) for s, one in enumerate(stages)]
    half = len(found) // 2
    steepest = max(abs(slope) for own in found for slope in own.curve.slope)
    pairs = zip(found[:half], found[half:], strict=True)
    apart = max(abs(x - y) for a, b in pairs for x, y in zip(a.curve.slope, b.curve.slope, strict=True))
    return [Drawn(own.stage, None, own.curve) for own in found[:half]] if apart <= _ALIKE * steepest else found


def _curve(spec: LossSpec, task: str, facts: Batch, stage: Stage, class_: int) -> Curve:
    """The curve of a sample of a class; its value is shifted to 0 at its smallest."""
    picture, classes = picture_of(task), len(facts["class_prior"])
    alone = not spec.batch_level
    others = torch.linspace(-2.0, 2.5, 0 if alone else REFERENCE, dtype=torch.float64)
    place = torch.linspace(-picture.reach, picture.reach, POINTS, dtype=torch.float64, requires_grad=True)
    batches = [picture.batch(one, class_, classes, others) for one in place]
    rows = POINTS if alone else len(others) + 1
    loss = _loss(spec, task, facts, stage, rows)
    given: dict[str, Any] = {"progress": stage.progress}
    if loss.remembers_rows:
        given["index"] = torch.arange(rows)
    if alone:
        output, target = (torch.cat(own) for own in zip(*batches, strict=True))
        value = loss(output, target, reduction="none", **given)
    else:
        value = torch.stack([loss(output, target, **given) * rows for output, target in batches])
    (slope,) = torch.autograd.grad(value.sum(), place)
    value = value.detach() - value.detach().min()
    return Curve(stage.label, place.tolist(), value.tolist(), slope.tolist())


def _loss(spec: LossSpec, task: str, facts: Batch, stage: Stage, rows: int) -> ComposedLoss:
    kind = get_kind(task)
    sizes = Sizes(len(facts["class_prior"]) if kind.nominal else 0, rows=rows)
    loss = ComposedLoss.of_facts(spec, facts, sizes, get_task(task).offer).double().eval()
    with torch.no_grad():
        for own in kept_states(spec, get_task(task).offer.sized(sizes)):
            if own.state.by_row:
                if own.key in stage.rows:
                    loss.get_buffer(own.buffer).copy_(torch.as_tensor(stage.rows[own.key]))
            elif own.key in stage.states:
                value = torch.as_tensor(stage.states[own.key])
                (loss.learned[own.key].data if own.state.optimised else loss.get_buffer(own.buffer)).copy_(value)
    return loss
