"""The plots of a study with groups: metric against gap, and the figures of each group."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from losssearch.report.canvas import BLUE, FAINT, GREEN, GREY, INK, ORANGE, RED, blank, drawable, headline, legend, png
from losssearch.report.fairness import group_rows
from losssearch.report.groups import columns_of, estimate
from losssearch.report.leaderboard import higher_is_better
from losssearch.report.references import references
from losssearch.report.standing import Standing, standings
from losssearch.storage.records import TrialRecord
from losssearch.tasks import get_task

_MOST = 3
"""Constraints that are drawn side by side."""

_LOOK: Mapping[str, Mapping[str, Any]] = {
    "baseline": {"color": ORANGE, "marker": "s", "markersize": 6.5},
    "searched": {"color": BLUE, "marker": "o", "markersize": 5},
}

_BESIDE: Mapping[str, Mapping[str, Any]] = {
    "post-processed": {"color": "white", "markeredgecolor": GREEN, "marker": "^", "markersize": 8},
    "reduction": {"color": "white", "markeredgecolor": RED, "marker": "D", "markersize": 6.5},
}
"""How mitigations of other libraries look, by kind."""

_NOT_DRAWN = ("base_rate", "mean_target", "rmse")
"""Figures of groups that the table has and the picture leaves out."""


def fairness_figures(result: Mapping[str, Any], trials: Sequence[TrialRecord]) -> dict[str, bytes]:
    """PNG files by name: ``trade_off``, ``price``, ``front`` and ``groups``, each where the study has what it shows."""
    drawn = {}
    if standings(result["best"]) and any(trial.details for trial in trials):
        drawn["trade_off"] = trade_off_figure(result, trials)
    if standings(result["best"]) and (result["best"].get("test") or {}).get("mean") is not None:
        drawn["price"] = price_figure(result)
    if result.get("front"):
        drawn["front"] = front_figure(result)
    if group_rows(result):
        drawn["groups"] = groups_figure(result)
    return drawn


def trade_off_figure(result: Mapping[str, Any], trials: Sequence[TrialRecord]) -> bytes:
    """Metric against the gap of each constraint, of every trial on validation: means over draws."""
    held = standings(result["best"])[:_MOST]
    figure, axes = blank(9.0, 4.6, panels=len(held))
    points = [
        (trial.origin, [fmean(column) for column in zip(*trial.details, strict=True)])
        for trial in trials
        if trial.details and len(trial.details[0]) >= 2 + len(held)
    ]
    handles: dict[str, Any] = {}
    for place, (axis, one) in enumerate(zip(axes, held, strict=True)):
        for origin, look in _LOOK.items():
            own = [(means[2 + place], means[0]) for kind, means in points if kind == origin]
            if own:
                x, y = zip(*own, strict=True)
                label = f"{origin} ({len(own)})"
                (handles[origin],) = axis.plot(
                    x, y, linestyle="none", markeredgecolor="white", alpha=0.85, clip_on=False, label=label, **look
                )
        best = (result["best"].get("validation") or {}).get("mean")
        if best is not None and one.validation is not None:
            (handles["best"],) = axis.plot(
                [one.validation], [best], "o", color="none", markeredgecolor=INK, markersize=12, label="recommended"
            )
        handles |= _bounds(axis, one)
        axis.set_xlabel(drawable(one.title), color=INK, size=9)
    _metric_axis(axes[0], f"{result['metric']['name']}, {_sense(result)} is better")
    tuned = "decision" if get_task(str(result["task"])).view.labels else "shift"
    subtitle = (
        f"Each mark is a trial on validation rows, its {tuned} tuned within the limits; plain losses are not tuned."
    )
    top = headline(figure, f"{result['metric']['name']} against what is limited", subtitle)
    _finish(figure, handles, top)
    return png(figure)


def _bounds(axis: Axes, one: Standing) -> dict[str, Any]:
    handles: dict[str, Any] = {}
    low, high = axis.get_xlim()
    pad = 0.04 * (max(high, one.limit) - min(low, one.limit))
    low, high = min(low, one.limit - pad), max(high, one.limit + pad)
    if one.name.endswith(
        ("_difference", "_correlation")
    ):  # so that distances from the limit are seen for what they are
        low = 0.0
    axis.set_xlim(low, high)
    if one.floor is not None:
        ends = (low, min(one.floor, high)) if one.op == "<=" else (max(one.floor, low), high)
        if ends[1] > ends[0]:
            handles["floor"] = axis.axvspan(*ends, color=FAINT, alpha=0.55, zorder=0, linewidth=0, label="noise floor")
    handles["limit"] = axis.axvline(one.limit, color=RED, linewidth=1.6, label="limit")
    return handles


def price_figure(result: Mapping[str, Any]) -> bytes:
    """Metric against the gap of each constraint on test: the finalists, and other libraries' mitigations."""
    held = standings(result["best"])[:_MOST]
    figure, axes = blank(9.0, 4.6, panels=len(held))
    found = [("baseline", "menu", entry) for entry in result.get("baselines") or []]
    found += [("searched", "searched", entry) for entry in [result.get("searched")] if entry]
    handles: dict[str, Any] = {}
    for place, (axis, one) in enumerate(zip(axes, held, strict=True)):
        for origin, label, entry in found:
            pair = _tested(entry, place)
            if pair:
                (handles[origin],) = axis.plot(
                    *pair, linestyle="none", markeredgecolor="white", clip_on=False, label=label, **_LOOK[origin]
                )
                if entry is _plain(result):
                    axis.annotate("plain", pair, (6, 4), textcoords="offset points", size=8, color=GREY)
        best = _tested(result["best"], place)
        if best:
            (handles["best"],) = axis.plot(
                *best, "o", color="none", markeredgecolor=INK, markersize=12, label="recommended"
            )
        handles |= _mitigations(axis, result, place)
        handles |= _bounds(axis, one)
        axis.set_xlabel(drawable(one.title), color=INK, size=9)
    _metric_axis(axes[0], f"{result['metric']['name']}, {_sense(result)} is better")
    top = headline(figure, "The price of the limits, on test", "Means over trainings; each loss at its best setting.")
    _finish(figure, handles, top)
    return png(figure)


