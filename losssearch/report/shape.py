"""The shape of a loss: its value and slope over the margin or the residual of one sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from losssearch.data.batch import Batch, Sizes, each
from losssearch.errors import OptionError
from losssearch.losses.compose import ComposedLoss
from losssearch.losses.kept import learned_alone
from losssearch.losses.part import part_states
from losssearch.losses.spec import LossSpec
from losssearch.report.canvas import BLUE, GREY, INK, blank, drawable, headline, legend, png
from losssearch.report.leaderboard import searched_entry
from losssearch.tasks import get_kind, get_task
from losssearch.tasks.picture import Picture
from losssearch.tasks.task import GROUPED

_POINTS = 121
_REFERENCE = 64
"""Additional samples in the batch, for terms over the whole batch."""


@dataclass(frozen=True)
class Curve:
    """Value and slope over the same axis; the value is shifted to 0 at its smallest."""

    label: str
    position: list[float]
    value: list[float]
    slope: list[float]


def shape_figure(
    result: Mapping[str, Any],
    spec: LossSpec,
    *,
    facts: Mapping[str, float | Sequence[float]] | None = None,
    learned: Mapping[str, float | Tensor] | None = None,
) -> bytes:
    """Value and slope of ``spec`` and of the plain baseline, for one sample; a PNG file.

    Where the classes are treated differently, the commonest and the rarest are drawn; where weights follow a
    schedule, the start and the end of training. A target is drawn at its mean. ``facts`` are what the losses read of
    the searched data.
    """
    task = str(result["task"])
    picture = picture_of(task)
    name, spec, found = shape_curves(result, spec, facts=facts, learned=learned)
    figure, (left, right) = blank(9.0, 4.3, panels=2)
    handles: list[Any] = []
    for side, colour, width in (("plain", GREY, 1.6), ("loss", BLUE, 2.3)):
        for curve, style in zip(found.get(side, []), ("-", "--", ":", "-."), strict=False):
            look: dict[str, Any] = {"color": colour, "linestyle": style, "linewidth": width}
            handles += left.plot(curve.position, curve.value, label=drawable(curve.label), **look)
            right.plot(curve.position, curve.slope, **look)
    slope = f"slope over the {picture.over}"
    for axis, label in ((left, "loss of one sample (least = 0)"), (right, slope)):
        axis.set_xlabel(picture.axis, color=INK, size=9)
        axis.set_ylabel(label, color=INK, size=9)
        axis.axvline(0, color=GREY, linewidth=0.8, zorder=1)
    formula = f"{name.removeprefix('the ')} = {spec.formula()}"
    if any(GROUPED & set(part.term.reads) for part in spec.parts):
        formula += "; drawn without what compares groups"
    elif any(not part.term.per_sample for part in spec.parts):
        formula += f"; some terms look at the whole batch: a sample among {_REFERENCE} others"
    top = headline(figure, f"What {name} asks of one sample", formula)
    longest = max((len(str(handle.get_label())) for handle in handles), default=0)
    columns = min(max(1, len(handles)), 3 if longest <= 32 else 2)
    bottom = 0.15 + 0.05 * -(-len(handles) // columns)
    figure.subplots_adjust(left=0.08, right=0.98, top=top, bottom=bottom, wspace=0.26)
    legend(figure, handles, loc="lower center", ncols=columns, handlelength=2.6)
    return png(figure)


def shape_curves(
    result: Mapping[str, Any],
    spec: LossSpec,
    *,
    facts: Mapping[str, float | Sequence[float]] | None = None,
    learned: Mapping[str, float | Tensor] | None = None,
) -> tuple[str, LossSpec, dict[str, list[Curve]]]:
    """The loss that is drawn, by name and as a spec, and its curves, ``loss``, next to those of the ``plain`` one.

    It is the recommended one; where that is the plain loss, the searched one.
    """
    task, name = str(result["task"]), "the searched loss"
    plain_name, plain = _plain(result)
    if plain is not None and spec.formula() == plain.formula() and (found := searched_entry(result)):
        spec, learned = LossSpec.from_json(found["spec"]), None
        trained = (result.get("course") or {}).get("loss")
        if trained and LossSpec.from_json(trained["spec"]) == spec:
            learned = {key: torch.as_tensor(value) for key, value in trained["learned"].items()}
    elif str(result["best"].get("name", "")) in {entry["name"] for entry in result.get("baselines") or []}:
        name = str(result["best"]["name"]).replace("_", " ")
    known = facts_of(result, facts or {})
    drawn = {"loss": curves(spec, task, name.removeprefix("the "), known, learned)}
    if plain is not None and plain != spec:
        drawn["plain"] = curves(plain, task, plain_name, known, None)
    return name, spec, drawn


def picture_of(task: str) -> Picture:
    """How the loss of one sample is drawn; raises `OptionError` for a kind of task that says nothing of it."""
    picture = get_kind(task).picture
    if picture is None:
        raise OptionError(f"the loss of one sample is drawn for kinds of task that declare a picture; {task} has none")
    return picture


def curves(
    spec: LossSpec,
    task: str,
    label: str,
    facts: Batch,
    learned: Mapping[str, float | Tensor] | None = None,
) -> list[Curve]:
    """One curve, or two where the classes or the start and the end of training differ.

    Parts that compare groups, or remember each training row, ask nothing of a sample by itself: they are left out.
    """
    alone = [
        place
        for place, part in enumerate(spec.parts)
        if not GROUPED & set(part.term.reads) and not any(state.by_row for state in part_states(part).values())
    ]
    if not alone:
        return []
    if len(alone) < len(spec.parts):
        spec, learned = spec.alone(*alone), learned_alone(learned or {}, *alone)
    prior, sizes = facts["class_prior"], Sizes(len(facts["class_prior"]))
    loss = ComposedLoss.of_facts(spec, each(facts, Tensor.double), sizes, get_task(task).offer).double()
    with torch.no_grad():
        loss.set_learned(learned or {})
    if not get_kind(task).nominal:
        shown = [(label, 0)]
    else:
        rare, common = int(prior.argmin()), int(prior.argmax())
        if rare == common:
            rare, common = 1, 0
        shown = [(label, common), (f"{label}, rarest class", rare)]
    stages = [("", 1.0)] if "progress" not in spec.reads else [(", at the end", 1.0), (", at the start", 0.0)]
    found = [
        _curve(loss, task, text + stage, class_, prior.numel(), progress)
        for text, class_ in shown
        for stage, progress in stages
    ]
    if len(shown) == 2:
        half = len(found) // 2
        steepest = max(abs(slope) for curve in found for slope in curve.slope)
        apart = max(
            abs(x - y)
            for a, b in zip(found[:half], found[half:], strict=True)
            for x, y in zip(a.slope, b.slope, strict=True)
        )
        alike = apart <= 0.03 * steepest
        if alike:
            return found[:half]
        first = [
            Curve(c.label.replace(label, f"{label}, commonest class"), c.position, c.value, c.slope) for c in found
        ]
        return first[:half] + found[half:]
    return found


def _curve(loss: ComposedLoss, task: str, label: str, class_: int, classes: int, progress: float) -> Curve:
    picture = picture_of(task)
    reach, others = picture.reach, torch.linspace(-2.0, 2.5, _REFERENCE, dtype=torch.float64)
    position = torch.linspace(-reach, reach, _POINTS, dtype=torch.float64, requires_grad=True)
    whole_batch = any(not part.term.per_sample for part in loss.spec.parts)
    values = []
    for place in position:
        output, target = picture.batch(place, class_, classes, others if whole_batch else others[:0])
        values.append(loss(output, target, progress=progress) * target.shape[0])
    value = torch.stack(values)
    (slope,) = torch.autograd.grad(value.sum(), position)
    value = value.detach() - value.detach().min()
    return Curve(label, position.tolist(), value.tolist(), slope.tolist())


def _plain(result: Mapping[str, Any]) -> tuple[str, LossSpec | None]:
    """The plain loss of the task, or the first baseline."""
    baselines = result.get("baselines") or []
    plain = next((b for b in baselines if b["name"] in ("cross_entropy", "mse")), baselines[0] if baselines else None)
    return ("", None) if plain is None else (str(plain["name"]).replace("_", " "), LossSpec.from_json(plain["spec"]))


def facts_of(result: Mapping[str, Any], given: Mapping[str, float | Sequence[float]]) -> Batch:
    """What losses read of the searched data, with even shares of classes and raw targets where it is not given."""
    classes = max(len(result["data"].get("classes") or ()), 2)
    known: dict[str, float | Sequence[float]] = {"zero": 0.0, "class_prior": [1 / classes] * classes, **given}
    return {name: torch.as_tensor(value, dtype=torch.float64) for name, value in known.items()}
