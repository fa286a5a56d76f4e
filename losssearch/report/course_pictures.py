"""Pictures of what happened while the finalists trained: curves, the loss at three points, weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from losssearch.data.batch import Batch
from losssearch.losses.spec import LossSpec
from losssearch.report.canvas import BLUE, GREY, INK, ORANGE
from losssearch.report.leaderboard import SEARCHED
from losssearch.report.panels import COURSE, Key, Picture, key, panel, picture
from losssearch.report.shape import picture_of
from losssearch.report.stages import Drawn, Stage, stage_curves, stages_of
from losssearch.tasks import get_kind

_STYLES = (":", "--", "-")
"""Of the start, the middle and the end."""


def course_pictures(result: Mapping[str, Any], facts: Batch) -> dict[str, Picture]:
    """The pictures that a result's ``course`` gives, by name."""
    course = result.get("course") or {}
    found: dict[str, Picture] = {}
    if any(len(own["values"]) > 1 for own in course.get("curves") or []):
        found["curves"] = curves_picture(result, course["curves"])
    loss = course.get("loss")
    if not loss:
        return found
    spec = LossSpec.from_json(loss["spec"])
    most = int((result.get("plan") or {}).get("epochs") or 1)
    if get_kind(str(result["task"])).picture is not None and (loss["states"] or spec.scheduled or loss["rows"]):
        stages = stages_of(loss, most)
        row = ((loss.get("rows") or {}).get("means") or {}).get("class")
        drawn = stage_curves(spec, str(result["task"]), facts, stages, row)
        if drawn:
            found |= stage_pictures(result, drawn, stages)
    if loss["weights"]:
        found["weights"] = weights_picture(loss["weights"])
    if loss["rows"]:
        found["rows"] = rows_picture(loss["rows"])
    return found


def curves_picture(result: Mapping[str, Any], curves: Sequence[Mapping[str, Any]]) -> Picture:
    """The metric on validation after each epoch, of each finalist."""
    figure, axis = panel("epoch", f"{result['metric']['name']}, validation", whole=True)
    against, keys = (result.get("verdict") or {}).get("against"), list[Key]()
    for own in sorted(curves, key=lambda one: (one["name"] == SEARCHED, one["name"] == against)):
        main = own["name"] in (SEARCHED, against)
        colour = BLUE if own["name"] == SEARCHED else ORANGE if main else GREY
        known = [(epoch, value) for epoch, value in enumerate(own["values"], 1) if value is not None]
        if not known:
            continue
        axis.plot(*zip(*known, strict=True), color=colour, linewidth=2.2 if main else 1.0)
        best = min(max(int(own["best"]), 1), len(own["values"]))
        if own["values"][best - 1] is not None:
            axis.plot([best], [own["values"][best - 1]], "o", color=colour, markersize=6 if main else 4)
        if main:
            keys.append(key(str(own["name"]).replace("_", " "), colour))
    if any(own["name"] not in (SEARCHED, against) for own in curves):
        keys.append(key("other baselines", GREY))
    caption = "The mean over the final trainings; a dot marks the median epoch whose weights count."
    return picture(figure, "Learning curves of the finalists", caption, keys)


def stage_pictures(result: Mapping[str, Any], drawn: Sequence[Drawn], stages: Sequence[Stage]) -> dict[str, Picture]:
    """Value and slope of the loss of one sample at the stages."""
    about, keys = picture_of(str(result["task"])), list[Key]()
    classes = [own.class_ for own in drawn if own.class_ is not None]
    names = list((result.get("data") or {}).get("classes") or ())
    axes = [panel(about.axis, "loss of one sample"), panel(about.axis, f"slope over the {about.over}")]
    for own in drawn:
        other = own.class_ is not None and own.class_ != classes[0]
        changed = own.curve.label.endswith("changed")
        colour = ORANGE if other or changed else BLUE
        style = "-" if changed else _STYLES[min(own.stage * (2 if len(stages) < 3 else 1), 2)]
        if len(stages) == 3 and stages[1].rows and own.stage == 1:
            style = "-"
        axes[0][1].plot(own.curve.position, own.curve.value, color=colour, linestyle=style, linewidth=2)
        axes[1][1].plot(own.curve.position, own.curve.slope, color=colour, linestyle=style, linewidth=2)
        of = "" if own.class_ is None else f", {names[own.class_] if own.class_ < len(names) else own.class_}"
        keys.append(key(own.curve.label + of, colour, style))
    for _, axis in axes:
        axis.axvline(0, color=GREY, linewidth=0.8)
    caption = "Shifted to 0 at its smallest. As the loss was in the training whose state is exported."
    return {
        "stages": picture(axes[0][0], "The loss over training", caption, keys),
        "slopes": picture(axes[1][0], "Its gradient over training", "How hard it pulls on the sample.", keys),
    }


def weights_picture(weights: Mapping[str, Any]) -> Picture:
    """The weight of each part after each epoch."""
    figure, axis = panel("epoch", "weight of the part", whole=True)
    keys = []
    for name, values, colour in zip(weights["parts"], weights["values"], COURSE, strict=False):
        axis.plot(weights["epochs"], values, color=colour, linewidth=2.2)
        keys.append(key(name, colour))
    caption = "At weight 1 for all, parts start with gradients of one size."
    return picture(figure, "Weights of the parts over training", caption, keys)


def rows_picture(rows: Mapping[str, Any]) -> Picture:
    """How many training rows count how much, split by whether their kept target still favours their label."""
    edges, keys = rows["edges"], list[Key]()
    figure, axis = panel("weight of a training row", "rows")
    for name, label, colour in (("kept", "label kept", BLUE), ("changed", "label changed", ORANGE)):
        if rows.get(name) is not None:
            axis.stairs(rows[name], edges, color=colour, fill=True, alpha=0.35)
            axis.stairs(rows[name], edges, color=colour, linewidth=1.6)
            alone = name == "kept" and rows.get("changed") is None
            keys.append(key(f"{'all rows' if alone else label} ({sum(rows[name]):,})", colour))
    axis.axvline(0, color=INK, linewidth=0.8)
    learned = int(rows.get("learned") or 0)
    caption = (
        "How hard the loss pulls a row toward its label at the end of training, relative to the plain loss and to the "
        "mean over rows; below 0 it pulls away."
    ) + (f" Without {learned:,} rows that were learned already." if learned else "")
    return picture(figure, "Weights of the training rows", caption, keys)