def _plain(result: Mapping[str, Any]) -> Mapping[str, Any] | None:
    name = ((result.get("verdict") or {}).get("plain") or {}).get("name")
    return next((entry for entry in result.get("baselines") or [] if entry["name"] == name), None)


def _tested(entry: Mapping[str, Any], place: int) -> tuple[float, float] | None:
    """Gap and metric on test."""
    held, metric = standings(entry), (entry.get("test") or {}).get("mean")
    gap = held[place].test if len(held) > place else None
    return None if gap is None or metric is None else (gap, float(metric))


def _mitigations(axis: Axes, result: Mapping[str, Any], place: int) -> dict[str, Any]:
    """Other libraries' mitigations on test, hollow."""
    handles = {}
    for other in references(result):
        gap, look = other.constraints[place].test, _BESIDE[other.kind]
        if gap is not None:
            label = f"{other.title}{' (sees the group)' if other.needs else ''}"
            (handles[other.name],) = axis.plot(
                [gap], [other.metric], linestyle="none", markeredgewidth=1.6, clip_on=False, label=label, **look
            )
    return handles


def _sense(result: Mapping[str, Any]) -> str:
    return "higher" if higher_is_better(result["metric"]) else "lower"


def front_figure(result: Mapping[str, Any]) -> bytes:
    """The front: at each limit, the best loss within it; validation filled, test hollow."""
    figure, (axis,) = blank(9.0, 4.6)
    handles: dict[str, Any] = {}
    front = [entry for entry in result["front"] if _pair(entry, "validation") or _pair(entry, "test")]
    for part, style, fill in (("validation", "-", True), ("test", ":", False)):
        said = "as chosen" if fill else "on test"
        line = sorted(pair for entry in front if (pair := _pair(entry, part)))
        if line:
            axis.plot(*zip(*line, strict=True), linestyle=style, color=GREY, linewidth=1.2, zorder=1)
        for origin, look in _LOOK.items():
            own = [pair for entry in front if entry.get("origin") == origin and (pair := _pair(entry, part))]
            if own:
                x, y = zip(*own, strict=True)
                colours = {"color": look["color"]} if fill else {"color": "white", "markeredgecolor": look["color"]}
                (handles[f"{origin} {part}"],) = axis.plot(
                    x, y, linestyle="none", label=f"{origin}, {said}", **{**look, **colours}
                )
    handles |= _mitigations(axis, result, 0)
    _metric_axis(axis, f"{result['metric']['name']}, {_sense(result)} is better")
    axis.set_xlabel(drawable(_gap_name(result)), color=INK, size=9)
    axis.set_xlim(left=0.0)
    top = headline(figure, f"{result['metric']['name']} that can be had within each limit on the gap")
    _finish(figure, handles, top)
    return png(figure)


