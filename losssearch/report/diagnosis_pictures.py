"""Pictures of what the recommended model does on test: precision and recall, reliability; and of the search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from losssearch.report.canvas import BLUE, GREY, INK, ORANGE
from losssearch.report.figures import metric_label, window
from losssearch.report.leaderboard import higher_is_better
from losssearch.report.panels import Key, Picture, key, panel, picture
from losssearch.report.shape import Curve
from losssearch.storage.records import TrialRecord, TrialState

_SIDES = (("before", "before tuning", GREY, "--"), ("after", "after tuning", BLUE, "-"))


def diagnosis_pictures(result: Mapping[str, Any]) -> dict[str, Picture]:
    """Precision over recall, and reliability, where a result has them."""
    told = result.get("diagnosis") or {}
    found: dict[str, Picture] = {}
    if told.get("precision_recall"):
        found["precision_recall"] = _precision_recall(result, told)
    if told.get("reliability"):
        found["reliability"] = _reliability(result, told["reliability"])
    return found


def _sides(curves: Mapping[str, Any]) -> list[tuple[str, str, str, str]]:
    alone = len(curves) == 1
    return [(side, "as trained" if alone and side == "before" else "test" if alone else label, colour, style)
            for side, label, colour, style in _SIDES if side in curves]  # fmt: skip


def _precision_recall(result: Mapping[str, Any], told: Mapping[str, Any]) -> Picture:
    classes = list((result.get("data") or {}).get("classes") or ())
    name = classes[told["positive"]] if told["positive"] < len(classes) else str(told["positive"])
    figure, axis = panel("recall", "precision")
    keys = list[Key]()
    for side, label, colour, style in _sides(told["precision_recall"]):
        own = told["precision_recall"][side]
        axis.plot(own["recall"], own["precision"], color=colour, linestyle=style, linewidth=2)
        if own["decided"][1] is not None:
            axis.plot(*[[value] for value in own["decided"]], marker="o", color=colour, markersize=8)
        keys.append(key(label, colour, style))
    axis.set_xlim(-0.02, 1.02)
    axis.set_ylim(-0.02, 1.04)
    caption = f"Of the class {name}, on test; the dot is where decisions are."
    return picture(figure, "Precision and recall", caption, keys)


def _reliability(result: Mapping[str, Any], told: Mapping[str, Any]) -> Picture:
    classes = bool((result.get("data") or {}).get("classes"))
    x, y = ("predicted probability", "share that is so") if classes else ("prediction", "mean target")
    figure, axis = panel(x, y)
    keys, ends = list[Key](), list[float]()
    for side, label, colour, style in _sides(told):
        own = told[side]
        axis.plot(own["predicted"], own["found"], color=colour, linestyle=style, linewidth=2, marker="o", markersize=5)
        error = f", calibration error {own['error']:.3f}" if "error" in own else ""
        keys.append(key(label + error, colour, style))
        ends += [*own["predicted"], *own["found"]]
    low, high = (0.0, 1.0) if classes else (min(ends), max(ends))
    axis.plot([low, high], [low, high], color=INK, linewidth=0.8)
    caption = "On test, by tenths of what is predicted; on the thin line, predictions are right on average."
    return picture(figure, "Reliability", caption, keys)


def history_picture(result: Mapping[str, Any], trials: Sequence[TrialRecord]) -> Picture | None:
    """The value of each trial on validation, and the best so far; None without one."""
    done = [t for t in trials if t.state is TrialState.COMPLETED and t.value is not None]
    done.sort(key=lambda trial: trial.number)
    if not done:
        return None
    higher = higher_is_better(result["metric"])
    low, high = window([trial.value for trial in done if trial.value is not None], higher)
    figure, axis = panel("trial", f"{result['metric']['name']}, validation", whole=True)
    keys = []
    for origin, colour, marker in (("baseline", ORANGE, "s"), ("searched", BLUE, "o")):
        own = [(t.number, min(max(t.value or 0.0, low), high)) for t in done if t.origin == origin]
        if own:
            axis.plot(*zip(*own, strict=True), marker, color=colour, markersize=5, clip_on=False)
            keys.append(key(f"{origin} ({len(own)})", colour))
    best, steps = done[0].value or 0.0, list[tuple[int, float]]()
    for trial in done:
        value = trial.value or 0.0
        best = max(best, value) if higher else min(best, value)
        steps.append((trial.number, best))
    axis.step(*zip(*steps, strict=True), where="post", color=INK, linewidth=1.2)
    keys.append(key("best so far", INK))
    axis.set_ylim(low, high)
    caption = f"{metric_label(result, 'validation')}. The verdict is reached on rows that the search never saw."
    return picture(figure, "The course of the search", caption, keys)


def shape_pictures(curves: Mapping[str, Sequence[Curve]], x: str, over: str) -> dict[str, Picture]:
    """Value and slope of the recommended loss and of the plain one."""
    axes = [panel(x, "loss of one sample"), panel(x, f"slope over the {over}")]
    keys = list[Key]()
    for name, colour in (("plain", GREY), ("loss", BLUE)):
        for own, style in zip(curves.get(name, ()), ("-", "--", ":", "-."), strict=False):
            axes[0][1].plot(own.position, own.value, color=colour, linestyle=style, linewidth=2)
            axes[1][1].plot(own.position, own.slope, color=colour, linestyle=style, linewidth=2)
            keys.append(key(own.label, colour, style))
    for _, axis in axes:
        axis.axvline(0, color=GREY, linewidth=0.8)
    return {
        "shape": picture(axes[0][0], "The loss of one sample", "With the plain one; least = 0.", keys),
        "slope": picture(axes[1][0], "Its gradient", "How hard it pulls on the sample.", keys),
    }