def groups_figure(result: Mapping[str, Any]) -> bytes:
    """Each group's figures on test with their intervals, one panel per figure."""
    rows = group_rows(result)
    columns = [column for column in columns_of(rows, most_classes=4) if column.field not in _NOT_DRAWN]
    columns = [column for column in columns if column.of_class is None or column.field == "recall"][:6]
    height = 1.5 + 0.42 * max(2, len(rows))
    figure, axes = blank(9.0, height, panels=len(columns))
    for axis, column in zip(axes, columns, strict=True):
        for place, row in enumerate(rows):
            value, low, high = estimate(row, column)
            if value is None or low is None or high is None:
                continue
            axis.plot([low, high], [place, place], color=BLUE, linewidth=2.2, solid_capstyle="butt")
            axis.plot([value], [place], "o", color=BLUE, markersize=6)
        axis.set_ylim(len(rows) - 0.4, -0.6)
        axis.set_yticks(range(len(rows)), [""] * len(rows))
        axis.tick_params(axis="y", length=0)
        axis.grid(False, axis="y")
        axis.locator_params(axis="x", nbins=3 if len(columns) < 5 else 2)
        axis.tick_params(axis="x", labelsize=8)
        axis.set_xlabel("\n".join(textwrap.wrap(drawable(column.title), 14)), color=INK, size=8.5)
    names = ["\n".join(textwrap.wrap(drawable(row["group"]), 20)[:2]) for row in rows]
    axes[0].set_yticklabels(names, color=INK, parse_math=False)
    top = headline(
        figure, "How each group fares on test", "Recommended loss; mean over seeds, 95 % intervals over rows."
    )
    figure.subplots_adjust(left=0.19, right=0.975, top=top, bottom=0.72 / height, wspace=0.28)
    return png(figure)


def _gap_name(result: Mapping[str, Any]) -> str:
    named = [str(one) for one in result.get("objectives") or () if one != result["metric"]["name"]]
    return named[0].replace("_", " ") if named else "gap between groups"


def _pair(entry: Mapping[str, Any], part: str) -> tuple[float, float] | None:
    found = entry.get(part) or {}
    gap, metric = found.get("gap"), found.get("metric")
    return None if gap is None or metric is None else (float(gap), float(metric))


def _metric_axis(axis: Axes, label: str) -> None:
    axis.set_ylabel("\n".join(textwrap.wrap(drawable(label), 44)[:2]), color=INK, size=9, parse_math=False)


def _finish(figure: Figure, handles: Mapping[str, Any], top: float) -> None:
    lines = 1 + (len(handles) > 5)
    figure.subplots_adjust(left=0.1, right=0.975, top=top, bottom=0.17 + 0.05 * lines, wspace=0.22)
    columns = -(-len(handles) // lines) or 1
    legend(figure, list(handles.values()), loc="lower center", ncols=columns, columnspacing=1.2)
